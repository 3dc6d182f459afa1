"""Who gets the slots of real peers when they are fewer than the work."""

import threading
import time
from collections.abc import Iterator

import pytest

from mesh.client import Client, TaskFailed
from tests.processes.rig import LANES, PATIENCE_S, LocalMesh, local_mesh


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """Three peers, each with one slot of a skill."""
    with local_mesh(tmp_path_factory.mktemp("lanes"), 3, [LANES]) as mesh:
        yield mesh


def test_a_task_does_not_queue_behind_a_direct_one_while_others_idle(lanes: LocalMesh) -> None:
    with lanes.client("peer-1") as client:
        long = client.options(to="peer-1").submit("hold", seconds=4.0)
        begun = time.monotonic()
        assert client.call("hold", seconds=0.1) == 0.1
        assert time.monotonic() - begun < 3.0
        assert client.task(long.id)["state"] == "running"
        long.cancel()


def test_two_clients_with_much_work_share_the_slots(lanes: LocalMesh) -> None:
    first_done = threading.Event()
    with lanes.client("peer-1") as one, lanes.client("peer-2") as two:

        def work_off(client: Client) -> None:
            for _ in client.map("step", [{"seconds": 0.01}] * 600):
                pass

        def work_first() -> None:
            work_off(one)
            first_done.set()

        hoarder = threading.Thread(target=work_first)
        hoarder.start()
        time.sleep(0.3)
        results = two.map("step", [{"seconds": 0.01}] * 60)
        assert sum(1 for _ in results) == 60
        assert not first_done.is_set(), "the second did not wait for the first to end"
        hoarder.join(PATIENCE_S)
        assert first_done.is_set()


def test_a_retry_goes_to_another_peer(lanes: LocalMesh) -> None:
    with lanes.client("peer-1") as client:
        for _ in range(4):
            task = client.submit("fails")
            with pytest.raises(TaskFailed):
                task.result(PATIENCE_S)
            peers = [attempt["peer"] for attempt in client.why(task.id)["history"]]
            assert len(peers) == len(set(peers)) == 3
