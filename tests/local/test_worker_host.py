"""Inline handlers, lazy workers and agent files, behind a real socket."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.client import Client, TaskFailed
from tests.local.fake_peer import FakePeer, running_peer

INLINE = """
import trio
from mesh.agent import Agent, Context

agent = Agent("inline", loop="trio")


@agent.skill(inline=True, slots=1)
async def deep(ctx: Context, levels: int) -> int:
    return 0 if not levels else 1 + await ctx.call("deep", levels=levels - 1)


@agent.skill(inline=True)
async def swallows(seconds: float) -> str:
    try:
        await trio.sleep(seconds)
    finally:
        await trio.lowlevel.cancel_shielded_checkpoint()
    return "slept"


@agent.skill(inline=True)
def counts(ctx: Context, n: int) -> int:
    ctx.progress(1.0)
    return n


@agent.skill(inline=True, retries=0)
def blocks(ctx: Context) -> int:
    return ctx.call_sync("counts", n=1)


@agent.skill
def ordinary() -> str:
    return "from a worker"
"""


NEEDS_ASYNCIO = """
import asyncio
from mesh.agent import Agent

agent = Agent("asyncio-inline")


@agent.skill(inline=True)
async def needs_asyncio() -> str:
    await asyncio.sleep(0)
    return "from a worker, for the peer runs trio"
"""


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


def processes(peer: FakePeer) -> list[str]:
    assert peer.driver.host is not None
    return [process.state for process in peer.driver.host.processes]


def test_inline_skills_of_a_file_run_in_the_peer(tmp_path: Path) -> None:
    file = tmp_path / "inline_agent.py"
    file.write_text(INLINE)
    with running_peer(tmp_path, files=[str(file)]) as peer, Client(address=peer.socket) as client:
        wanted = {"deep", "swallows", "counts", "blocks", "ordinary"}
        until(lambda: wanted <= set(peer.driver.skills))
        assert client.submit("deep", levels=5).result(10) == 5
        assert client.submit("counts", n=7).result(5) == 7
        assert client.submit("ordinary").result(10) == "from a worker"
        with pytest.raises(TaskFailed, match="make it async"):
            client.call("blocks")
        handle = client.submit("swallows", seconds=30)
        handle.cancel()
        with pytest.raises(TaskFailed) as caught:
            handle.result(5)
        assert caught.value.state == "cancelled"


def test_an_inline_coroutine_for_asyncio_runs_in_a_worker_after_all(tmp_path: Path) -> None:
    file = tmp_path / "needs_asyncio.py"
    file.write_text(NEEDS_ASYNCIO)
    with running_peer(tmp_path, files=[str(file)]) as peer, Client(address=peer.socket) as client:
        until(lambda: "needs_asyncio" in peer.driver.skills)
        assert client.submit("needs_asyncio").result(10).startswith("from a worker")


def test_one_waiting_coroutine_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with running_peer(tmp_path) as peer, Client(address=peer.socket) as client:
        slow = client.submit("sleep", seconds=0.3)
        assert client.call("echo", n=1) == {"n": 1}
        pauses = [0.02] * 100
        began = time.monotonic()
        assert list(client.map("sleep", ({"seconds": s} for s in pauses))) == pauses
        assert time.monotonic() - began < 1.5
        assert slow.result(5) == 0.3


def test_the_probes_worker_starts_at_its_first_use_and_again_after_a_crash(
    tmp_path: Path,
) -> None:
    with running_peer(tmp_path) as peer, Client(address=peer.socket) as client:
        assert processes(peer) == ["asleep"]
        assert client.submit("hang", seconds=0.01).result(20) == 0.01
        assert processes(peer) == ["ready"]
        with pytest.raises(TaskFailed) as caught:
            client.options(retries=0).submit("crash").result(20)
        assert caught.value.kind == "WorkerCrashed"
        assert client.submit("hang", seconds=0.01).result(20) == 0.01


def test_a_file_that_cannot_be_imported_fails_with_its_words(tmp_path: Path) -> None:
    file = tmp_path / "broken_agent.py"
    file.write_text("raise RuntimeError('out of ink')\n")
    with running_peer(tmp_path, files=[str(file)]) as peer:
        assert peer.driver.host is not None
        process = peer.driver.host.processes[-1]
        assert process.state == "failed"
        assert "out of ink" in process.error


def test_two_workers_of_one_skill_add_up_their_slots(tmp_path: Path) -> None:
    text = 'from mesh.agent import Agent\na = Agent("a")\n@a.skill(slots=2)\ndef f() -> int:\n'
    text += "    import os\n    return os.getpid()\n"
    files = []
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(text)
        files.append(str(tmp_path / f"{name}.py"))
    with running_peer(tmp_path, files=files) as peer, Client(address=peer.socket) as client:
        until(lambda: peer.driver.skills.get("f", (None, 0))[1] == 4)
        assert len(set(client.map("f", ({} for _ in range(64))))) == 2
