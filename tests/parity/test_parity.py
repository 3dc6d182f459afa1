"""The same agents, the same client, the same scenario: the simulator and real sockets agree."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.client import Client
from mesh.testing import LocalMesh
from tests.parity.scenario import HELD, PEERS, TROUPE, Course, End, play
from tests.parity.troupe import agent
from tests.processes import rig


class Simulated:
    """Peers in memory, in virtual time."""

    def __init__(self, mesh: LocalMesh) -> None:
        self._mesh = mesh

    def client(self, peer: str) -> Client:
        return self._mesh.connect(peer)

    def kill(self, peer: str) -> None:
        self._mesh.kill(peer)

    def now(self) -> float:
        return self._mesh.now

    def wait(self, seconds: float) -> None:
        self._mesh.run(seconds)


class Real:
    """Processes, sockets and disks."""

    def __init__(self, mesh: rig.LocalMesh) -> None:
        self._mesh = mesh
        self.clients: list[Client] = []

    def client(self, peer: str) -> Client:
        client = self._mesh.client(peer)
        self.clients.append(client)
        return client

    def kill(self, peer: str) -> None:
        self._mesh.kill(peer)

    def now(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


@contextmanager
def real_stage(path: Path) -> Iterator[Real]:
    with rig.local_mesh(path, PEERS, [TROUPE]) as mesh:
        stage = Real(mesh)
        try:
            yield stage
        finally:
            for client in stage.clients:
                client.close()


@pytest.fixture(scope="module")
def simulated() -> Course:
    with LocalMesh(peers=PEERS, agents=agent, seed=1, takes=0.001) as mesh:
        return play(Simulated(mesh))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Course:
    with real_stage(tmp_path_factory.mktemp("parity")) as stage:
        return play(stage)


@pytest.mark.processes
def test_every_task_ends_alike(simulated: Course, real: Course) -> None:
    assert simulated.ends == real.ends


@pytest.mark.processes
def test_all_see_the_same_peer_dead(simulated: Course, real: Course) -> None:
    assert simulated.seen == real.seen
    assert simulated.seen == [["the victim dead", "alive", "alive", "alive"]] * (PEERS - 1)


@pytest.mark.processes
def test_a_killed_peers_work_is_done_once_more_elsewhere(simulated: Course, real: Course) -> None:
    for course in (simulated, real):
        assert len(course.held) == HELD
        assert 0 < sum(was_there for was_there, _ in course.held) < HELD
        for was_there, end in course.held:
            assert end == End("done", 1 + was_there, "", 1 + was_there)


@pytest.mark.parametrize("seed", range(2, 6))
def test_other_orders_of_events_end_alike(simulated: Course, seed: int) -> None:
    with LocalMesh(peers=PEERS, agents=agent, seed=seed, takes=0.001) as mesh:
        course = play(Simulated(mesh))
    assert course.ends == simulated.ends
    assert course.seen == simulated.seen
