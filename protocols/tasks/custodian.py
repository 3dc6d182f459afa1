"""The custodian's half: tasks accepted, kept and brought to their end.

This module takes commands and closes steps; `attempts.py` deals with workers,
`failing.py` with what goes wrong, `settling.py` with ends.
"""

import random
from collections.abc import Callable

from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS, Now
from protocols.tasks import commands
from protocols.tasks.attempts import Attempts
from protocols.tasks.breakers import OPEN
from protocols.tasks.catalogue import Catalogue
from protocols.tasks.desks import Desks
from protocols.tasks.dispatch import Desk
from protocols.tasks.events import (
    BreakerChanged,
    CancelAnswered,
    PeerBarred,
    SubmissionRefused,
    TasksAccepted,
)
from protocols.tasks.failing import Failing
from protocols.tasks.gate import Gate
from protocols.tasks.ledger import Ledger
from protocols.tasks.lifecycle import CANCELLED, DEAD, EXPIRED, SETTLED, UNDECIDED
from protocols.tasks.lookup import Lookups
from protocols.tasks.messages import (
    CancelJobs,
    CancelTask,
    FindTask,
    JobKey,
    Rejected,
    TaskFound,
)
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import (
    MEMBERS_LIMIT,
    NEVER,
    PARKED_SUBMISSIONS_LIMIT,
    TaskParameters,
)
from protocols.tasks.questions import Questions
from protocols.tasks.records import Accepted, TasksRecorded
from protocols.tasks.redriving import Redriving
from protocols.tasks.settling import Settling
from protocols.tasks.submission import Group, InputRefused, Submissions
from protocols.tasks.task import Envelope, Ids, Task
from protocols.tasks.timetable import RETRY, Timetable

CASCADE_LIMIT = 10_000


