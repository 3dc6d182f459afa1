"""The tasks machine: custodian and worker of one peer, as one `protocols.machine.Machine`.

See docs/protocols/tasks.md. Custodian and worker know nothing of each other: a
peer that works for itself sends itself messages, as to any other.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import msgspec

from protocols.effects import Effect
from protocols.errors import Refused
from protocols.machine import Instant, Now
from protocols.tasks import commands, messages
from protocols.tasks.catalogue import Catalogue, Compile, fault_of
from protocols.tasks.claiming import Claiming
from protocols.tasks.custodian import Custodian
from protocols.tasks.events import BreakerView, ClaimsDecided, Drained, TaskView
from protocols.tasks.hosting import Occupancy
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import NEVER, TaskParameters
from protocols.tasks.records import SpecRecorded
from protocols.tasks.restoring import Restoring, kept_records
from protocols.tasks.views import view_of, views_of
from protocols.tasks.worker import Worker

STOPPED = ("cancelled", "timeout")
"""How attempts end that were told to stop."""


class Tasks:
    """Tasks of one peer: those it keeps, and those it runs."""

    def __init__(
        self,
        me: bytes,
        boot: int,
        parameters: TaskParameters,
        rng: random.Random,
        compile_schema: Compile,
    ) -> None:
        """Takes who this is and how it may check values.

        Args:
            me: this peer's id.
            boot: how often this peer has started.
            parameters: the numbers of the protocol.
            rng: for jitter.
            compile_schema: turns JSON Schema text into a check, which answers None or
                what is wrong and where; raises ValueError for what is no schema.
        """
        self._me = me
        self._outbox = Outbox()
        self._catalogue = Catalogue(me, parameters, compile_schema, self._outbox)
        self._worker = Worker(me, boot, parameters, self._outbox)
        self._custodian = Custodian(
            me, boot, parameters, self._catalogue, self._outbox, rng, self._may_submit
        )
        self._claiming = Claiming(me, parameters, self._catalogue, self._worker, self._outbox, rng)
        self._has_told_drained = False
        self._stepped_at = 0

    # The machine.

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Takes local intent.

        Raises:
            Refused: the command is refused, and nothing has changed.
        """
        handler = self._COMMANDS.get(type(command))
        if handler is None:
            raise Refused("UnknownCommand", f"tasks do not know {type(command).__name__}")
        handler(self, command, now)
        return self._end_step(now)

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Takes a remote message. None of them is signed, so `author` is `link`."""
        handler = self._MESSAGES.get(type(message))
        if handler is None:
            return ()
        handler(self, link, message, now)
        return self._end_step(now)

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Does all that is due."""
        self._catalogue.wake(now.monotonic_ns)
        for task in self._worker.wake(now):
            self._custodian.cancel_children(task, "its parent ran out of time", now)
        self._custodian.wake(now)
        self._claiming.wake(now.monotonic_ns)
        return self._end_step(now)

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        least = min(self._custodian.deadline(), self._worker.deadline(), self._catalogue.deadline())
        least = min(least, self._claiming.deadline())
        return least if least < NEVER else None

    def snapshot(self) -> Iterator[msgspec.Struct]:
        """The records that give today's tasks and specs."""
        for spec in self._catalogue.kept():
            yield SpecRecorded(spec)
        yield from kept_records(self._custodian)

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Rebuilds tasks and specs; attempts that are out keep their standing."""
        restoring = Restoring(self._custodian, now)
        for record in records:
            if isinstance(record, SpecRecorded):
                self._catalogue.keep(record.spec)
            else:
                restoring.apply(record)
        restoring.finish()

    def check(self) -> None:
        """Asserts the invariants of docs/invariants.md, "Tasks"."""
        self._custodian.check()
        self._worker.check()
        self._claiming.check()

    # Queries.

    def view(self, task: str) -> TaskView | None:
        """A task of this custodian, or None."""
        found = self._custodian.ledger.tasks.get(task)
        return view_of(found, self._me, self._custodian.ledger) if found is not None else None

    def breakers(self, skill: str = "") -> list[BreakerView]:
        """The breakers of a skill (of all where ""), as of the last step; idle ones left out."""
        return views_of(self._custodian.breakers, skill, self._stepped_at)

    def decision(self, lot: str) -> ClaimsDecided | None:
        """What was claimed from the blackboard, and who got it, by an attempt's lot."""
        return self._custodian.desks.decisions.get(lot)

    def output_schema(self, skill: str, version: str) -> bytes:
        """The JSON Schema of a skill's results, as text; ``{}`` where it is not known."""
        return self._catalogue.output_schema(skill, version)

    def input_fault(self, skill: str, version: str, value: msgspec.Raw) -> str | None:
        """What is wrong with an encoded input; None too where the skill is not known here yet."""
        known = self._catalogue.skill(skill, version)
        return None if known is None else fault_of(known.check_input, value)

    @property
    def undecided(self) -> int:
        """How many tasks of this custodian have not ended."""
        return self._custodian.ledger.open_tasks

    @property
    def occupancy(self) -> tuple[Occupancy, ...]:
        """How busy each skill is that this peer hosts."""
        return self._worker.occupancy

    # Commands and messages that concern several parts.

    def _on_slots_held(self, command: commands.SlotsHeld, now: Now) -> None:
        self._custodian.touch(self._custodian.desks.held(command, now.monotonic_ns))

    def _on_slots_gone(self, command: commands.SlotsGone, now: Now) -> None:
        self._custodian.desks.gone(command)

    def _on_slots_recalled(self, command: commands.SlotsRecalled, now: Now) -> None:
        desk = self._custodian.desks.recalled(command)
        if desk is not None:
            self._custodian.touch(desk)

    def _on_peer_load(self, command: commands.PeerLoad, now: Now) -> None:
        self._catalogue.loaded(command)
        self._custodian.desks.loaded(command.peer)

    def _on_claim_seen(self, command: commands.ClaimSeen, now: Now) -> None:
        self._claiming.claimed(command)
        if command.custodian == self._me:
            desk = self._custodian.desks.claimed(command, now.monotonic_ns)
            if desk is not None:
                self._custodian.touch(desk)

    def _on_assign(self, link: bytes, message: messages.Assign, now: Now) -> None:
        self._worker.assign(link, message, now)
        self._claiming.assigned(link, message)

    def _on_host_skills(self, command: commands.HostSkills, now: Now) -> None:
        self._catalogue.host(command)
        self._worker.host(command, now)
        self._custodian.specs_changed(now)
        self._custodian.touch_spread()

    def _on_peer_up(self, command: commands.PeerUp, now: Now) -> None:
        self._outbox.forsaken.pop(command.peer, None)
        self._catalogue.up(command, now.monotonic_ns)
        self._custodian.attempts.cleared(command.peer)
        self._custodian.peer_up(command, now)
        self._worker.custodian_up(command.peer, now)

    def _on_peer_down(self, command: commands.PeerDown, now: Now) -> None:
        self._catalogue.down(command.peer)
        self._custodian.peer_down(command, now)
        self._claiming.peer_down(command.peer)
        if command.reason == "revoked":
            self._outbox.forsake(command.peer)
            for task in self._worker.forsake(command.peer):
                self._custodian.cancel_children(task, "its custodian was revoked", now)

    def _on_cancel_jobs(self, link: bytes, message: messages.CancelJobs, now: Now) -> None:
        for task in self._worker.cancel(link, message):
            self._custodian.cancel_children(task, "its parent was cancelled", now)

    def _on_jobs_ended(self, command: commands.JobsEnded, now: Now) -> None:
        self._worker.ended(command)
        for _, outcome in command.ends:
            # What was submitted between the word to stop and the end: nobody awaits it.
            if outcome.status in STOPPED and not self._worker.runs(outcome.task):
                self._custodian.cancel_children(outcome.task, "its parent was stopped", now)

    def _on_described(self, link: bytes, message: messages.SkillDescribed, now: Now) -> None:
        if self._catalogue.described(link, message):
            self._custodian.specs_changed(now)

    def _may_submit(self, parent: str) -> bool:
        return not self._worker.is_draining or (parent != "" and self._worker.runs(parent))

    def _end_step(self, now: Now) -> tuple[Effect, ...]:
        self._stepped_at = now.monotonic_ns
        self._custodian.end_step(now)
        self._worker.end_step(now)
        self._claiming.look(now.monotonic_ns)
        if self._worker.is_draining and not self._has_told_drained and self._worker.is_idle:
            self._has_told_drained = True
            self._outbox.emit(Drained(self.undecided))
        return self._outbox.take()

    # Who takes what. A table of the class, so that a machine holds nothing but its state:
    # the whole memory of a core can be written down (`mesh/core/image.py`).

    _COMMANDS: ClassVar[dict[type[msgspec.Struct], Callable[["Tasks", Any, Now], None]]] = {
        commands.SubmitTasks: lambda self, command, now: self._custodian.submit(command, now),
        commands.JobsEnded: _on_jobs_ended,
        commands.JobParked: lambda self, command, now: self._worker.parked(command),
        commands.JobProgress: lambda self, command, now: self._worker.progress(command),
        commands.SlotsHeld: _on_slots_held,
        commands.SlotsGone: _on_slots_gone,
        commands.SlotsRecalled: _on_slots_recalled,
        commands.OfferSeen: lambda self, command, now: self._claiming.offered(command, now),
        commands.OfferGone: lambda self, command, now: self._claiming.gone(command),
        commands.ClaimSeen: _on_claim_seen,
        commands.SlotsLent: lambda self, command, now: self._worker.lent(command),
        commands.LeaseTold: lambda self, command, now: self._custodian.attempts.lease_told(
            command, now
        ),
        commands.PeerUp: _on_peer_up,
        commands.PeerSuspected: lambda self, command, now: self._custodian.attempts.suspect(
            command.peer, now
        ),
        commands.PeerDown: _on_peer_down,
        commands.PeerLoad: _on_peer_load,
        commands.HostSkills: _on_host_skills,
        commands.CancelTasks: lambda self, command, now: self._custodian.cancel(command, now),
        commands.RedriveTasks: lambda self, command, now: self._custodian.redrive(command, now),
        commands.LookUpTask: lambda self, command, now: self._custodian.questions.look_up(
            command, now
        ),
        commands.ListTasks: lambda self, command, now: self._custodian.questions.list(command),
        commands.AttachTasks: lambda self, command, now: self._custodian.questions.attach(command),
        commands.Drain: lambda self, command, now: self._worker.drain(now),
    }
    _MESSAGES: ClassVar[dict[type[msgspec.Struct], Callable[["Tasks", bytes, Any, Now], None]]] = {
        messages.Assign: _on_assign,
        messages.Results: lambda self, link, message, now: self._custodian.attempts.results(
            link, message, now
        ),
        messages.ResultsAck: lambda self, link, message, now: self._worker.acknowledged(
            link, message
        ),
        messages.Rejected: lambda self, link, message, now: self._custodian.rejected(
            link, message, now
        ),
        messages.Beat: lambda self, link, message, now: self._custodian.attempts.beat(
            link, message, now
        ),
        messages.Parked: lambda self, link, message, now: self._custodian.attempts.parked(
            link, message, now
        ),
        messages.Extended: lambda self, link, message, now: self._worker.extended(
            link, message, now
        ),
        messages.CancelJobs: _on_cancel_jobs,
        messages.Progress: lambda self, link, message, now: self._custodian.attempts.progress(
            link, message
        ),
        messages.DescribeSkill: lambda self, link, message, now: self._catalogue.describe(
            link, message
        ),
        messages.SkillDescribed: _on_described,
        messages.FindTask: lambda self, link, message, now: self._custodian.asked(
            link, message, now
        ),
        messages.CancelTask: lambda self, link, message, now: self._custodian.asked(
            link, message, now
        ),
        messages.TaskFound: lambda self, link, message, now: self._custodian.lookups.found(
            link, message
        ),
    }
