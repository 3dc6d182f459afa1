"""Who gets the slots of real peers when they are fewer than the work."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from mesh.cli.tasks import tell
from mesh.client import Client, Refused, TaskFailed
from protocols.tasks.dispatch import DIRECT_SLOTS
from tests.processes.rig import LANES, PATIENCE_S, LocalMesh, local_mesh, until

FOR_LONG_S = 2 * PATIENCE_S
MANY = 36
MUCH_MS = 1_000 * DIRECT_SLOTS


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """Three peers, each with one slot of a skill."""
    with local_mesh(tmp_path_factory.mktemp("lanes"), 3, [LANES]) as mesh:
        yield mesh


@pytest.mark.slow
def test_a_task_does_not_queue_behind_a_direct_one_while_others_idle(lanes: LocalMesh) -> None:
    with lanes.client("peer-1") as client:
        long = client.options(to="peer-1").submit("hold", seconds=FOR_LONG_S)
        assert client.call("hold", seconds=0.1) == 0.1
        assert client.task(long.id)["state"] == "running"
        long.cancel()


@pytest.mark.slow
def test_two_clients_with_much_work_share_the_slots(lanes: LocalMesh) -> None:
    """The first has always more to do, and its window of it is at the peers before."""
    has_begun, is_enough = threading.Event(), threading.Event()

    def without_end() -> Iterator[dict[str, float]]:
        while not is_enough.is_set():
            yield {"seconds": 0.01}

    def hoard(client: Client) -> None:
        for _ in client.map("step", without_end(), window=200):
            has_begun.set()

    with lanes.client("peer-1") as one, lanes.client("peer-2") as two:
        hoarder = threading.Thread(target=hoard, args=(one,))
        hoarder.start()
        try:
            assert has_begun.wait(PATIENCE_S)
            results = two.map("step", [{"seconds": 0.01}] * 60)
            assert sum(1 for _ in results) == 60
        finally:
            is_enough.set()
            hoarder.join(PATIENCE_S)
        assert not hoarder.is_alive()


@pytest.mark.slow
def test_the_least_loaded_peers_take_tasks_and_a_busy_one_fewer(lanes: LocalMesh) -> None:
    with lanes.client("peer-1") as client:
        long = client.options(to="peer-2").submit("hold", seconds=30.0)
        until(lambda: client.task(long.id)["state"] == "running", "the long one runs")
        view = client.options(strategy="least_loaded", deadline=PATIENCE_S)
        tasks = [view.submit("hold", seconds=0.05) for _ in range(30)]
        until(
            lambda: sum(client.task(task.id)["state"] == "done" for task in tasks) >= 26,
            "all are done but those that stand behind the long one",
        )
        long.cancel()
        for task in tasks:
            task.result(PATIENCE_S)
        stories = [client.why(task.id) for task in tasks]
        counts = Counter(story["producer"] for story in stories)
        assert counts["peer-2"] <= DIRECT_SLOTS, "no more wait behind a long one"
        assert not any(story["lots"] for story in stories)
        assert any("no auction: of two peers drawn" in line for line in tell(stories[0]))
        with pytest.raises(Refused, match="auction, board, direct, least_loaded"):
            client.options(strategy="nearest").call("hold", seconds=0.1)
    ran = lanes.cli("call", "hold", "seconds:=0.1", "--strategy", "least_loaded")
    assert lanes.cli("task", ran.row["task"]).row["strategy"] == "least_loaded"


@pytest.mark.slow
def test_a_peer_that_is_busy_for_somebody_else_is_passed_over_by_single_tasks(
    lanes: LocalMesh,
) -> None:
    """Its load comes by gossip: this custodian sent nothing there.

    It says that it has more to do than any other peer can seem to have, on a machine however
    busy. Only what an attempt that was lost moves on to is not looked at.
    """
    with lanes.client("peer-1") as client, lanes.client("peer-2") as other:

        def load_seen() -> int:
            rows = lanes.status("peer-1").get("members", ())
            return next((row["load_ms"] for row in rows if row["name"] == "peer-2"), 0)

        there = other.options(to="peer-2")
        line = [there.submit("block", seconds=FOR_LONG_S) for _ in range(DIRECT_SLOTS)]
        view = client.options(strategy="least_loaded", deadline=PATIENCE_S)
        tasks = []
        try:
            for _ in range(MANY):
                until(lambda: load_seen() >= MUCH_MS, "the load is known")
                tasks.append(view.submit("step", seconds=0.0))
                tasks[-1].result(PATIENCE_S)
        finally:
            for task in reversed(line):
                task.cancel()
        assert "peer-2" not in {client.why(task.id)["history"][0]["peer"] for task in tasks}
        until(lambda: not load_seen(), "it is idle again, and known to be")


@pytest.mark.slow
def test_a_retry_goes_to_another_peer(lanes: LocalMesh) -> None:
    with lanes.client("peer-1") as client:
        for _ in range(4):
            task = client.submit("fails")
            with pytest.raises(TaskFailed):
                task.result(PATIENCE_S)
            peers = [attempt["peer"] for attempt in client.why(task.id)["history"]]
            assert len(peers) == len(set(peers)) == 3


@pytest.mark.slow
def test_tasks_without_an_auction_leave_a_peer_that_is_killed(lanes: LocalMesh) -> None:
    """The last one here: it leaves two peers."""
    with lanes.client("peer-1") as client:
        view = client.options(strategy="least_loaded", deadline=PATIENCE_S)
        tasks = [view.submit("hold", seconds=0.3) for _ in range(12)]
        running = {"peer": "peer-3", "status": "running"}.items()
        until(
            lambda: any(running <= client.why(task.id)["history"][-1].items() for task in tasks),
            "some run on peer-3",
        )
        lanes.kill("peer-3")
        assert [task.result(PATIENCE_S) for task in tasks] == [0.3] * 12
        ends = [attempt for task in tasks for attempt in client.why(task.id)["history"]]
        assert any(end["peer"] == "peer-3" and end["status"] == "lost" for end in ends)
