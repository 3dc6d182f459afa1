"""Processes killed with -9: whoever it was, what was accepted completes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.client import Client, NoPeer
from tests.processes.rig import (
    CREW,
    PATIENCE_S,
    ROOT,
    LocalMesh,
    finish,
    local_mesh,
    until,
    until_done,
)


@pytest.fixture(scope="module")
def mortals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """Four peers with the crew; `all_up` starts those again that a test killed."""
    with local_mesh(tmp_path_factory.mktemp("mortals"), 4, [CREW]) as mesh:
        yield mesh


@pytest.fixture(autouse=True)
def all_up(mortals: LocalMesh) -> None:
    mortals.up()


def marks(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def test_tasks_whose_workers_peer_is_killed_complete_elsewhere(
    mortals: LocalMesh, tmp_path: Path
) -> None:
    path, gate = tmp_path / "marks", tmp_path / "gate"
    with mortals.client("peer-1") as client:
        # A peer has four slots, so some run at others than the custodian.
        handles = [client.submit("hold", path=str(path), gate=str(gate)) for _ in range(8)]
        until(lambda: len(marks(path)) == 8, "all to begin")
        peers = [client.why(handle.id)["history"][0]["peer"] for handle in handles]
        victim = next(peer for peer in peers if peer != "peer-1")
        mortals.kill(victim)
        gate.touch()
        attempts = [handle.result(PATIENCE_S) for handle in handles]
        assert attempts == [1 + (peer == victim) for peer in peers]
        assert victim not in {client.task(handle.id)["producer"] for handle in handles}


@pytest.mark.slow
def test_every_task_of_a_killed_peer_completes(mortals: LocalMesh, tmp_path: Path) -> None:
    with mortals.client("peer-1") as client:
        inputs = [{"path": str(tmp_path), "index": i, "seconds": 0.01} for i in range(300)]
        results = client.map("mark_index", inputs)
        first = [next(results) for _ in range(50)]
        mortals.kill("peer-4")
        assert first + list(results) == list(range(300))


def test_a_killed_custodian_has_its_tasks_and_results_again_when_it_is_started(
    mortals: LocalMesh, tmp_path: Path
) -> None:
    path, gate = tmp_path / "marks", tmp_path / "gate"
    with mortals.client("peer-2") as client:
        done = client.submit("add", a=20, b=22)
        assert done.result(PATIENCE_S) == 42
        running = client.options(to="peer-3").submit("hold", path=str(path), gate=str(gate))
        until(lambda: marks(path), "the handler to begin")
        waiting = [client.submit("wait", seconds=0.2, value=i) for i in range(20)]
        ids = [handle.id for handle in waiting]
        mortals.kill("peer-2")
    gate.touch()
    ran = mortals.cli("up", "--detach")
    assert len(ran.row["peers"]) == 4
    with mortals.client("peer-2") as client:
        assert client.task(done.id)["result"] == 42
        for index, task in enumerate(ids):
            assert until_done(client, task)["result"] == index
        assert until_done(client, running.id)["result"] == len(marks(path))


def test_a_client_whose_home_is_killed_goes_on_by_way_of_another(mortals: LocalMesh) -> None:
    with mortals.client() as client:
        assert client.home == "peer-1"
        # The first are quick, the others are still running when the home is killed.
        waits = [{"seconds": 0.01 if i < 10 else 0.3, "value": i} for i in range(400)]
        results = client.map("wait", waits)
        first = [next(results) for _ in range(10)]
        mortals.kill("peer-1")
        assert first + list(results) == list(range(400))
        assert client.home != "peer-1"


@pytest.mark.slow
def test_a_killed_client_leaves_its_tasks_running(mortals: LocalMesh, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    program = """if True:
        import sys, time
        from mesh.client import Client
        client = Client(dir=sys.argv[1])
        path, gate = sys.argv[2:]
        handles = [client.submit("hold", path=path, gate=gate) for _ in range(3)]
        print(*(handle.id for handle in handles), flush=True)
        time.sleep(600)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(mortals.path), str(tmp_path / "marks"), str(gate)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ids = process.stdout.readline().split()
    finally:
        process.kill()
        process.communicate()
    gate.touch()
    with mortals.client() as client:
        for task in ids:
            until_done(client, task)


@pytest.mark.slow
def test_a_killed_peer_is_dead_to_the_others_and_alive_again_after_up(mortals: LocalMesh) -> None:
    pid, boot = mortals.pid("peer-4"), mortals.status("peer-4")["boot"]
    workers = [worker.pid for worker in mortals.workers("peer-4")]
    assert workers
    mortals.cli("kill", "peer-4")
    until(lambda: mortals.state_of("peer-4", seen_by="peer-1") == "dead", "the verdict")
    until(
        lambda: not {process.pid for process in mortals.processes()} & {pid, *workers},
        "its workers to end with it",
    )
    assert mortals.cli("peers").rows[3]["state"] == "down"
    assert mortals.cli("up", "--detach").row["converged"]
    assert [row["alive"] for row in mortals.cli("peers").rows] == [4] * 4
    assert mortals.status("peer-4")["boot"] == boot + 1


@pytest.mark.slow
def test_all_peers_killed_at_once_come_back_with_their_tasks(
    mortals: LocalMesh, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with mortals.client("peer-3") as client:
        handles = [
            client.submit("hold", path=str(tmp_path / "marks"), gate=str(gate)) for _ in range(10)
        ]
        ids = [handle.id for handle in handles]
    for name in mortals.names():
        mortals.signal(name, signal.SIGKILL)
    until(lambda: not any(mortals.pid(name) for name in mortals.names()), "all to be gone")
    with pytest.raises(NoPeer):
        Client(dir=mortals.path)
    gate.touch()
    mortals.up()
    with mortals.client("peer-3") as client:
        for task in ids:
            until_done(client, task)


@pytest.mark.slow
def test_down_drains_what_runs_and_keeps_what_waits(mortals: LocalMesh, tmp_path: Path) -> None:
    with mortals.client("peer-1") as client:
        tasks = [client.submit("wait", seconds=0.4, value=i).id for i in range(10)]
        rows = [client.task(task) for task in tasks]
        assert {row["state"] for row in rows} <= {"accepted", "running"}
    down = mortals.cli("down").row
    assert down["killed"] == []
    assert mortals.leftovers() == []
    mortals.up()
    with mortals.client("peer-1") as client:
        for index, task in enumerate(tasks):
            row = until_done(client, task)
            assert (row["result"], row["attempts"]) == (index, 1)


@pytest.mark.slow
def test_map_by_the_command_line_survives_the_death_of_its_home(
    mortals: LocalMesh, tmp_path: Path
) -> None:
    file = tmp_path / "in.jsonl"
    lines = [json.dumps({"seconds": 0.02, "value": i}) for i in range(300)]
    file.write_text("\n".join(lines), encoding="utf-8")
    process = mortals.start_cli("map", "wait", str(file))
    assert process.stdout is not None
    rows = [json.loads(process.stdout.readline()) for _ in range(10)]
    os.kill(mortals.pid("peer-1"), signal.SIGKILL)
    rows += [json.loads(line) for line in process.stdout]
    assert finish(process).status == 0
    assert sorted(row["index"] for row in rows) == list(range(300))
    assert all(row["result"] == row["index"] for row in rows)
