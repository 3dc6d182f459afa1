"""No accepted task is lost, and no custodian tells two ends of one task."""

import msgspec

from protocols.machine import Instant
from protocols.tasks.events import Settled, TasksAccepted, TasksAttached, TasksSettled
from simulations.observations import DiskForgot
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World


class AcceptedTasksEnd:
    """Every task that a custodian acknowledged comes to exactly one end there.

    With an idempotency key two custodians may keep one task each; each of them
    brings its own to an end. What a disk forgot binds nobody.
    """

    hears = (TasksAccepted, TasksSettled, TasksAttached, DiskForgot)

    def __init__(self) -> None:
        self.accepted: dict[tuple[bytes, str], Instant] = {}
        self.settled: dict[tuple[bytes, str], tuple[str, bytes]] = {}
        self._told: dict[tuple[bytes, str], None] = {}
        """Ends that were told; one that a disk forgot may be remembered from another copy."""
        self._ended_at: dict[tuple[bytes, str], Instant] = {}
        self._untold: dict[tuple[bytes, str], int] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of acceptances and ends."""
        match event:
            case TasksAccepted():
                for task in event.tasks:
                    key = (peer.peer, task)
                    self.accepted.setdefault(key, world.now)
                    if key in self.settled:
                        self._untold[key] = peer.starts
            case TasksSettled():
                for settled in event.settled:
                    self._ended(world, peer, settled)
            case DiskForgot():
                self._forget(world, peer, event.since)
            case TasksAttached():
                lost = [task for task in event.unknown if (peer.peer, task) in self.accepted]
                if lost:
                    raise Violation(f"no-accepted-task-lost: {peer.name} knows {lost[:3]} no more")

    def _forget(self, world: World, peer: SimulatedPeer, since: Instant) -> None:
        for key in [key for key, at in self.accepted.items() if key[0] == peer.peer]:
            if self.accepted[key] >= since:
                world.coverage["an accepted task is forgotten by its disk"] += 1
                del self.accepted[key]
                self._told.pop(key, None)
        # An end that was told may come out otherwise, where only the end was forgotten.
        for key in [key for key in self.settled if key[0] == peer.peer]:
            if key not in self.accepted or self._ended_at[key] >= since:
                del self.settled[key], self._ended_at[key]
                self._untold.pop(key, None)

    def _ended(self, world: World, peer: SimulatedPeer, settled: Settled) -> None:
        self._untold.pop((peer.peer, settled.task), None)
        end = (settled.state, bytes(settled.value))
        before = self.settled.setdefault((peer.peer, settled.task), end)
        self._told[peer.peer, settled.task] = None
        self._ended_at.setdefault((peer.peer, settled.task), world.now)
        if before != end:
            raise Violation(
                f"one-end: {settled.task} was {before[0]} and is {settled.state} "
                f"at {peer.name}, {world.now} ns"
            )

    def finish(self, world: World) -> None:
        """All that was accepted has ended by now, and whoever asked again was told."""
        for (custodian, task), boot in self._untold.items():
            if world.by_id[custodian].starts == boot:
                raise Violation(f"told-again: nobody hears how {task} ended")
        honest = [peer.peer for peer in world.honest]
        lost = [key for key in self.accepted if key not in self._told and key[0] in honest]
        if lost:
            names = [f"{world.by_id[custodian].name} {task}" for custodian, task in lost[:5]]
            raise Violation(f"no-accepted-task-lost: {len(lost)} of {len(self.accepted)}: {names}")
