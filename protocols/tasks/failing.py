"""What becomes of a task whose attempt ended without a result.

A failure of the handler uses up a retry and waits its backoff; a loss of the
peer uses none, goes to the front, and is bounded on its own; a refusal costs
nothing until it is the third. A task that ends its hosts is stopped (`suspicion.py`).
"""

import random

from protocols.machine import Now
from protocols.tasks.breakers import Breakers
from protocols.tasks.catalogue import Catalogue
from protocols.tasks.events import AttemptsFailed
from protocols.tasks.gate import Gate
from protocols.tasks.ledger import Ledger
from protocols.tasks.lifecycle import (
    ACCEPTED,
    CRASHED,
    DEAD,
    FAILED,
    LOST,
    REFUSED,
    RETRIED_STATUSES,
    WAITING,
)
from protocols.tasks.messages import LEASE_OVER, SUSPECT
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.records import AttemptsEnded, Ending
from protocols.tasks.settling import MESSAGE_LIMIT, Settling
from protocols.tasks.suspicion import Suspicions
from protocols.tasks.task import Attempt, Task
from protocols.tasks.timetable import Timetable

POISON = "PoisonTask"
"""The kind of error of a task that ends whoever runs it."""
REFUSALS_FREE = 3
"""Refusals after which a task waits a little before it is offered again."""
AVOID_MOST = 16
SILENCES_MOST = 8
"""A peer that fell silent is avoided for a beat, then for two, four, and so on: so many times."""


