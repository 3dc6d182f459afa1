"""Every end has a reason: nothing is cancelled unasked, expires early, or fails in peace."""

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant
from protocols.tasks.commands import TaskSpec
from protocols.tasks.events import (
    CancelAnswered,
    SubmissionRefused,
    TasksAccepted,
    TasksSettled,
)
from simulations.observations import (
    Asked,
    CancelAsked,
    DiskForgot,
    PeerStopped,
    RequestRefused,
)
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

LATE_NS = 500 * MILLISECOND_NS
"""How much after its deadline a task may be undecided at a custodian that runs."""


class EndsHaveReasons:
    """Compares how tasks end with what was asked, and with what can go wrong at all."""

    hears = (
        Asked, TasksAccepted, SubmissionRefused, RequestRefused, TasksSettled, CancelAsked,
        CancelAnswered, PeerStopped, DiskForgot,
    )  # fmt: skip

    def __init__(self, can_fail: bool) -> None:
        """`can_fail`: handlers or the mesh may make a task fail."""
        self._can_fail = can_fail
        self._asked_at: dict[int, Instant] = {}
        self._open: dict[int, bytes] = {}
        """Requests without an answer yet, and whom they were put to."""
        self._cut_off: dict[tuple[bytes, str], Instant] = {}
        """Keys by custodian, and when it was first asked, where its process ended before it
        answered: its record may be on disk, and whoever asks again attaches to it."""
        self._asked: dict[tuple[bytes, str], tuple[TaskSpec, Instant]] = {}
        """What was accepted, and when it was asked for."""
        self._due: dict[tuple[bytes, str], Instant] = {}
        self._cancelled: dict[str, None] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows tasks from their acceptance to their end."""
        match event:
            case Asked():
                self._asked_at[event.request] = world.now
                self._open[event.request] = peer.peer
            case SubmissionRefused() | RequestRefused():
                self._open.pop(event.request, None)
            case TasksAccepted():
                self._accepted(world, peer, event)
            case TasksSettled():
                for settled in event.settled:
                    self._ended(world, peer, settled.task, settled.state, settled.error_message)
            case CancelAsked():
                self._cancelled[event.task] = None
            case CancelAnswered():
                self._answered(event)
            case PeerStopped():
                self._stopped(world, peer)
            case DiskForgot():
                for key in [key for key in self._asked if key[0] == peer.peer]:
                    if self._asked[key][1] >= event.since:
                        del self._asked[key]
                for key in [key for key in self._cut_off if key[0] == peer.peer]:
                    if self._cut_off[key] >= event.since:
                        del self._cut_off[key]

    def _accepted(self, world: World, peer: SimulatedPeer, event: TasksAccepted) -> None:
        self._open.pop(event.request, None)
        specs = world.requests[event.request]
        for task, spec in zip(event.tasks, specs, strict=True):
            key = (peer.peer, task)
            if key in self._asked:
                continue
            # The custodian's clock begins when it is asked. It tells of it once the
            # record is on disk: after the group commit under way, and its own.
            asked_at = self._asked_at.get(event.request, world.now)
            self._asked[key] = (spec, self._cut_off.pop((peer.peer, spec.key), asked_at))
            if spec.deadline_ms:
                self._due[key] = world.now + spec.deadline_ms * MILLISECOND_NS

    def _stopped(self, world: World, peer: SimulatedPeer) -> None:
        for key in [key for key in self._due if key[0] == peer.peer]:
            del self._due[key]
        for request in [each for each, where in self._open.items() if where == peer.peer]:
            del self._open[request]
            for spec in world.requests[request]:
                if spec.key:
                    self._cut_off.setdefault((peer.peer, spec.key), self._asked_at[request])

    def _ended(
        self, world: World, peer: SimulatedPeer, task: str, state: str, message: str
    ) -> None:
        key = (peer.peer, task)
        world.coverage[f"ended: {state}"] += 1
        if key not in self._asked:
            return
        spec, asked_at = self._asked[key]
        has_parent = bool(spec.parent)
        due = self._due.pop(key, None)
        late_ns = LATE_NS + _early_ns(peer, spec)
        if due is not None and world.now > due + late_ns and peer.paused_until + LATE_NS < due:
            raise Violation(f"deadline-kept: {task} ends {world.now - due} ns after its deadline")
        if state == "expired":
            earliest = asked_at + spec.deadline_ms * MILLISECOND_NS - _early_ns(peer, spec)
            if not spec.deadline_ms or world.now < earliest:
                raise Violation(f"reasoned-end: {task} expired before its deadline")
        elif state == "cancelled":
            if not has_parent and task not in self._cancelled:
                raise Violation(f"reasoned-end: nobody asked to cancel {task}")
        elif state in ("failed", "dead") and not self._can_fail:
            may_time_out = spec.deadline_ms or spec.timeout_ms or has_parent
            if not may_time_out:
                raise Violation(f"reasoned-end: {task} is {state} in peace: {message}")

    def _answered(self, event: CancelAnswered) -> None:
        if event.state in ("accepted", "running", "waiting"):
            raise Violation(f"cancel-ends: {event.task} is {event.state} after it was cancelled")

    def finish(self, world: World) -> None:
        """No deadline is overdue."""
        overdue = [key for key, due in self._due.items() if due + SECOND_NS < world.now]
        if overdue:
            raise Violation(f"deadline-kept: {overdue[0][1]} is still undecided")


def _early_ns(peer: SimulatedPeer, spec: TaskSpec) -> int:
    """What troubled clocks of its custodian do to a deadline; a restart reads it off the wall."""
    drift = spec.deadline_ms * MILLISECOND_NS * peer.clocks.drift_most_ppm // 500_000
    return drift + peer.clocks.jumped_ns


class CancelledStaysCancelled:
    """A task whose cancellation was confirmed never turns done at that custodian."""

    hears = (CancelAnswered, TasksSettled, DiskForgot)

    def __init__(self) -> None:
        self._confirmed: dict[str, None] = {}
        self._settled: dict[tuple[bytes, str], str] = {}
        self._forgotten: dict[str, None] = {}
        """Tasks whose cancellation a disk forgot, perhaps while the answer was under way."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Compares answers with ends; keyed tasks may go on at another custodian."""
        match event:
            case CancelAnswered() if event.state == "cancelled" and event.task in self._forgotten:
                pass
            case CancelAnswered() if event.state == "cancelled":
                self._confirmed[event.task] = None
            case TasksSettled():
                for settled in event.settled:
                    key = (peer.peer, settled.task)
                    before = self._settled.setdefault(key, settled.state)
                    if before == "cancelled" and settled.state != "cancelled":
                        raise Violation(f"cancelled-stays: {settled.task} is {settled.state}")
            case DiskForgot():
                # Nobody but its custodian keeps a cancellation.
                for key in [key for key in self._settled if key[0] == peer.peer]:
                    if self._settled.pop(key) == "cancelled":
                        self._forgotten[key[1]] = None
                kept = [task for (_, task), state in self._settled.items() if state == "cancelled"]
                self._confirmed = {task: None for task in kept if task in self._confirmed}

    def finish(self, world: World) -> None:
        """What was confirmed has that end."""
        for task in self._confirmed:
            ends = [state for (_, each), state in self._settled.items() if each == task]
            if ends and "cancelled" not in ends:
                raise Violation(f"cancelled-stays: {task} is {ends[0]} after all")
