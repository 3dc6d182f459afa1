"""Scenarios: peers, faults drawn from the seed, a task load, and then peace.

Faults last for the first part of a run. In the second everything is healed and
restarted, and the mesh has to finish what it accepted: the liveness phase.
"""

import random
from collections.abc import Callable

import msgspec

from mesh.core.settings import CoreSettings
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.adversaries import ADVERSARIES
from simulations.agents import Behaviour
from simulations.checkers.accepted import AcceptedTasksEnd
from simulations.checkers.acknowledged import AcknowledgedResultsCount
from simulations.checkers.answers import RequestsAreAnswered
from simulations.checkers.attempts import AttemptsRunOnce, ResultsAreEarned
from simulations.checkers.blame import LiesAreNoticed, NobodyHonestIsBlamed
from simulations.checkers.children import ChildrenFollow
from simulations.checkers.ends import CancelledStaysCancelled, EndsHaveReasons
from simulations.checkers.keys import OneKeyOneTask
from simulations.checkers.membership import (
    MembershipConverges,
    NobodyIsBuriedAlive,
    OnlyTheAdmittedAreMembers,
)
from simulations.checkers.nothing_left import CoresHoldTheirInvariants, NothingIsLeft
from simulations.checkers.promptness import LossesAreSeenAtOnce
from simulations.checkers.results import ResultsAreRight
from simulations.checkers.slots import OneWinnerPerSlot
from simulations.faults import Faults, Injector
from simulations.keyrings import MakeKeyring, simulated_keyrings
from simulations.load import Clients, Load, skills_of
from simulations.world import Checker, World

SETTLING_NS = 3 * SECOND_NS
"""After so long every peer knows every other, before the load begins."""
LIVENESS_NS = 120 * SECOND_NS
"""So long after faults stop everything has ended."""
CONVERGED_NS = 45 * SECOND_NS
"""So long after faults stop every peer sees every other: three push-pulls."""


_WORK = Behaviour(duration_ns=150 * MILLISECOND_NS, spread=0.9)
_SICK = Behaviour(
    duration_ns=150 * MILLISECOND_NS, spread=0.9, failing=0.05, hanging=0.02, crashing=0.03
)


class Scenario(msgspec.Struct, frozen=True):
    """What may happen in a run; the seed draws what does."""

    name: str
    peers: int = 5
    duration_ns: int = 15 * SECOND_NS
    load: Load = Load()
    faults: Faults = Faults()
    behaviour: Behaviour = _WORK
    liars: tuple[str, ...] = ()
    """Adversaries by name (`simulations.adversaries`): the last peers of the mesh."""

    @property
    def can_fail(self) -> bool:
        """Whether a task may fail without anybody's fault."""
        harm = self.behaviour.failing or self.behaviour.hanging or self.behaviour.crashing
        return bool(harm or self.liars or not self.faults.peaceful or self.faults.slow)


