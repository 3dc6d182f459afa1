"""Peers stopped with SIGSTOP, which still hold their sockets open, and go on with SIGCONT."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.rig import CREW, PATIENCE_S, LocalMesh, finish, local_mesh, until

SHORT_PAUSE_S = 1.0
LONG_PAUSE_S = 20.0


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
        began = time.monotonic()
        sleepers.signal("peer-3", signal.SIGSTOP)
        more = [next(results) for _ in range(30)]
        sleepers.signal("peer-3", signal.SIGCONT)
        paused_s = time.monotonic() - began
        assert first + more + list(results) == list(range(200))
    state = sleepers.state_of("peer-3", seen_by="peer-1")
    # On a machine that was busy the pause was no short one, and may be a death.
    assert state in ("alive", "suspect") or paused_s > SHORT_PAUSE_S


@pytest.mark.slow
def test_the_command_line_passes_over_a_stopped_home(sleepers: LocalMesh) -> None:
    sleepers.signal("peer-1", signal.SIGSTOP)
    row = sleepers.cli("call", "add", "a:=1").row
    assert (row["state"], row["result"]) == ("done", 2)
    rows = sleepers.cli("peers").rows
    assert [row["state"] for row in rows] == ["paused", "alive", "alive", "alive"]


@pytest.mark.slow
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
def test_work_at_a_stopped_peer_begins_elsewhere_while_it_stands_still(
    sleepers: LocalMesh, tmp_path: Path
) -> None:
    """Silent beats decide it, or gossip, whichever comes first: both take about three seconds."""
    path, gate = tmp_path / "marks", tmp_path / "gate"

    def begun() -> list[str]:
        return path.read_text().splitlines() if path.exists() else []

    with sleepers.client("peer-1") as client:
        # More than two peers have room for: some run at a peer that is not the client's.
        handles = [client.submit("hold", path=str(path), gate=str(gate)) for _ in range(9)]
        until(lambda: len(begun()) == 9, "all to begin")
        at = Counter(client.why(handle.id)["history"][0]["peer"] for handle in handles)
        stopped = next(name for name, _ in at.most_common() if name != "peer-1")
        sleepers.signal(stopped, signal.SIGSTOP)
        # The others have room for all of them.
        until(lambda: len(begun()) == 9 + at[stopped], "others to begin them again")
        gate.touch()
        for handle in handles:
            handle.result(PATIENCE_S)
        first = [client.why(handle.id)["history"][0] for handle in handles]
    lost = [attempt["status"] for attempt in first if attempt["peer"] == stopped]
    assert lost == ["lost"] * at[stopped]


@pytest.mark.slow
def test_a_peer_that_is_stopped_for_long_costs_a_map_little_and_comes_back(
    sleepers: LocalMesh,
) -> None:
    count = 1500
    with sleepers.client("peer-1") as client:
        inputs = [{"path": "", "index": i, "seconds": 0.02} for i in range(count)]
        outcomes = client.map_unordered("mark_index", inputs)
        got = [next(outcomes) for _ in range(count // 3)]
        began = time.monotonic()
        sleepers.signal("peer-4", signal.SIGSTOP)
        got += list(outcomes)
        took_s = time.monotonic() - began
        assert sorted((i, o.value) for i, o in got) == [(i, i) for i in range(count)]
        assert any(outcome.attempts > 1 for _, outcome in got), "some were at the stopped peer"
        assert took_s < LONG_PAUSE_S, "the map did not wait for the stopped peer"
        until(lambda: time.monotonic() - began > LONG_PAUSE_S, "the long pause to pass")
        assert sleepers.state_of("peer-4", seen_by="peer-1") == "dead"
        sleepers.signal("peer-4", signal.SIGCONT)
        sleepers.converge()

        def is_given_work() -> bool:
            again = client.map_unordered("mark_index", inputs[:200])
            return "peer-4" in {outcome.producer for _, outcome in again}

        until(is_given_work, "peer-4 to win slots again")
        assert client.options(to="peer-4").call("add", a=1) == 2


@pytest.mark.slow
def test_a_client_leaves_a_home_that_is_stopped_while_it_waits(
    sleepers: LocalMesh, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with sleepers.client() as client:
        assert client.home == "peer-1"
        inputs = [
            {"path": str(tmp_path), "index": i, "gate": str(gate) if i >= 10 else ""}
            for i in range(60)
        ]
        results = client.map("mark_index", inputs)
        first = [next(results) for _ in range(10)]
        sleepers.signal("peer-1", signal.SIGSTOP)
        gate.touch()
        assert first + list(results) == list(range(60))
        assert client.home != "peer-1"
