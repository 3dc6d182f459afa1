"""Peers' load, from the worker that has it to the custodian that chooses, by gossip alone."""

from collections import Counter

import msgspec
import pytest

from protocols.machine import SECOND_NS
from protocols.tasks.commands import TaskSpec
from protocols.tasks.events import TasksSettled
from simulations.agents import Behaviour, ModelledSkill
from simulations.observations import JobHanded
from simulations.peer import SimulatedPeer
from simulations.world import World

SHORT = ModelledSkill("work", 1, behaviour=Behaviour(duration_ms=20))
LONG = ModelledSkill("long", 1, timeout_ms=600_000, behaviour=Behaviour(duration_ms=60_000))
INPUT = msgspec.Raw(msgspec.msgpack.encode({"index": 1}))
CALLS = 20


class Runs:
    """Who ran how many jobs of a skill."""

    hears: tuple[type[msgspec.Struct], ...] = (JobHanded, TasksSettled)

    def __init__(self) -> None:
        self.by: Counter[str] = Counter()
        self.settled = 0

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        match event:
            case JobHanded():
                self.by[peer.name] += 1
            case TasksSettled():
                self.settled += len(event.settled)

    def finish(self, world: World) -> None:
        """Nothing is wrong."""


def calls_meet(seed: int, is_busy: bool) -> Counter[str]:
    """Who runs single tasks of one custodian while another one's fill the second peer."""
    runs = Runs()
    world = World(seed, 4, checkers=(runs,))
    here, busy, idle, elsewhere = world.peers
    for peer in (here, elsewhere):
        peer.start(())
    for peer in (busy, idle):
        peer.start((SHORT, LONG))
    world.run(10 * SECOND_NS)
    if is_busy:
        spec = TaskSpec("long", INPUT, strategy="direct", to=busy.peer)
        assert world.ask(elsewhere, (spec,), lambda _: None) is None
        world.run(5 * SECOND_NS)
    runs.by.clear()
    before = runs.settled
    for number in range(CALLS):
        spec = TaskSpec("work", INPUT, strategy="least_loaded")
        assert world.ask(here, (spec,), lambda _: None) is None
        world.run(SECOND_NS)
        assert runs.settled == before + number + 1
    return runs.by


@pytest.mark.parametrize("seed", [1, 2])
def test_single_tasks_go_to_the_idle_peer_whoever_keeps_the_other_busy(seed: int) -> None:
    assert calls_meet(seed, is_busy=True) == {"peer-3": CALLS}


def test_where_both_are_idle_both_get_some() -> None:
    counts = calls_meet(1, is_busy=False)
    assert min(counts["peer-2"], counts["peer-3"]) >= CALLS // 5