_EVERYTHING = Faults(
    loss=0.02, duplication=0.01, reorder=0.01, crashes=0.25, pauses=0.15, cuts=0.15,
    leaves=0.07, full_disks=0.07, partitions=0.07, moves=0.2, slow=0.2,
)  # fmt: skip
_DEEP = Load(submissions=25, nested=0.8, depth_most=10, slots=1, deadline=0.0, cancelled=0.1)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("calm", peers=7),
        Scenario("lossy", faults=Faults(loss=0.05, duplication=0.02, reorder=0.02)),
        Scenario("crashes", faults=Faults(crashes=0.5, moves=0.2)),
        Scenario("pauses", faults=Faults(pauses=0.3)),
        Scenario("cuts", faults=Faults(cuts=0.3, partitions=0.1)),
        Scenario("deaf", faults=Faults(cuts=1.0, down_most_ns=10 * SECOND_NS)),
        Scenario("disks", faults=Faults(full_disks=0.4, crashes=0.1)),
        Scenario("leaves", faults=Faults(leaves=0.4, moves=0.5)),
        Scenario("sick", behaviour=_SICK, faults=Faults(slow=0.3)),
        Scenario("nested", load=_DEEP),
        Scenario("nested-crashes", load=_DEEP, faults=Faults(crashes=0.3, loss=0.01)),
        Scenario("pair", peers=2, faults=Faults(crashes=0.3, pauses=0.1, loss=0.02)),
        Scenario("everything", faults=_EVERYTHING, behaviour=_SICK),
        *(Scenario(f"liar-{name}", liars=(name,)) for name in ADVERSARIES),
        Scenario("slander-by-two", peers=7, liars=("slanderer", "slanderer")),
        Scenario(
            "liars",
            peers=7,
            liars=("meddler", "replayer"),
            faults=Faults(loss=0.01, crashes=0.2, duplication=0.01),
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
    coverage: dict[str, int]


def checkers_of(scenario: Scenario) -> tuple[Checker, ...]:
    """Every invariant that holds in a scenario."""
    faults = scenario.faults
    links_work = not (
        faults.loss or faults.pauses or faults.cuts or faults.partitions or scenario.liars
    )
    peaceful = faults.peaceful or bool(scenario.liars and not faults.crashes)
    return (
        AcceptedTasksEnd(),
        ResultsAreRight(),
        OneKeyOneTask(),
        AttemptsRunOnce(),
        ResultsAreEarned(),
        OneWinnerPerSlot(),
        AcknowledgedResultsCount(),
        EndsHaveReasons(scenario.can_fail),
        CancelledStaysCancelled(),
        ChildrenFollow(),
        RequestsAreAnswered(),
        LossesAreSeenAtOnce(links_work),
        NobodyHonestIsBlamed(),
        LiesAreNoticed(),
        OnlyTheAdmittedAreMembers(),
        NobodyIsBuriedAlive(peaceful),
        CoresHoldTheirInvariants(),
        MembershipConverges(),
        NothingIsLeft(),
    )


class Run:
    """One scenario under one seed."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        settings: CoreSettings | None = None,
        keyrings: Callable[[bytes], MakeKeyring] = simulated_keyrings,
    ) -> None:
        self.scenario = scenario
        rng = random.Random(f"{scenario.name} {seed}")
        self.clients = Clients(scenario.load, random.Random(rng.getrandbits(64)))
        self.accepted, *others = checkers_of(scenario)
        self.world = World(
            seed,
            scenario.peers,
            settings,
            checkers=(self.accepted, *others, self.clients),
            keyrings=keyrings,
        )
        self.injector = Injector(scenario.faults, self.world, random.Random(rng.getrandbits(64)))

    def execute(self) -> Report:
        """Runs it to its end.

        Raises:
            Violation: an invariant was broken.
        """
        world, scenario = self.world, self.scenario
        for index, peer in enumerate(world.peers):
            peer.start(skills_of(scenario.load, index, scenario.behaviour))
        world.run(SETTLING_NS)
        world.network.conditions = scenario.faults.conditions
        for peer, name in zip(reversed(world.peers), scenario.liars, strict=False):
            world.corrupt(peer, ADVERSARIES[name]())
        self.injector.begin(scenario.duration_ns)
        self.clients.begin(world, scenario.duration_ns)
        world.run(scenario.duration_ns)
        self.injector.make_peace()
        peace = world.now
        world.run_until(lambda: self.clients.are_served, LIVENESS_NS, 250 * MILLISECOND_NS)
        world.run(max(0, peace + CONVERGED_NS - world.now))
        digest = world.finish()
        return Report(
            scenario.name,
            world.seed,
            digest,
            world.now / SECOND_NS,
            world.events,
            len(self.clients.accepted),
            {
                key.removeprefix("ended: "): count
                for key, count in sorted(world.coverage.items())
                if key.startswith("ended: ")
            },
            dict(sorted(world.coverage.items())),
        )


def run(name: str, seed: int) -> Report:
    """Runs a named scenario under a seed.

    Raises:
        KeyError: there is no such scenario.
        Violation: an invariant was broken.
    """
    return Run(SCENARIOS[name], seed).execute()
