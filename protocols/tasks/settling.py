"""How a task ends: out of wherever it is, onto the disk, and told.

All that a step settles is one record and one event.
Invariants: a task is settled once (`settled-stays`).
"""

import msgspec

from protocols.machine import Now
from protocols.tasks.events import Settled, TasksSettled
from protocols.tasks.gate import Gate
from protocols.tasks.ledger import Ledger
from protocols.tasks.lifecycle import ACCEPTED, DEAD, DONE, WAITING
from protocols.tasks.messages import Outcome
from protocols.tasks.outbox import Outbox
from protocols.tasks.records import End, EndsRecorded
from protocols.tasks.task import NIL, Attempt, Task

MESSAGE_LIMIT = 4096
"""Characters of an error's message that are kept."""


class Settling:
    """Ends tasks. `flush` closes the step."""

    def __init__(self, ledger: Ledger, gate: Gate, outbox: Outbox) -> None:
        self._ledger = ledger
        self._gate = gate
        self._outbox = outbox
        self._ends: list[End] = []
        self._told: list[Settled] = []
        self._wall = 0

    def release(self, task: Task) -> None:
        """The attempt that is out is out no more; its slot is free."""
        attempt = task.current
        assert attempt is not None, "one-attempt-out: nothing is out"
        desk = task.desk
        if attempt.is_parked:
            desk.parked -= 1
        else:
            desk.running -= 1
            slots = attempt.slots
            if slots is not None:
                del slots.running[task]
                desk.free[slots] = None
        attempt.slots = None
        task.current = None
        self._ledger.land(attempt.peer, task)
        self._gate.ended(task, attempt)

    def leave(self, task: Task) -> None:
        """The task leaves where it waits or runs."""
        if task.current is not None:
            self.release(task)
        elif task.state == ACCEPTED:
            if not self._gate.leave(task):
                task.desk.line.forget(task)
        elif task.state == WAITING:
            task.desk.delayed -= 1

    def done(self, task: Task, attempt: Attempt, outcome: Outcome, now: Now) -> None:
        """A valid result."""
        self.leave(task)
        task.move(DONE)
        attempt.status = outcome.status
        attempt.ended_wall = now.wall_ns
        # The outcome's value points into the whole message that it came in.
        task.value = value = outcome.value.copy()
        task.elapsed_us = outcome.elapsed_us
        task.producer = attempt.peer
        task.decided = attempt.number
        if outcome.incomplete:
            task.incomplete = True
            task.error_kind = outcome.error_kind
            task.error_message = outcome.error_message
        task.confidence = outcome.confidence
        self._ends.append(
            End(
                task.id, DONE, attempt.number, outcome.status, value, task.error_kind,
                task.error_message, outcome.incomplete, outcome.confidence, outcome.elapsed_us,
            )
        )  # fmt: skip
        self._close(task, now)

    def end(
        self, task: Task, state: str, kind: str, message: str, now: Now, attempt: Attempt | None
    ) -> None:
        """An end without result. `attempt` is the one that decided it, its status set."""
        self.leave(task)
        task.move(state)
        task.error_kind = kind
        task.error_message = message[:MESSAGE_LIMIT]
        number, status = 0, ""
        if attempt is not None:
            attempt.ended_wall = now.wall_ns
            number, status = attempt.number, attempt.status
            attempt.message = attempt.message or task.error_message
            task.producer = attempt.peer
            task.decided = number
        own = own_message(task, attempt)
        self._ends.append(
            End(task.id, state, number, status, NIL, kind, task.error_message, False, -1, 0, own)
        )
        self._close(task, now)

    def _close(self, task: Task, now: Now) -> None:
        self._wall = task.settled_wall = now.wall_ns
        self._told.append(told_of(task))
        # A dead letter may be redriven. Its input points into all that it came with.
        task.input = task.input.copy() if task.state == DEAD else NIL
        self._ledger.settle(task, now.monotonic_ns)

    def tell_again(self, task: Task) -> None:
        """Somebody asks how a task ended."""
        self._told.append(told_of(task))

    def flush(self) -> None:
        """Records and tells all that was settled since the last call."""
        if self._ends:
            self._outbox.persist(EndsRecorded(self._wall, tuple(self._ends)))
            self._ends.clear()
        if self._told:
            self._outbox.emit(TasksSettled(tuple(self._told)))
            self._told.clear()

    def restore(self, task: Task, end: End, wall: int, now: Now) -> None:
        """A task's end, read from disk, while no task is in a line yet."""
        current = task.current
        if current is not None:
            self.release(task)
            if current.number != end.attempt:
                current.status, current.ended_wall = "cancelled", wall
        task.state = end.state
        task.settled_wall = wall
        task.value = msgspec.Raw(end.value).copy()
        task.error_kind = end.error_kind
        task.error_message = end.error_message
        task.incomplete = end.incomplete
        task.confidence = end.confidence
        task.elapsed_us = end.elapsed_us
        attempt = task.attempt(end.attempt) if end.attempt else None
        if attempt is not None:
            attempt.status = end.status
            attempt.ended_wall = wall
            if end.state != DONE:
                attempt.message = end.attempt_message or end.error_message
            task.producer = attempt.peer
            task.decided = attempt.number
        if task.state != DEAD:
            task.input = NIL
        self._ledger.settle(task, now.monotonic_ns)


def told_of(task: Task) -> Settled:
    """What is told of a task that has ended."""
    return Settled(
        task.id, task.state, task.value, task.error_kind, task.error_message,
        task.tries, task.incomplete, task.producer, task.confidence,
        task.elapsed_us,
    )  # fmt: skip


def end_of(task: Task) -> End:
    """A settled task's end, for a snapshot."""
    attempt = task.attempt(task.decided) if task.decided else None
    status = attempt.status if attempt is not None else ""
    return End(
        task.id, task.state, task.decided, status, task.value, task.error_kind, task.error_message,
        task.incomplete, task.confidence, task.elapsed_us, own_message(task, attempt),
    )  # fmt: skip


def own_message(task: Task, attempt: Attempt | None) -> str:
    """How the deciding attempt ended, where that is not all that is said of the task's end."""
    if attempt is None or attempt.message == task.error_message:
        return ""
    return attempt.message
