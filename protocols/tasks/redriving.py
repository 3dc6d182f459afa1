"""Dead letters that somebody sends on their way again.

A redriven task keeps its id, and so whoever has its idempotency key, or asks for
it, finds the task and not its tombstone. Its attempts are counted anew, while
their numbers go on, for they fence effects.
"""

import msgspec

from protocols.errors import Refused
from protocols.machine import Now
from protocols.tasks.catalogue import Catalogue
from protocols.tasks.commands import RedriveTasks
from protocols.tasks.desks import Desks
from protocols.tasks.events import TasksRedriven
from protocols.tasks.gate import Gate
from protocols.tasks.ledger import Ledger
from protocols.tasks.lifecycle import ACCEPTED, DEAD
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.records import Redriven, TasksRedrivenRecorded
from protocols.tasks.submission import BUSY_RETRY_NS
from protocols.tasks.task import NIL, Task


class Redriving:
    """Redrives dead letters of one custodian."""

    def __init__(
        self,
        parameters: TaskParameters,
        ledger: Ledger,
        desks: Desks,
        catalogue: Catalogue,
        gate: Gate,
        outbox: Outbox,
    ) -> None:
        self._parameters = parameters
        self._ledger = ledger
        self._desks = desks
        self._catalogue = catalogue
        self._gate = gate
        self._outbox = outbox

    def redrive(self, command: RedriveTasks, now: Now) -> list[Task]:
        """Takes dead letters back into their lines; returns them.

        Raises:
            Refused: too many at once for what may wait here; nothing has changed.
        """
        wanted = command.tasks or tuple(self._ledger.dead_letters(command.skill))
        chosen: list[Task] = []
        refused: list[tuple[str, str]] = []
        for task_id in dict.fromkeys(wanted):
            task = self._ledger.tasks.get(task_id)
            objection = self._objection(task)
            if objection:
                refused.append((task_id, objection))
            elif task is not None:
                chosen.append(task)
        if not self._ledger.has_room(len(chosen), sum(len(task.input) for task in chosen)):
            raise Refused("Busy", "not so many fit into what waits here already", BUSY_RETRY_NS)
        for task in chosen:
            reopen(task, _new_deadline(task, now.wall_ns), now.wall_ns)
            self._ledger.reopen(task)
            task.desk = self._desks.like(task)
            self._gate.enter(task)
        if chosen:
            entries = tuple(Redriven(task.id, task.envelope.deadline_wall_ns) for task in chosen)
            self._outbox.persist(TasksRedrivenRecorded(now.wall_ns, entries))
        ids = tuple(task.id for task in chosen)
        self._outbox.emit(TasksRedriven(command.request, ids, tuple(refused)))
        return chosen

    def _objection(self, task: Task | None) -> str:
        if task is None:
            return "not known here"
        if task.state != DEAD:
            return f"{task.state}, and no dead letter"
        if task.input == NIL:
            return "its input was not kept by the release that it died under"
        envelope = task.envelope
        hosts = self._catalogue.hosts(envelope.skill, envelope.version)
        if not hosts or (envelope.to and envelope.to not in hosts):
            where = "its peer does not host" if envelope.to else "no live peer hosts"
            return f"{where} {envelope.skill}@{envelope.version}"
        return ""


def _new_deadline(task: Task, wall: int) -> int:
    """As much time as it was given at first."""
    deadline = task.envelope.deadline_wall_ns
    begun = task.redriven_wall or task.accepted_wall
    return wall + max(1, deadline - begun) if deadline else 0


def reopen(task: Task, deadline_wall: int, wall: int) -> None:
    """A dead letter is as it was when it was accepted, but for its history."""
    task.envelope = msgspec.structs.replace(task.envelope, deadline_wall_ns=deadline_wall)
    task.move(ACCEPTED)
    task.redriven_wall = wall
    task.attempts_before = task.attempts
    task.failures = task.losses = task.refusals = 0
    task.suspicions = task.avoid = ()
    task.settled_wall = task.decided = task.elapsed_us = 0
    task.error_kind = task.error_message = task.progress = ""
    task.producer = b""
