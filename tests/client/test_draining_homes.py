"""A home peer that drains takes no new tasks: the client finds another one, and loses nothing."""

import pytest

from mesh.client.core import DRAINING, ClientCore, Entry
from mesh.client.transport import in_order, must_leave
from mesh.local.messages import Accepted, Settled, SettledTask
from mesh.local.messages import Refused as RefusedMessage
from mesh.local.options import Options
from mesh.local.values import encode_inputs


class Talk:
    """A core, and the numbers of its submissions."""

    def __init__(self) -> None:
        self.core = ClientCore("run")
        self.core.connected()
        self.requests = 0

    def submit(self) -> Entry:
        order = self.core.order("echo", Options(), collect=False)
        entry = self.core.entry(order, 0, encode_inputs({}))
        self.core.submit([entry])
        self.requests += 1
        return entry

    def accept(self, task: str) -> None:
        self.core.receive(Accepted(request=self.requests, tasks=[task]))

    def turn_away(self) -> None:
        self.core.receive(RefusedMessage(request=self.requests, kind=DRAINING, message="it drains"))

    def settle(self, task: str) -> None:
        self.core.receive(Settled(tasks=[SettledTask(task=task, state="done")]))


def test_what_a_draining_home_does_not_take_goes_to_another_one() -> None:
    talk, draining = Talk(), set[str]()
    entry = talk.submit()
    talk.turn_away()
    assert must_leave(talk.core, draining, "a")
    assert in_order(["a", "b", "c"], "a", draining) == ["b", "c", "a"]
    talk.core.take_outgoing()
    talk.core.disconnected()
    talk.core.connected()
    assert talk.core.take_outgoing()
    talk.requests += 1
    talk.accept("t")
    talk.settle("t")
    assert isinstance(entry.outcome, SettledTask)


def test_a_client_stays_until_what_its_draining_home_took_has_ended() -> None:
    """At another home it would be run a second time."""
    talk, draining = Talk(), set[str]()
    first = talk.submit()
    talk.accept("t")
    second = talk.submit()
    talk.turn_away()
    assert not must_leave(talk.core, draining, "a")
    talk.settle("t")
    assert isinstance(first.outcome, SettledTask)
    assert must_leave(talk.core, draining, "a")
    assert second.outcome is None


@pytest.mark.parametrize("homes", [["a"], ["a", "b", "c"]])
def test_where_all_drain_the_task_is_refused(homes: list[str]) -> None:
    talk, draining = Talk(), set[str]()
    entry = talk.submit()
    visited, home = [], homes[0]
    while entry.outcome is None:
        visited.append(home)
        talk.turn_away()
        if must_leave(talk.core, draining, home):
            talk.core.disconnected()
            talk.core.connected()
            talk.requests += 1
            home = in_order(homes, home, draining)[0]
    assert set(visited) == set(homes)
    assert len(visited) == len(homes) + 1
    assert str(entry.outcome) == "Draining: it drains"
    assert talk.core.rejection is None
