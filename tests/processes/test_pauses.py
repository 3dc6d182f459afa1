"""Peers stopped with SIGSTOP, which still hold their sockets open, and go on with SIGCONT."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.rig import CREW, PATIENCE_S, LocalMesh, finish, local_mesh, until


@pytest.fixture(scope="module")
def sleepers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """Four peers with the crew; whoever a test left stopped goes on before the next."""
    with local_mesh(tmp_path_factory.mktemp("sleepers"), 4, [CREW]) as mesh:
        yield mesh


@pytest.fixture(autouse=True)
def all_awake(sleepers: LocalMesh) -> Iterator[None]:
    yield
    for name in sleepers.names():
        sleepers.signal(name, signal.SIGCONT)
    sleepers.converge()


def test_a_short_pause_is_forgiven(sleepers: LocalMesh, tmp_path: Path) -> None:
    with sleepers.client("peer-1") as client:
        inputs = [{"path": str(tmp_path), "index": i, "seconds": 0.01} for i in range(200)]
        results = client.map("mark_index", inputs)
        first = [next(results) for _ in range(20)]
        sleepers.signal("peer-3", signal.SIGSTOP)
        more = [next(results) for _ in range(30)]
        sleepers.signal("peer-3", signal.SIGCONT)
        assert first + more + list(results) == list(range(200))
    assert sleepers.state_of("peer-3", seen_by="peer-1") in ("alive", "suspect")


def test_the_command_line_passes_over_a_stopped_home(sleepers: LocalMesh) -> None:
    sleepers.signal("peer-1", signal.SIGSTOP)
    row = sleepers.cli("call", "add", "a:=1").row
    assert (row["state"], row["result"]) == ("done", 2)
    rows = sleepers.cli("peers").rows
    assert [row["state"] for row in rows] == ["paused", "alive", "alive", "alive"]


def test_a_mesh_that_is_paused_altogether_says_so(sleepers: LocalMesh) -> None:
    for name in sleepers.names():
        sleepers.signal(name, signal.SIGSTOP)
    up, call = sleepers.start_cli("up", "--detach"), sleepers.start_cli("call", "add", "a:=1")
    ran = finish(up)
    assert (ran.status, "mesh resume" in ran.err) == (2, True)
    assert finish(call).status == 3


def test_a_stopped_worker_process_costs_a_timeout_and_no_task(
    sleepers: LocalMesh, tmp_path: Path
) -> None:
    (worker,) = sleepers.workers("peer-2")
    worker.suspend()
    try:
        with sleepers.client("peer-1") as client:
            view = client.options(timeout=0.3, retries=3)
            assert [view.call("add", a=i, b=0) for i in range(8)] == list(range(8))
    finally:
        if worker.is_running():
            worker.resume()


@pytest.mark.slow
def test_a_long_pause_is_a_death_and_waking_up_an_arrival(
    sleepers: LocalMesh, tmp_path: Path
) -> None:
    path, gate = tmp_path / "marks", tmp_path / "gate"
    with sleepers.client("peer-1") as client:
        handles = [client.submit("hold", path=str(path), gate=str(gate)) for _ in range(12)]
        until(lambda: path.exists() and len(path.read_text().splitlines()) == 12, "all to begin")
        sleepers.signal("peer-4", signal.SIGSTOP)
        until(lambda: sleepers.state_of("peer-4", seen_by="peer-1") == "dead", "the verdict")
        gate.touch()
        attempts = [handle.result(PATIENCE_S) for handle in handles]
        assert sum(attempts) > len(attempts), "peer-4 had some, and others ran them again"
        sleepers.signal("peer-4", signal.SIGCONT)
        sleepers.converge()
        assert client.options(to="peer-4").call("add", a=1) == 2
        # What it ended after all changes nothing.
        assert [client.task(handle.id)["result"] for handle in handles] == attempts


@pytest.mark.slow
def test_a_client_leaves_a_home_that_is_stopped_while_it_waits(sleepers: LocalMesh) -> None:
    with sleepers.client() as client:
        assert client.home == "peer-1"
        results = client.map("wait", [{"seconds": 0.02, "value": i} for i in range(400)])
        first = [next(results) for _ in range(10)]
        sleepers.signal("peer-1", signal.SIGSTOP)
        assert first + list(results) == list(range(400))
        assert client.home != "peer-1"
