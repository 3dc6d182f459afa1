"""Thousands of tasks, peers killed and stopped half-way, the client's own home too."""

import json
import signal
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from mesh.client import AsyncClient, Outcome
from tests.processes.rig import CREW, TRIO_CREW, LocalMesh, finish, local_mesh, until

INPUTS = 3000


@pytest.mark.slow
def test_every_index_comes_exactly_once_with_its_own_result(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    lines = [json.dumps({"path": "", "index": i, "seconds": 0.004}) for i in range(INPUTS)]
    file.write_text("\n".join(lines), encoding="utf-8")
    with local_mesh(tmp_path, 4, [CREW]) as mesh:
        process = mesh.start_cli("map", "mark_index", str(file))
        assert process.stdout is not None
        rows = []
        for line in process.stdout:
            rows.append(json.loads(line))
            if len(rows) == INPUTS // 3:
                mesh.signal("peer-3", signal.SIGKILL)
                mesh.signal("peer-4", signal.SIGSTOP)
        assert finish(process).status == 0
        assert [row for row in rows if row["state"] != "done"] == []
        assert sorted(row["index"] for row in rows) == list(range(INPUTS))
        assert all(row["result"] == row["index"] for row in rows)
        assert len({row["task"] for row in rows}) == INPUTS
        assert any(row["attempts"] > 1 for row in rows), "some ran where nobody answers"
        _back(mesh)


@pytest.mark.slow
def test_the_same_inline(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 4, [TRIO_CREW]) as mesh:
        with mesh.client("peer-1", "peer-2") as client:
            values = [{"seconds": 0.002, "value": i} for i in range(INPUTS)]
            results = client.map("inline_wait", values)
            first = [next(results) for _ in range(INPUTS // 3)]
            mesh.signal("peer-3", signal.SIGKILL)
            mesh.signal("peer-4", signal.SIGSTOP)
            assert first + list(results) == list(range(INPUTS))
        _back(mesh)


class Blow(msgspec.Struct, frozen=True):
    """What becomes of a client's home in the middle of a map, and how it goes on after it."""

    number: signal.Signals
    after: signal.Signals | None = None


BLOWS = {"killed": Blow(signal.SIGKILL), "paused": Blow(signal.SIGSTOP, signal.SIGCONT)}


@pytest.mark.slow
@pytest.mark.parametrize("blow", BLOWS.values(), ids=BLOWS)
def test_a_map_of_5000_outlives_the_home_of_its_client(tmp_path: Path, blow: Blow) -> None:
    with local_mesh(tmp_path, 4, [CREW]) as mesh:
        with mesh.client() as client:
            assert client.home == "peer-1"
            results = client.map("mark_index", _marks(5000))
            taken = [next(results) for _ in range(1500)]
            mesh.signal("peer-1", blow.number)
            assert taken + list(results) == list(range(5000))
            assert client.home == "peer-2"
            assert client.call("add", a=1) == 2, "it goes on"
        _recovered(mesh, blow)


@pytest.mark.slow
@pytest.mark.parametrize("blow", BLOWS.values(), ids=BLOWS)
def test_so_do_those_of_coroutines(tmp_path: Path, blow: Blow) -> None:
    async def main(mesh: LocalMesh) -> None:
        async with AsyncClient(dir=mesh.path) as client:
            ends: dict[int, Outcome] = {}
            async for index, outcome in client.map_unordered("mark_index", _marks(5000)):
                assert index not in ends
                ends[index] = outcome
                if len(ends) == 1500:
                    assert client.home == "peer-1"
                    mesh.signal("peer-1", blow.number)
            assert sorted(ends) == list(range(5000))
            assert all(ends[index].result() == index for index in ends)
            assert client.home == "peer-2"

    with local_mesh(tmp_path, 4, [CREW]) as mesh:
        anyio.run(main, mesh)
        _recovered(mesh, blow)


def _marks(count: int) -> list[dict[str, Any]]:
    return [{"path": "", "index": index, "seconds": 0.004} for index in range(count)]


def _recovered(mesh: LocalMesh, blow: Blow) -> None:
    if blow.after is not None:
        mesh.signal("peer-1", blow.after)
    mesh.up()
    mesh.converge()


def _back(mesh: LocalMesh) -> None:
    """The stopped peer goes on, the killed one is started, and all is as before."""
    mesh.signal("peer-4", signal.SIGCONT)
    # On a busy machine a process that was killed is there for a while.
    until(lambda: not mesh.pid("peer-3"), "the killed peer to end")
    mesh.up()
    until(
        lambda: all(mesh.status(name).get("alive") == 4 for name in mesh.names()),
        "all to see all",
    )
