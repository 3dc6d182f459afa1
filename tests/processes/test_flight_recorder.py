"""A real mesh, recorded, one peer of it killed: each peer is replayed to what it did."""

from pathlib import Path

import pytest

from simulations.reexecute import Reexecuted, reexecute
from tests.processes.rig import CREW, RUNNING, LocalMesh, local_mesh, until

PEERS = 5
VICTIM = "peer-4"


def run(mesh: LocalMesh, path: Path) -> None:
    """Work of all kinds, and a kill -9 in the middle of it."""
    with mesh.client("peer-1") as client:
        inputs = [{"path": str(path), "index": i, "seconds": 0.005} for i in range(200)]
        results = client.map("mark_index", inputs)
        first = [next(results) for _ in range(40)]
        mesh.kill(VICTIM)
        assert first + list(results) == list(range(200))
        assert client.call("size", blob="x" * 300_000) == 300_000
        assert client.call("flaky", good_attempt=2) == 2
        waiting = client.submit("wait", seconds=60)
        waiting.cancel()
    until(lambda: mesh.state_of(VICTIM, "peer-1") == "dead", "the dead to be known")


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reexecuted]:
    place = tmp_path_factory.mktemp("recorded")
    with local_mesh(place, PEERS, [CREW]) as mesh:
        names = mesh.names()
        run(mesh, place)
    return {name: reexecute(place / ".mesh" / "peers" / name / "recording") for name in names}


@pytest.mark.slow
def test_every_peer_that_was_stopped_is_replayed_to_its_last_state(
    replayed: dict[str, Reexecuted],
) -> None:
    endings = {name: each.ending for name, each in replayed.items() if name != VICTIM}
    assert endings == dict.fromkeys(endings, "closed")
    assert len(endings) == PEERS - 1
    assert all(replayed[name].inputs > 50 for name in endings)


@pytest.mark.slow
def test_a_peer_killed_with_9_is_replayed_to_its_last_whole_block(
    replayed: dict[str, Reexecuted],
) -> None:
    killed = replayed.pop(VICTIM)
    assert killed.ending == "cut"
    assert killed.inputs > 20
    others = max(each.ended_ns for each in replayed.values())
    assert killed.begun_ns < killed.ended_ns < others


@pytest.mark.slow
def test_nothing_is_recorded_where_that_is_not_wanted(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path / ".mesh")
    RUNNING.append(mesh)
    try:
        mesh.cli("up", "--detach", "-n", "1", "--recording", "0")
        assert mesh.pid("peer-1")
        assert not mesh.folder.peer_folder("peer-1").recording.exists()
    finally:
        mesh.down()
        RUNNING.remove(mesh)
