"""A custodian's tasks from its records, and the records of a snapshot."""

from collections.abc import Iterable, Iterator
from itertools import zip_longest

import msgspec

from protocols.machine import Now
from protocols.tasks.custodian import Custodian
from protocols.tasks.lifecycle import ACCEPTED, DEAD, RUNNING, SETTLED
from protocols.tasks.messages import JobKey
from protocols.tasks.parameters import HISTORY_LIMIT
from protocols.tasks.records import (
    Accepted,
    AttemptsEnded,
    AttemptsRecorded,
    EndsRecorded,
    KeptAttempt,
    KeptTask,
    TasksKept,
    TasksRecorded,
    TasksRedrivenRecorded,
)
from protocols.tasks.redriving import reopen
from protocols.tasks.settling import end_of
from protocols.tasks.task import Attempt, Envelope, Task, fingerprint

KEPT_PER_RECORD = 256


class Restoring:
    """Applies records to an empty custodian, in the order in which they were written."""

    def __init__(self, custodian: Custodian, now: Now) -> None:
        self._custodian = custodian
        self._ledger = custodian.ledger
        self._now = now

    def apply(self, record: msgspec.Struct) -> None:
        """One record."""
        match record:
            case TasksRecorded():
                for envelope, entries in record.groups:
                    for entry in entries:
                        print_ = fingerprint(envelope.skill, entry.input) if entry.key else b""
                        self._add(envelope, entry, record.wall_ns, print_)
            case AttemptsRecorded():
                for key, token in zip_longest(record.attempts, record.tokens, fillvalue=0):
                    assert isinstance(key, JobKey), "no more tokens than attempts"
                    task = self._ledger.tasks.get(key.task)
                    if task is not None and task.state not in SETTLED:
                        wall = record.wall_ns
                        self._out(task, key.attempt, record.lot, record.peer, wall, token)
            case AttemptsEnded():
                for ending in record.endings:
                    task = self._ledger.tasks.get(ending.task)
                    if task is not None and task.state not in SETTLED:
                        self._custodian.failing.restore(task, ending, record.wall_ns)
            case EndsRecorded():
                for end in record.ends:
                    task = self._ledger.tasks.get(end.task)
                    if task is not None and task.state not in SETTLED:
                        self._custodian.settling.restore(task, end, record.wall_ns, self._now)
            case TasksRedrivenRecorded():
                for one in record.tasks:
                    task = self._ledger.tasks.get(one.task)
                    if task is not None and task.state == DEAD:
                        self._ledger.reopen(task)
                        reopen(task, one.deadline_wall_ns, record.wall_ns)
            case TasksKept():
                for kept in record.tasks:
                    self._restore_kept(kept)

    def _add(self, envelope: Envelope, entry: Accepted, wall: int, print_: bytes) -> Task:
        desk = self._custodian.desks.of(envelope)
        # The input points into the whole record, which must not stay for one task's sake.
        task_input = msgspec.Raw(entry.input).copy()
        task = Task(
            entry.task, envelope, desk, task_input, entry.key, entry.weight_us, print_, wall
        )
        self._ledger.add(task)
        return task

    def _out(self, task: Task, number: int, lot: str, peer: bytes, wall: int, token: int) -> None:
        if task.current is not None:
            self._custodian.settling.release(task)
        attempt = Attempt(number, lot, peer, None, self._now.monotonic_ns, wall)
        # Heard of before the crash or not: sending it again could only run it twice.
        attempt.is_resent = True
        task.history.append(attempt)
        task.attempts = max(task.attempts, number)
        task.current = attempt
        task.state = RUNNING
        task.desk.running += 1
        self._ledger.take_off(peer, task)
        if token:
            attempt.token = token
            self._custodian.gate.restored(task, attempt, self._now.monotonic_ns)

    def _restore_kept(self, kept: KeptTask) -> None:
        task = self._add(kept.envelope, kept.accepted, kept.accepted_wall_ns, kept.fingerprint)
        for one in kept.history:
            attempt = Attempt(one.number, one.lot, one.peer, None, 0, one.started_wall_ns)
            attempt.ended_wall, attempt.status = one.ended_wall_ns, one.status
            attempt.message, attempt.token = one.message, one.token
            task.history.append(attempt)
            task.attempts = max(task.attempts, one.number)
        if kept.end is not None:
            self._custodian.settling.restore(task, kept.end, kept.settled_wall_ns, self._now)
        elif task.history and not task.history[-1].status:
            last = task.history.pop()
            self._out(task, last.number, last.lot, last.peer, last.started_wall, last.token)
        task.failures, task.losses, task.refusals = kept.failures, kept.losses, kept.refusals
        task.suspicions = kept.suspicions
        task.attempts_before = kept.attempts_before
        task.redriven_wall = kept.redriven_wall_ns

    def finish(self) -> None:
        """All records are read: tasks that are not out join their lines, and deadlines run."""
        for task in self._ledger.tasks.values():
            if task.state == ACCEPTED:
                self._custodian.gate.enter(task)
            if task.state not in SETTLED:
                self._custodian.resume(task, self._now)


def kept_records(custodian: Custodian) -> Iterator[TasksKept]:
    """All tasks of a custodian, for a snapshot."""
    kept: list[KeptTask] = []
    for task in custodian.ledger.tasks.values():
        kept.append(_kept(task))
        if len(kept) >= KEPT_PER_RECORD:
            yield TasksKept(tuple(kept))
            kept = []
    if kept:
        yield TasksKept(tuple(kept))


def _kept(task: Task) -> KeptTask:
    return KeptTask(
        task.envelope,
        Accepted(task.id, task.input, task.key, task.weight_us),
        task.accepted_wall,
        task.fingerprint,
        task.failures,
        task.losses,
        task.refusals,
        tuple(_kept_attempts(task.history)),
        task.settled_wall,
        end_of(task) if task.state in SETTLED else None,
        task.suspicions,
        task.attempts_before,
        task.redriven_wall,
    )


def _kept_attempts(history: Iterable[Attempt]) -> list[KeptAttempt]:
    return [
        KeptAttempt(
            attempt.number,
            attempt.lot,
            attempt.peer,
            attempt.started_wall,
            attempt.ended_wall,
            attempt.status,
            attempt.message,
            attempt.token,
        )
        for attempt in list(history)[-HISTORY_LIMIT:]
    ]