class Custodian:
    """Tasks of which this peer is the custodian."""

    def __init__(
        self,
        me: bytes,
        boot: int,
        parameters: TaskParameters,
        catalogue: Catalogue,
        outbox: Outbox,
        rng: random.Random,
        may_submit: Callable[[str], bool],
    ) -> None:
        self._parameters = parameters
        self._catalogue = catalogue
        self._outbox = outbox
        drawn = rng.getrandbits(64)
        self._ids = Ids(me, boot, drawn)
        self.gate = gate = Gate(me, boot, drawn, outbox)
        self._boots: dict[bytes, int] = {}
        self._parked: dict[int, tuple[commands.SubmitTasks, int]] = {}
        self._parked_counter = 0
        self._patience: dict[Desk, int] = {}
        self._sweep_at = NEVER
        self.ledger = Ledger(parameters)
        self.timetable = Timetable()
        self.settling = Settling(self.ledger, gate, outbox)
        self.failing = Failing(
            parameters, self.ledger, self.settling, gate, catalogue, self.timetable, outbox, rng
        )
        self.attempts = Attempts(
            parameters, self.ledger, self.settling, gate, self.failing, catalogue, outbox
        )
        self.breakers = self.failing.breakers
        self.desks = Desks(me, parameters, outbox, self.breakers, catalogue, rng)
        self.lookups = Lookups(parameters, outbox)
        self._submissions = Submissions(parameters, self.ledger, catalogue, may_submit)
        self._redriving = Redriving(parameters, self.ledger, self.desks, catalogue, gate, outbox)
        self.questions = Questions(me, self.ledger, self.settling, catalogue, self.lookups, outbox)

    # Accepting.

    def submit(self, command: commands.SubmitTasks, now: Now) -> None:
        """Accepts a submission, or parks it until its skill's spec is here.

        Raises:
            Refused: nothing has changed.
        """
        planned = self._submissions.plan(command, now)
        if isinstance(planned, bytes):
            if len(self._parked) >= PARKED_SUBMISSIONS_LIMIT:
                raise Refused("Busy", "too many submissions wait for a skill", 100 * MILLISECOND_NS)
            self._catalogue.want(planned, now.monotonic_ns)
            self._parked_counter += 1
            due = now.monotonic_ns + self._parameters.describe_ns
            self._parked[self._parked_counter] = (command, due)
            return
        self._accept(command, planned, now)

    def _accept(self, command: commands.SubmitTasks, groups: list[Group], now: Now) -> None:
        ids: list[str] = []
        recorded: list[tuple[Envelope, tuple[Accepted, ...]]] = []
        wall = now.wall_ns
        ledger, gate = self.ledger, self.gate
        for group in groups:
            envelope = group.envelope
            desk = self.desks.of(envelope)
            desk.known = group.known
            entries: list[Accepted] = []
            for planned in group.tasks:
                task_id, spec, is_fresh = planned.task, planned.spec, False
                if task_id:
                    there = ledger.tasks.get(task_id)
                    if there is not None:
                        ids.append(task_id)
                        if there.state in SETTLED:
                            self.settling.tell_again(there)
                        continue
                else:
                    task_id, is_fresh = self._ids.next(), True
                task = Task(
                    task_id, envelope, desk, spec.input, spec.key, spec.weight_us,
                    planned.fingerprint, wall,
                )  # fmt: skip
                task.is_fresh = is_fresh
                ids.append(task_id)
                entries.append(Accepted(task_id, spec.input, spec.key, spec.weight_us))
                ledger.add(task)
                gate.enter(task)
                if envelope.deadline_wall_ns:
                    self._set_deadline(task, now)
            if entries:
                recorded.append((envelope, tuple(entries)))
                self.touch(desk)
        if recorded:
            self._outbox.persist(TasksRecorded(wall, tuple(recorded)))
        skill = groups[0].envelope.skill if groups else ""
        trace = groups[0].envelope.traceparent if groups else ""
        parent = groups[0].envelope.parent if groups else ""
        self._outbox.emit(
            TasksAccepted(command.request, tuple(ids), skill, trace[3:35], parent, trace[36:52])
        )

    def redrive(self, command: commands.RedriveTasks, now: Now) -> None:
        """Runs dead letters again.

        Raises:
            Refused: nothing has changed.
        """
        for task in self._redriving.redrive(command, now):
            self.resume(task, now)

    def _set_deadline(self, task: Task, now: Now) -> None:
        remaining = task.envelope.deadline_wall_ns - now.wall_ns
        self.timetable.deadline(now.monotonic_ns + max(remaining, 0), task)

    def resume(self, task: Task, now: Now) -> None:
        """A task that was restored, or redriven, goes on."""
        if task.envelope.deadline_wall_ns:
            self._set_deadline(task, now)
        self.touch(task.desk)

    def specs_changed(self, now: Now) -> None:
        """A spec came, or time passed: submissions that wait are looked at again."""
        for number, (command, due) in tuple(self._parked.items()):
            try:
                planned = self._submissions.plan(command, now)
                if isinstance(planned, bytes):
                    if due > now.monotonic_ns:
                        continue
                    raise Refused(
                        "UnknownSkill",
                        "the peers that host it did not say what it takes; try again",
                        self._parameters.describe_ns,
                    )
                self._accept(command, planned, now)
            except Refused as refused:
                index = refused.index if isinstance(refused, InputRefused) else -1
                self._outbox.emit(
                    SubmissionRefused(
                        command.request,
                        refused.kind,
                        refused.message,
                        refused.retry_after_ns or 0,
                        index,
                    )
                )
            del self._parked[number]

    # Cancelling.

    def cancel(self, command: commands.CancelTasks, now: Now) -> None:
        """Cancels a task here, or asks all members to."""
        task = self.ledger.tasks.get(command.task)
        if task is not None:
            self.cancel_task(task, command.reason, now)
            self._outbox.emit(CancelAnswered(command.request, command.task, task.state))
            return
        members = list(self._catalogue.members)
        self.lookups.ask(command.request, command.task, True, members, now.monotonic_ns)

    def asked(self, link: bytes, message: FindTask | CancelTask, now: Now) -> None:
        """A member asks for a task, or wants it cancelled."""
        task = self.ledger.tasks.get(message.task)
        if task is not None and isinstance(message, CancelTask):
            self.cancel_task(task, "cancelled by a client of another peer", now)
        self._outbox.send(link, TaskFound(message.request, self.questions.shown(task)))

    def cancel_task(self, task: Task, reason: str, now: Now) -> None:
        """Cancels a task and its children here, unless they have ended."""
        if task.state in UNDECIDED:
            self._stop(task, CANCELLED, "Cancelled", reason, now)
        self.cancel_children(task.id, "its parent was cancelled", now)

    def cancel_children(self, parent: str, reason: str, now: Now) -> None:
        """Cancels all that a task submitted here, and what that submitted in turn."""
        parents = [parent]
        seen = 0
        while parents and seen < CASCADE_LIMIT:
            for child_id in tuple(self.ledger.children.get(parents.pop(), ())):
                seen += 1
                child = self.ledger.tasks.get(child_id)
                if child is not None and child.state in UNDECIDED:
                    self._stop(child, CANCELLED, "Cancelled", reason, now)
                    parents.append(child_id)

    def _stop(self, task: Task, state: str, kind: str, message: str, now: Now) -> None:
        attempt = task.current
        if attempt is not None:
            attempt.status = "cancelled"
            self._outbox.send(attempt.peer, CancelJobs((JobKey(task.id, attempt.number),)))
        self.settling.end(task, state, kind, message, now, attempt)
        self.touch(task.desk)

    # Workers.

    def rejected(self, link: bytes, message: Rejected, now: Now) -> None:
        """A worker's peer will not run these; slots that it does not honour are given up."""
        for key in message.jobs:
            task = self.ledger.tasks.get(key.task)
            attempt = task.current if task is not None else None
            if task is None or attempt is None:
                continue
            if attempt.number == key.attempt and attempt.peer == link:
                self.touch(task.desk)
                if message.lot and not message.keeps_slot:
                    self.desks.give_up(task.desk, message.lot, link)
                self.failing.refused(task, message.reason, now)

    def peer_up(self, member: commands.PeerUp, now: Now) -> None:
        """A member; with a higher boot its earlier process is gone."""
        before = self._boots.get(member.peer)
        self._boots[member.peer] = member.boot
        if len(self._boots) > 2 * MEMBERS_LIMIT:
            del self._boots[next(iter(self._boots))]
        if before is not None and member.boot > before:
            self.desks.peer_down(member.peer)
            self.attempts.peer_lost(member.peer, "its peer was started again", True, now)
        for desk in self.desks.peer_up(member.peer):
            self._patience.pop(desk, None)
            self.touch(desk)

    def peer_down(self, command: commands.PeerDown, now: Now) -> None:
        """A member is gone, or its process is: what ran there runs elsewhere."""
        self.desks.peer_down(command.peer)
        why = f"its peer is gone: {command.reason}"
        self.attempts.peer_lost(command.peer, why, command.has_ended, now)

    # Steps.

    def touch_spread(self) -> None:
        """Other peers can, or may, take tasks that no auction places."""
        for desk in self.desks.spread():
            self.touch(desk)

    def touch(self, desk: Desk) -> None:
        """Something changed at a desk; it is looked at when the step ends."""
        self.attempts.dirty[desk] = None

    def wake(self, now: Now) -> None:
        """Does what is due."""
        mono = now.monotonic_ns
        for what, task in self.timetable.due(mono):
            self.touch(task.desk)
            if what == RETRY:
                self.failing.due(task)
            else:
                self._stop(task, EXPIRED, "Expired", "its deadline passed", now)
        self.attempts.wake_leases(now)
        if self._sweep_at <= mono:
            self._sweep_at = NEVER
            self.attempts.sweep(now)
            self.ledger.forget_old(mono)
        for desk in [desk for desk, due in self._patience.items() if due <= mono]:
            del self._patience[desk]
            if not self._catalogue.is_here(desk.to):
                self._give_up_direct(desk, now)
        self.breakers.wake(mono)
        self.desks.wake(mono, self.attempts)
        self.lookups.wake(mono)
        if any(due <= mono for _, due in self._parked.values()):
            self.specs_changed(now)

    def _give_up_direct(self, desk: Desk, now: Now) -> None:
        for task in desk.line.upcoming():
            self.settling.end(task, DEAD, "PeerGone", "the peer it is for is gone", now, None)

    def end_step(self, now: Now) -> None:
        """Writes and tells what was settled, and binds what can be bound."""
        mono = now.monotonic_ns
        attempts = self.attempts
        self.settling.flush()
        self.failing.flush()
        if self.breakers.changed:
            self._tell_breakers(mono)
        while attempts.dirty:
            dirty = tuple(attempts.dirty)
            attempts.dirty.clear()
            for desk in dirty:
                if desk.to:
                    self._tend_direct(desk, mono)
                if len(desk.line):
                    attempts.fill(desk, now)
                self.desks.settle_demand(desk, mono)
        for slots, count in attempts.vacated.items():
            self.desks.vacate(slots, count)
        attempts.vacated.clear()
        self.gate.end_step(now)
        if self._sweep_at == NEVER:
            self._sweep_at = attempts.sweep_at(mono)

    def _tell_breakers(self, now: int) -> None:
        changed = tuple(self.breakers.changed)
        self.touch_spread()
        self.breakers.changed.clear()
        for breaker in changed:
            skill, version, peer = breaker.key
            state, is_barred = breaker.told
            breaker.told = (breaker.state, breaker.is_barred)
            if breaker.is_barred != is_barred:
                self._outbox.emit(PeerBarred(skill, version, peer, breaker.is_barred))
            if breaker.state != state:
                self._outbox.emit(
                    BreakerChanged(
                        peer, skill, version, breaker.state,
                        *self.breakers.faults(breaker, now), max(0, breaker.until - now)
                        if breaker.state == OPEN else 0,
                    )
                )  # fmt: skip
            if breaker.state == OPEN:
                for desk in self.desks.shut(breaker.key):
                    self.touch(desk)

    def _tend_direct(self, desk: Desk, now: int) -> None:
        """Direct tasks wait a while for a peer that is gone."""
        if self._catalogue.is_here(desk.to):
            self.desks.open_direct(desk)
        elif len(desk.line):
            self._patience.setdefault(desk, now + self._parameters.direct_patience_ns)

    def deadline(self) -> int:
        """When `wake` is wanted."""
        least = min(
            self.timetable.next(), self._sweep_at, self.desks.deadline(), self.lookups.deadline(),
            self.breakers.deadline(), self.gate.deadline(),
        )  # fmt: skip
        if self._parked:
            least = min(least, *(due for _, due in self._parked.values()))
        if self._patience:
            least = min(least, *self._patience.values())
        return least

    def check(self) -> None:
        """Asserts what the ledger and the desks promise."""
        self.ledger.check()
        self.breakers.check()
        self.gate.check()
        self.desks.check(self.ledger.tasks.values())
