"""Four hosts write to one blackboard while a partition comes and goes."""

import contextlib
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from mesh.local.errors import MeshError
from tests.namespaces.lan import Host, Lan, lan
from tests.namespaces.test_three_hosts import HEAL_S, found, sees, view
from tests.processes.accusations import accusations
from tests.processes.rig import RUNNING, until

NAMES = ("anna", "bert", "carl", "dora")
WRITES_A_SIDE = 40

pytestmark = [pytest.mark.slow, pytest.mark.namespaces]


@pytest.fixture
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    with lan(tmp_path_factory.mktemp("lan")) as made, contextlib.ExitStack() as ends:
        for name in NAMES:
            host = made.add(name)
            RUNNING.append(host.mesh)
            ends.callback(RUNNING.remove, host.mesh)
            ends.callback(host.mesh.down)
            ends.callback(host.stop)
        found(made)
        yield made


class Writer:
    """Writes at one host's peer until it is told to end; remembers what was acknowledged."""

    def __init__(self, host: Host, ends: threading.Event) -> None:
        self.host = host
        self.name = host.mesh.path.name
        self.acknowledged: dict[str, object] = {}
        self._ends = ends
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _write(self) -> None:
        number = 0
        with self.host.mesh.client(self.name) as client:
            while not self._ends.is_set():
                number += 1
                key = f"storm/{self.name}/{number}"
                # Whatever is not acknowledged may be there or not.
                with contextlib.suppress(MeshError, TimeoutError):
                    client.board.put(key, number)
                    self.acknowledged[key] = number
                    client.board.put("storm/shared", f"{self.name} {number}")
                    client.board.add("storm/names", self.name)
                self._ends.wait(0.02)


def state(host: Host) -> dict[str, object]:
    with host.mesh.client(host.mesh.path.name) as client:
        return {entry.key: entry.value for entry in client.board.ls("storm/")}


def are_equal(network: Lan) -> bool:
    one, *others = (state(host) for host in network.hosts)
    return all(other == one for other in others)


def all_see_all(network: Lan) -> bool:
    return all(list(view(host).values()) == ["alive"] * 3 for host in network.hosts)


def more(writers: list[Writer]) -> None:
    """Every host has a number of further writes acknowledged."""
    enough = {each: len(each.acknowledged) + WRITES_A_SIDE for each in writers}
    with contextlib.suppress(AssertionError):
        until(
            lambda: all(len(each.acknowledged) >= count for each, count in enough.items()),
            "writes at every host",
            HEAL_S,
        )
    short = {each.name: count - len(each.acknowledged) for each, count in enough.items()}
    assert max(short.values()) <= 0, f"writes that are missing at each host: {short}"


def test_both_sides_write_and_all_is_there_when_they_meet_again(network: Lan) -> None:
    until(partial(all_see_all, network), "all to see all", HEAL_S)
    anna, bert, carl, dora = network.hosts
    ends = threading.Event()
    writers = [Writer(host, ends) for host in network.hosts]
    try:
        more(writers)
        for far in ((carl, dora), (bert,)):
            network.split(*far)
            gone = far[-1].mesh.path.name
            until(partial(sees, anna, **{gone: "dead"}), "anna to miss the far side", HEAL_S)
            more(writers)
            network.split()
            until(partial(all_see_all, network), "all to see all again", HEAL_S)
            more(writers)
    finally:
        ends.set()
        for writer in writers:
            writer.join()
    until(partial(are_equal, network), "equal replicas", HEAL_S)
    there = state(anna)
    for writer in writers:
        assert {key: there.get(key) for key in writer.acknowledged} == writer.acknowledged
    names = there["storm/names"]
    assert isinstance(names, list)
    assert sorted(names) == sorted(NAMES)
    for host in network.hosts:
        assert accusations(host.mesh.path) == []
