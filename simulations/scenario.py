"""Scenarios: peers, faults drawn from the seed, a task load, and then peace.

Faults last for the first part of a run. In the second everything is healed and
restarted, and the mesh has to finish what it accepted: the liveness phase.
"""

import random
from collections.abc import Callable

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks.commands import SubmitTasks, TaskSpec
from simulations.agents import Behaviour, ModelledSkill
from simulations.checkers.accepted import AcceptedTasksEnd, ResultsAreRight
from simulations.checkers.membership import MembershipConverges, NobodyHonestIsBlamed
from simulations.network import NetworkConditions
from simulations.world import SimulatedPeer, World

QUIET_NS = 60 * SECOND_NS


class Scenario(msgspec.Struct, frozen=True):
    """What may happen in a run; the seed draws what does. Rates are per virtual second."""

    name: str
    peers: int = 5
    duration_ns: int = 20 * SECOND_NS
    tasks: int = 120
    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0
    crash_rate: float = 0.0
    pause_rate: float = 0.0
    cut_rate: float = 0.0
    down_most_ns: int = 6 * SECOND_NS
    behaviour: Behaviour = Behaviour()


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm"),
        Scenario("lossy", loss=0.05, duplication=0.02, reorder=0.02),
        Scenario("crashes", crash_rate=0.3),
        Scenario("pauses", pause_rate=0.3),
        Scenario("cuts", cut_rate=0.3),
        Scenario(
            "everything",
            loss=0.02,
            duplication=0.01,
            reorder=0.01,
            crash_rate=0.2,
            pause_rate=0.15,
            cut_rate=0.15,
            behaviour=Behaviour(failing=0.05, hanging=0.02, crashing=0.03),
        ),
    )
}


class Report(msgspec.Struct, frozen=True):
    """How a run went."""

    scenario: str
    seed: int
    digest: str
    virtual_seconds: float
    events: int
    tasks: int
    states: dict[str, int]


class Run:
    """One scenario under one seed."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.rng = random.Random(f"faults {scenario.name} {seed}")
        self.accepted = AcceptedTasksEnd()
        self.right = ResultsAreRight()
        self.world = World(
            seed,
            scenario.peers,
            conditions=NetworkConditions(
                loss=scenario.loss, duplication=scenario.duplication, reorder=scenario.reorder
            ),
            checkers=(self.accepted, self.right, MembershipConverges(), NobodyHonestIsBlamed()),
        )
        self._requests = 0

    def execute(self) -> Report:
        """Runs it to its end.

        Raises:
            Violation: an invariant was broken.
        """
        world, scenario = self.world, self.scenario
        skill = ModelledSkill("work", behaviour=scenario.behaviour)
        for peer in world.peers:
            world.start(peer, (skill,))
        world.run(3 * SECOND_NS)
        begin = world.now
        for index in range(scenario.tasks):
            world.at(begin + self.rng.randrange(scenario.duration_ns), self._submit_later(index))
        self._draw_faults(begin)
        world.run(scenario.duration_ns)
        self._make_peace()
        world.run_until(self._all_settled, QUIET_NS)
        world.run(QUIET_NS)
        digest = world.finish()
        states: dict[str, int] = {}
        for settled in self.accepted.settled.values():
            states[settled.state] = states.get(settled.state, 0) + 1
        return Report(
            scenario.name,
            world.seed,
            digest,
            world.now / SECOND_NS,
            world.events,
            len(self.accepted.accepted),
            states,
        )

    def _all_settled(self) -> bool:
        return len(self.accepted.settled) >= len(self.accepted.accepted)

    def _submit_later(self, index: int) -> Callable[[], None]:
        def submit() -> None:
            running = [peer for peer in self.world.peers if peer.core is not None]
            running = [peer for peer in running if peer.paused_until <= self.world.now]
            if not running:
                return
            peer = self.rng.choice(running)
            self._requests += 1
            value = {"index": index}
            self.right.submitted[self._requests] = value
            spec = TaskSpec(skill="work", input=msgspec.Raw(msgspec.msgpack.encode(value)))
            self.world.submit(peer, SubmitTasks(self._requests, (spec,)))

        return submit

    def _draw_faults(self, begin: int) -> None:
        scenario, rng, world = self.scenario, self.rng, self.world
        seconds = scenario.duration_ns / SECOND_NS
        for rate, fault in (
            (scenario.crash_rate, self._crash),
            (scenario.pause_rate, self._pause),
            (scenario.cut_rate, self._cut),
        ):
            for _ in range(round(rate * seconds)):
                world.at(begin + rng.randrange(scenario.duration_ns), fault)

    def _crash(self) -> None:
        peer = self.rng.choice(self.world.peers)
        self.world.crash(peer)
        down = self.rng.randint(50 * MILLISECOND_NS, self.scenario.down_most_ns)
        self.world.after(down, lambda: self._restart(peer))

    def _restart(self, peer: SimulatedPeer) -> None:
        if peer.core is None:
            self.world.start(peer)

    def _pause(self) -> None:
        peer = self.rng.choice(self.world.peers)
        self.world.pause(peer, self.rng.randint(50 * MILLISECOND_NS, self.scenario.down_most_ns))

    def _cut(self) -> None:
        world = self.world
        one, other = self.rng.sample(world.peers, 2)
        world.network.cut(one.peer, other.peer)
        if self.rng.random() < 0.5:
            world.network.cut(other.peer, one.peer)
        world.after(self.rng.randint(SECOND_NS, self.scenario.down_most_ns), world.network.heal)

    def _make_peace(self) -> None:
        world = self.world
        world.network.heal()
        world.network.conditions = NetworkConditions()
        for peer in world.peers:
            peer.paused_until = min(peer.paused_until, world.now)
            self._restart(peer)


def run(name: str, seed: int) -> Report:
    """Runs a named scenario under a seed.

    Raises:
        KeyError: there is no such scenario.
        Violation: an invariant was broken.
    """
    return Run(SCENARIOS[name], seed).execute()
