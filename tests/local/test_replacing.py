"""Workers that take over from older ones of the same file."""

from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.client import Client, TaskFailed
from mesh.runtime import replacing
from tests.local.fake_peer import FakePeer, running_peer
from tests.local.test_worker_host import until

AGENT = """
import os, time
from pathlib import Path
from mesh import Agent
agent = Agent("a")
second = Agent("b")
GATE = Path({gate!r})

@agent.skill(slots=2)
def version() -> str:
    return {version!r}

@agent.skill(slots=2)
def hold() -> str:
    while not GATE.exists():
        time.sleep(0.005)
    return {version!r}

@second.skill(slots=2)
def other({parameter}: int) -> str:
    return {version!r}
"""


class Rig:
    def __init__(self, peer: FakePeer, file: Path, gate: Path) -> None:
        self.peer = peer
        self.file = file
        self.gate = gate

    def write(self, version: str, parameter: str = "n") -> None:
        text = AGENT.format(version=version, gate=str(self.gate), parameter=parameter)
        self.file.write_text(text)

    def reload(self) -> dict[str, Any]:
        host = self.peer.driver.host
        assert host is not None
        (told,) = trio.from_thread.run(host.reload, str(self.file), trio_token=self.peer._token)  # noqa: SLF001  # as the peer's own loop would
        assert isinstance(told, dict)
        return told

    def pids(self) -> list[int]:
        host = self.peer.driver.host
        assert host is not None
        return [process.pid for process in host._processes if process.path == self.file]  # noqa: SLF001  # those that drain, too


@pytest.fixture
def rig(tmp_path: Path) -> Any:
    file, gate = tmp_path / "agent.py", tmp_path / "gate"
    file.write_text(AGENT.format(version="one", gate=str(gate), parameter="n"))
    with running_peer(tmp_path, files=[str(file)]) as peer:
        until(lambda: "other" in peer.driver.skills)
        yield Rig(peer, file, gate)
        gate.touch()


def test_the_old_worker_finishes_what_it_runs_and_the_new_one_takes_the_rest(rig: Rig) -> None:
    with Client(address=rig.peer.socket) as client:
        held = client.submit("hold")
        until(lambda: rig.peer.driver.running.get("hold"))
        (old,) = rig.pids()
        skills = len(rig.peer.driver.commands)
        rig.write("two")
        told = rig.reload()
        assert (told["replaced"], told["error"], told["kept"]) == (True, "", [])
        assert client.call("version") == client.call("other", n=1) == "two"
        assert len(rig.pids()) == 2
        later = client.submit("hold")
        rig.gate.touch()
        assert (held.result(20), later.result(20)) == ("one", "two")
        until(lambda: len(rig.pids()) == 1)
        assert old not in rig.pids()
    said = [c for c in rig.peer.driver.commands[skills:] if type(c).__name__ == "HostSkills"]
    assert said == [], "the core never saw the skills go"


def test_a_new_schema_counts_at_once(rig: Rig) -> None:
    rig.write("two", parameter="renamed")
    assert rig.reload()["replaced"]
    with Client(address=rig.peer.socket) as client:
        assert client.call("other", renamed=1) == "two"
        with pytest.raises(TaskFailed, match="InvalidInput"):
            client.call("other", n=1)
    assert b"renamed" in rig.peer.driver.skills["other"][0].input_schema


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("raise RuntimeError('out of ink')", "out of ink"),
        ("import os\nos._exit(77)", "it ended with status 77"),
        ("from mesh import Agent\na = Agent('a')\n@a.skill\ndef echo(n: int): ...", "twice"),
        ("agents = []", "defines no agent"),
    ],
)
def test_a_file_that_cannot_be_used_leaves_the_old_worker(rig: Rig, text: str, error: str) -> None:
    before = rig.pids()
    (rig.file.parent / "worker-agent.log").write_text("what the old one said\n")
    rig.file.write_text(text)
    told = rig.reload()
    assert not told["replaced"]
    assert error in told["error"]
    assert "what the old one said" not in told["error"]
    with Client(address=rig.peer.socket) as client:
        assert client.call("version") == "one"
    until(lambda: rig.pids() == before)


def test_a_worker_that_does_not_register_in_time_is_given_up(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, "REPLACE_S", 0.2)
    before = rig.pids()
    rig.file.write_text("import time\ntime.sleep(600)")
    assert "did not register within 0.2 s" in rig.reload()["error"]
    until(lambda: rig.pids() == before)


def test_only_so_many_old_workers_drain(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "DRAINING_LIMIT", 1)
    with Client(address=rig.peer.socket) as client:
        client.submit("hold")
        until(lambda: rig.peer.driver.running.get("hold"))
        assert rig.reload()["replaced"]
        assert "still finish what they run" in rig.reload()["error"]
        rig.gate.touch()
        until(lambda: len(rig.pids()) == 1)
        assert rig.reload()["replaced"]


def test_a_file_that_failed_is_taken_up_again(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text("raise RuntimeError('out of ink')")
    with running_peer(tmp_path, files=[str(file)]) as peer:
        rig = Rig(peer, file, tmp_path / "gate")
        rig.write("two")
        assert rig.reload()["replaced"]
        with Client(address=peer.socket) as client:
            assert client.call("version") == "two"
        assert len(rig.pids()) == 1