class Failing:
    """Retries, losses, dead letters. `flush` closes the step."""

    def __init__(
        self,
        parameters: TaskParameters,
        ledger: Ledger,
        settling: Settling,
        gate: Gate,
        catalogue: Catalogue,
        timetable: Timetable,
        outbox: Outbox,
        rng: random.Random,
    ) -> None:
        self._parameters = parameters
        self._ledger = ledger
        self._settling = settling
        self._gate = gate
        self._catalogue = catalogue
        self._timetable = timetable
        self._outbox = outbox
        self._rng = rng
        self._endings: list[Ending] = []
        self._told: dict[bytes, list[tuple[str, int, str, str, bool]]] = {}
        self._wall = 0
        self.breakers = Breakers()
        self._suspicions = Suspicions(parameters)
        self._crashed: dict[Task, tuple[str, str]] = {}

    def crashed(self, task: Task, kind: str, message: str) -> None:
        """A worker process ended while it ran the task; `judge` follows when all are known."""
        self._crashed[task] = (kind, message)

    def judge(self, peer: bytes, now: Now) -> None:
        """All that a worker process took with it at a peer is known."""
        if not self._crashed:
            return
        crashed, self._crashed = self._crashed, {}
        fallen = [task for task in crashed if task.current is not None]
        poison = self._suspicions.worker_ended(fallen, peer)
        for task in fallen:
            kind, message = crashed[task]
            if task is poison:
                self._stop(task, CRASHED, message, now)
            else:
                self.failed(task, CRASHED, kind, message, now)

    def peer_lost(
        self, tasks: tuple[Task, ...], peer: bytes, why: str, has_ended: bool, now: Now
    ) -> None:
        """A peer is gone with these tasks; `has_ended` where its process is, for certain."""
        poison = self._suspicions.peer_ended(tasks, peer, now) if has_ended else None
        for task in tasks:
            if task is poison:
                self._stop(task, LOST, why, now)
            else:
                self.lost(task, why, now)

    def _stop(self, task: Task, status: str, message: str, now: Now) -> None:
        """A task that is poison is tried at no other peer."""
        attempt = self._ended(task, status, message, now)
        self._tell(task, attempt, False)
        for peer in task.suspicions:
            if peer != attempt.peer:
                self.breakers.excused(task.desk.breaker_of(peer), now.monotonic_ns)
        where = " and ".join(map(self._catalogue.name_of, task.suspicions))
        text = f"whoever ran it ended: at {where}; the last: {message}"
        self._settling.end(task, DEAD, POISON, text, now, attempt)

    def failed(self, task: Task, status: str, kind: str, message: str, now: Now) -> None:
        """The attempt that is out ended with `status`, which is not ``ok``."""
        attempt = self._ended(task, status, message, now)
        if status == "cancelled":
            # Nobody here asked for it, so its worker let go of it.
            self._lose(task, attempt, message or "its worker stopped it", now)
            return
        breaker = task.desk.breaker_of(attempt.peer)
        self.breakers.failed(breaker, status == CRASHED, attempt.started, now.monotonic_ns)
        if status in RETRIED_STATUSES:
            task.failures += 1
            if task.failures <= task.envelope.retries:
                self._tell(task, attempt, True)
                self._record(task, attempt)
                due = self._wait(task, task.failures, now)
                self._avoid(task, attempt.peer, due)
                return
            if task.envelope.retries:
                text = f"{task.failures} attempts failed; the last: {message}"
                self._tell(task, attempt, False)
                self._settling.end(task, DEAD, kind, text, now, attempt)
                return
        self._tell(task, attempt, False)
        self._settling.end(task, FAILED, kind, message, now, attempt)

    def lost(self, task: Task, why: str, now: Now) -> None:
        """The attempt that is out was lost with its peer."""
        attempt = self._ended(task, LOST, why, now)
        self._lose(task, attempt, why, now)

    def silent(self, task: Task, now: Now) -> None:
        """Its peer is there, and no longer speaks of the attempt: better ask another."""
        attempt = task.current
        assert attempt is not None, "one-attempt-out: nothing is out"
        pause = self._parameters.beat_ns << min(task.losses, SILENCES_MOST)
        self._avoid(task, attempt.peer, now.monotonic_ns + pause)
        self.lost(task, "its peer no longer speaks of it", now)

    def _lose(self, task: Task, attempt: Attempt, why: str, now: Now) -> None:
        attempt.status = LOST
        task.losses += 1
        if task.losses >= self._parameters.losses:
            self._tell(task, attempt, False)
            text = f"{task.losses} peers were lost while they ran it; the last: {why}"
            self._settling.end(task, DEAD, POISON, text, now, attempt)
            return
        self._tell(task, attempt, True)
        self._record(task, attempt)
        self._settling.release(task)
        task.move(ACCEPTED)
        self._gate.enter(task, True)

    def refused(self, task: Task, reason: str, now: Now) -> None:
        """The worker's peer would not run it."""
        attempt = self._ended(task, REFUSED, reason, now)
        task.refusals += 1
        attempt.is_over = not attempt.is_resent
        if task.desk.placing or reason in (SUSPECT, LEASE_OVER):
            # A peer that takes nothing has little to do, and would be asked again and again.
            self._avoid(task, attempt.peer, now.monotonic_ns)
        self._record(task, attempt)
        if task.refusals >= REFUSALS_FREE:
            self._wait(task, min(task.refusals - REFUSALS_FREE + 1, 4), now)
            return
        self._settling.release(task)
        task.move(ACCEPTED)
        self._gate.enter(task, True)

    def due(self, task: Task) -> None:
        """The backoff is over."""
        assert task.state == WAITING, "one-place: only a task that waits is due"
        task.desk.delayed -= 1
        task.move(ACCEPTED)
        self._gate.enter(task, True)

    def _ended(self, task: Task, status: str, message: str, now: Now) -> Attempt:
        attempt = task.current
        assert attempt is not None, "one-attempt-out: nothing is out"
        attempt.status = status
        attempt.message = message[:MESSAGE_LIMIT]
        attempt.ended_wall = self._wall = now.wall_ns
        return attempt

    def _wait(self, task: Task, times: int, now: Now) -> int:
        self._settling.release(task)
        task.move(WAITING)
        task.desk.delayed += 1
        first, most = self._parameters.retry_first_ns, self._parameters.retry_most_ns
        pause = min(first << min(times - 1, 32), most)
        pause = int(pause * (0.5 + self._rng.random()))
        due = now.monotonic_ns + pause
        self._timetable.retry(due, task)
        return due

    def _avoid(self, task: Task, peer: bytes, due: int) -> None:
        """Another peer next time, if there is one."""
        avoid = (*(each for each in task.avoid if each != peer), peer)[-AVOID_MOST:]
        envelope = task.envelope
        hosts = self._catalogue.hosts(envelope.skill, envelope.version, envelope.requires)
        if task.envelope.to or all(host in avoid for host in hosts):
            avoid = (peer,) if len(hosts) > 1 and not task.envelope.to else ()
        task.avoid = avoid
        task.avoid_until = due + self._parameters.avoid_ns

    def _record(self, task: Task, attempt: Attempt) -> None:
        is_suspect = bool(task.suspicions) and attempt.peer in task.suspicions
        self._endings.append(
            Ending(task.id, attempt.number, attempt.status, attempt.message, is_suspect)
        )

    def _tell(self, task: Task, attempt: Attempt, retried: bool) -> None:
        entry = (task.id, attempt.number, attempt.status, attempt.message, retried)
        self._told.setdefault(attempt.peer, []).append(entry)

    def flush(self) -> None:
        """Records and tells all that ended since the last call."""
        if self._endings:
            self._outbox.persist(AttemptsEnded(self._wall, tuple(self._endings)))
            self._endings.clear()
        for peer, told in self._told.items():
            self._outbox.emit(AttemptsFailed(peer, tuple(told)))
        self._told.clear()

    def restore(self, task: Task, ending: Ending, wall: int) -> None:
        """An attempt's end without result, read from disk, while no task is in a line yet.

        A task that waited for its next attempt is due at once.
        """
        attempt = task.current
        if attempt is None or attempt.number != ending.attempt:
            return
        attempt.status, attempt.message, attempt.ended_wall = ending.status, ending.message, wall
        if ending.is_suspect and attempt.peer not in task.suspicions:
            task.suspicions = (*task.suspicions, attempt.peer)
        if ending.status == LOST:
            task.losses += 1
        elif ending.status == REFUSED:
            task.refusals += 1
        else:
            task.failures += 1
        self._settling.release(task)
        task.state = ACCEPTED
