"""Runs: a plan executed, with every invariant watched over.

Faults last for the first part of a run. In the second everything is healed and
restarted, and the mesh has to finish what it accepted: the liveness phase.
"""

import random
from collections.abc import Callable

import msgspec

from mesh.core.settings import CoreSettings
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.adversaries import ADVERSARIES
from simulations.agent_load import AgentClients
from simulations.auditing import Electorate
from simulations.blob_load import BlobClients
from simulations.board_load import BoardClients
from simulations.checkers.accepted import AcceptedTasksEnd
from simulations.checkers.acknowledged import AcknowledgedResultsCount
from simulations.checkers.agents import AgentsAreHeeded
from simulations.checkers.answers import RequestsAreAnswered
from simulations.checkers.attempts import AttemptsRunOnce, ResultsAreEarned
from simulations.checkers.blame import LiesAreNoticed, NobodyHonestIsBlamed
from simulations.checkers.board import (
    BoardConverges,
    BoardKeepsWhatItAcknowledged,
    BoardMemoryFollowsLiveData,
)
from simulations.checkers.children import ChildrenFollow
from simulations.checkers.claims import ClaimsAreHonoured
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
from simulations.checkers.revoked import RevokedStayOut
from simulations.checkers.slots import OneWinnerPerSlot
from simulations.checkers.voting import voting_checkers
from simulations.faults import Injector
from simulations.keyrings import MakeKeyring, keyrings_of
from simulations.load import Clients, skills_of
from simulations.plan import Plan, draw
from simulations.scenario import SCENARIOS
from simulations.schedule import (
    Conditions,
    Crash,
    Cut,
    Fault,
    Leave,
    Partition,
    Pause,
    Restore,
    Slow,
)
from simulations.trace import Tracer
from simulations.voting_load import VotingClients
from simulations.world import Checker, World

SETTLING_NS = 3 * SECOND_NS
"""After so long every peer knows every other, before the load begins."""
STALLED_NS = 120 * SECOND_NS
"""After faults stop, some task ends at least as often as this until all have."""
QUIET_NS = 5 * SECOND_NS
"""So long after the last task ended, slots have gone back and leases have run out."""
CONVERGED_NS = 45 * SECOND_NS
"""So long after faults stop every peer sees every other: three push-pulls."""


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


MILD_DELAY_MS = 10


def _is_mild(fault: Fault) -> bool:
    """Whether every frame still arrives, and in good time."""
    return (
        isinstance(fault, Conditions)
        and not fault.loss
        and not fault.bandwidth
        and fault.shape == "uniform"
        and fault.delay_most_ms <= MILD_DELAY_MS
    )


def _holds_nobody_up(plan: Plan) -> bool:
    """Whether links always work and no process is ever held up, though some may die."""
    return all(
        isinstance(fault, Crash | Leave | Slow | Restore) or _is_mild(fault)
        for fault in plan.faults
    )


def _is_peaceful(plan: Plan) -> bool:
    """Whether nobody is ever held up, cut off or stopped."""
    return all(isinstance(fault, Slow) or _is_mild(fault) for fault in plan.faults)


def _can_fail(plan: Plan) -> bool:
    """Whether a task may fail without anybody's fault."""
    sick = plan.scenario.behaviour
    harm = sick.failing or sick.hanging or sick.crashing or sick.garbled or sick.slow
    harm = harm or plan.scenario.agents.poison
    is_slow = any(isinstance(fault, Slow) for fault in plan.faults)
    return bool(harm or plan.scenario.liars or not _is_peaceful(plan) or is_slow)


def _is_poison_clear(plan: Plan) -> bool:
    """Whether one task at most ends processes, and nobody is stopped or cut off."""
    is_harmless = plan.scenario.agents.poison <= 1 and not plan.scenario.behaviour.crashing
    return is_harmless and _is_peaceful(plan)


def checkers_of(plan: Plan) -> tuple[Checker, ...]:
    """Every invariant that holds in a run of this plan."""
    liars = plan.scenario.liars
    away = Crash | Pause | Cut | Partition | Restore
    is_somebody_away = any(isinstance(fault, away) for fault in plan.faults)
    return (
        AcceptedTasksEnd(),
        ResultsAreRight(),
        OneKeyOneTask(),
        AttemptsRunOnce(),
        ResultsAreEarned(),
        OneWinnerPerSlot(),
        ClaimsAreHonoured(),
        AcknowledgedResultsCount(),
        EndsHaveReasons(_can_fail(plan)),
        CancelledStaysCancelled(),
        ChildrenFollow(),
        RequestsAreAnswered(),
        LossesAreSeenAtOnce(_holds_nobody_up(plan) and not liars),
        NobodyHonestIsBlamed(),
        LiesAreNoticed(),
        OnlyTheAdmittedAreMembers(),
        RevokedStayOut(),
        NobodyIsBuriedAlive(_is_peaceful(plan) or bool(liars and not is_somebody_away)),
        CoresHoldTheirInvariants(),
        MembershipConverges(),
        NothingIsLeft(),
        AgentsAreHeeded(_is_poison_clear(plan)),
        BoardConverges(),
        BoardKeepsWhatItAcknowledged(),
        BoardMemoryFollowsLiveData(),
    )


