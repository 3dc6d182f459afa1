"""What is checked while a test runs, and how a mesh is brought to rest at its end.

These are the simulator's checkers, those aside that know what modelled handlers
compute, or that hold only where a scenario says beforehand what may go wrong.
"""

from collections.abc import Callable

import msgspec

from protocols.tasks.commands import AttachTasks, CancelTasks
from simulations.checkers.accepted import AcceptedTasksEnd
from simulations.checkers.acknowledged import AcknowledgedResultsCount
from simulations.checkers.answers import RequestsAreAnswered
from simulations.checkers.attempts import AttemptsRunOnce, ResultsAreEarned
from simulations.checkers.blame import NobodyHonestIsBlamed
from simulations.checkers.board import (
    BoardConverges,
    BoardKeepsWhatItAcknowledged,
    BoardMemoryFollowsLiveData,
)
from simulations.checkers.children import ChildrenFollow
from simulations.checkers.claims import ClaimsAreHonoured
from simulations.checkers.ends import CancelledStaysCancelled, EndsHaveReasons
from simulations.checkers.keys import OneKeyOneTask
from simulations.checkers.membership import MembershipConverges, OnlyTheAdmittedAreMembers
from simulations.checkers.nothing_left import CoresHoldTheirInvariants, NothingIsLeft
from simulations.checkers.slots import OneWinnerPerSlot
from simulations.observations import CancelAsked, PeerStarted
from simulations.peer import SimulatedPeer
from simulations.world import Checker, Violation, World

PEACE_S = 60.0
"""So long after faults stop everything has ended, but for handlers that still run."""
STOPPING_S = 30.0
"""So long after they are told to, those have stopped, too."""
CONVERGED_S = 45
"""So long after faults stop every peer sees every other: three push-pulls."""
LEASES_S = 8
"""So long after its issuer has died a slot is free again."""
QUIET_S = 1.0
QUESTIONS = 1 << 48
"""Where the numbers of our own requests begin."""

Advance = Callable[[Callable[[], object], float], bool]
"""Lets time pass until something holds, or so many virtual seconds."""


class Invariants:
    """The checkers of one mesh; itself one of them, to ask again after a restart."""

    hears = (PeerStarted,)

    def __init__(self) -> None:
        self._accepted = AcceptedTasksEnd()
        self._number = QUESTIONS

    def checkers(self) -> tuple[Checker, ...]:
        """All of them."""
        return (
            self._accepted,
            OneKeyOneTask(),
            AttemptsRunOnce(),
            ResultsAreEarned(),
            OneWinnerPerSlot(),
            ClaimsAreHonoured(),
            AcknowledgedResultsCount(),
            EndsHaveReasons(can_fail=True),
            CancelledStaysCancelled(),
            ChildrenFollow(),
            RequestsAreAnswered(),
            NobodyHonestIsBlamed(),
            OnlyTheAdmittedAreMembers(),
            CoresHoldTheirInvariants(),
            MembershipConverges(),
            NothingIsLeft(),
            BoardConverges(),
            BoardKeepsWhatItAcknowledged(),
            BoardMemoryFollowsLiveData(),
            self,
        )

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """A peer is back: what it accepted and did not tell the end of is asked for again."""
        world.after(1, lambda: self._attach(peer))

    def finish(self, world: World) -> None:
        """Nothing is left to say."""

    def _attach(self, peer: SimulatedPeer) -> None:
        tasks = tuple(task for custodian, task in self._open if custodian == peer.peer)
        if peer.core is not None and tasks:
            self._number += 1
            peer.submit(AttachTasks(self._number, tasks))

    @property
    def _open(self) -> list[tuple[bytes, str]]:
        """Tasks that were accepted, and whose end was not told: (custodian, task)."""
        settled = self._accepted.settled
        return [key for key in self._accepted.accepted if key not in settled]

    def rest(self, world: World, advance: Advance) -> None:
        """Lets a mesh without faults come to its end.

        Raises:
            Violation: a task is accepted, and nothing happens to it any more.
        """
        if not advance(lambda: not self._open, PEACE_S):
            if not any(peer.workers is not None and peer.workers.handlings for peer in world.peers):
                names = [f"{world.by_id[who].name} {task}" for who, task in self._open[:5]]
                raise Violation(f"no-accepted-task-lost: nothing runs, and there are {names}")
            for custodian, task in self._open:
                self._number += 1
                peer = world.by_id[custodian]
                world.observe(peer, CancelAsked(task))
                peer.submit(CancelTasks(self._number, task, "the mesh of a test ends"))
            advance(lambda: not self._open, STOPPING_S)
        advance(lambda: False, QUIET_S)

    def converge(self, world: World, advance: Advance) -> None:
        """Lets a mesh that had faults find itself again, and leases of the dead run out."""
        for second in range(CONVERGED_S):
            advance(lambda: False, 1.0)
            if second >= LEASES_S and _has_converged(world):
                return


def _has_converged(world: World) -> bool:
    try:
        MembershipConverges().finish(world)
        BoardConverges().finish(world)
    except Violation:
        return False
    return True