class Run:
    """One plan, about to be executed."""

    def __init__(
        self,
        plan: Plan,
        *,
        settings: CoreSettings | None = None,
        keyrings: Callable[[bytes], MakeKeyring] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Makes the world of the plan.

        Args:
            plan: what is run; see `plan.draw`.
            settings: parameters of the cores, instead of the scenario's.
            keyrings: how peers sign, instead of the scenario's way.
            tracer: told of everything that happens.
        """
        self.plan = plan
        scenario = plan.scenario
        rng = random.Random(f"{scenario.name} {plan.seed}")
        self.clients = Clients(scenario.load, random.Random(rng.getrandbits(64)))
        self.injector = Injector(plan.faults)
        self.writers = BoardClients(
            scenario.board, random.Random(f"{scenario.name} {plan.seed} board")
        )
        self.agents = AgentClients(
            scenario.agents, random.Random(f"{scenario.name} {plan.seed} agents")
        )
        self.blobs = BlobClients(
            scenario.blobs, random.Random(f"{scenario.name} {plan.seed} blobs")
        )
        self.electorate = Electorate()
        self.voters = VotingClients(
            scenario.voting, random.Random(f"{scenario.name} {plan.seed} voting")
        )
        self.world = World(
            plan.seed,
            scenario.peers,
            settings or scenario.settings,
            checkers=(
                self.blobs,
                *voting_checkers(plan, self.electorate, self.voters),
                *checkers_of(plan),
                self.clients,
                self.injector,
            ),
            keyrings=keyrings or keyrings_of(scenario.signatures),
        )
        self.world.tracer = tracer
        self.voters.elect(self.world)
        self.electorate.read(self.world)

    def execute(self) -> Report:
        """Runs it to its end.

        Raises:
            Violation: an invariant was broken; its name comes first.
        """
        world, scenario = self.world, self.plan.scenario
        duration_ns = round(scenario.duration_s * SECOND_NS)
        self.agents.prepare(world)
        for index, peer in enumerate(world.peers):
            peer.start(skills_of(scenario.load, index, scenario.behaviour))
        world.run(SETTLING_NS)
        for peer, name in zip(reversed(world.peers), scenario.liars, strict=False):
            world.corrupt(peer, ADVERSARIES[name]())
        self.injector.begin(world)
        self.clients.begin(world, duration_ns)
        self.agents.begin(world, duration_ns)
        self.writers.begin(world, duration_ns)
        self.blobs.begin(world, duration_ns)
        self.voters.begin(world, duration_ns)
        world.run(duration_ns)
        self.injector.make_peace(world)
        peace = world.now
        self._serve()
        world.run(max(QUIET_NS, peace + CONVERGED_NS - world.now))
        return self._report(world.finish())

    def _serve(self) -> None:
        """Until every client has its answers, or nothing ends any more.

        How long that takes is the scenario's: a skill that only two slow peers host is
        busy for minutes. What must not be is that the mesh stands still.
        """
        clients, ended = self.clients, -1
        while not clients.are_served and ended != len(clients.settled):
            ended = len(clients.settled)
            self.world.run_until(lambda: clients.are_served, STALLED_NS, 250 * MILLISECOND_NS)

    def _report(self, digest: str) -> Report:
        world = self.world
        coverage = dict(sorted(world.coverage.items()))
        return Report(
            self.plan.scenario.name,
            world.seed,
            digest,
            world.now / SECOND_NS,
            world.events,
            len(self.clients.accepted),
            {
                key.removeprefix("ended: "): count
                for key, count in coverage.items()
                if key.startswith("ended: ")
            },
            coverage,
        )


def run(name: str, seed: int) -> Report:
    """Runs a named scenario under a seed.

    Raises:
        KeyError: there is no such scenario.
        Violation: an invariant was broken.
    """
    return Run(draw(SCENARIOS[name], seed)).execute()
