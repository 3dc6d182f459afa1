"""What a client knows, without I/O: submissions, their answers, and what to send again.

Every task has an idempotency key, so after the connection broke, or the home
peer changed, all that has not ended is simply submitted again: a task that was
accepted before is the same task. Ends that arrive twice are ignored.
"""

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mesh.local.codec import pack
from mesh.local.errors import Refused
from mesh.local.messages import (
    NIL,
    Accepted,
    Answer,
    LocalMessage,
    Ping,
    Settled,
    SettledTask,
    Submit,
)
from mesh.local.messages import Refused as RefusedMessage
from mesh.local.options import Options, SkillLike, reader_of, remaining_ms
from mesh.local.values import encode_inputs

CHUNK = 256
"""Tasks in one submission."""
CHUNK_BYTES = 1024 * 1024
"""Bytes of inputs in one submission, above which another one begins."""
UNKNOWN = (
    "the connection broke before the answer came: it may have been done, or not; "
    "read what is there before it is done again"
)
DRAINING = "Draining"
"""Why a peer that is being replaced refuses tasks: another one takes them."""
CONNECTION = 0
"""The request number that means the connection itself."""


class Order:
    """What the tasks of one call or map have in common.

    Attributes:
        done: tasks that ended, in the order in which they did, where `collect`.
        read: makes typed values of plain ones, or None.
        changed: where set, is called when one more has ended and is in `done`.
    """

    __slots__ = ("changed", "collect", "deadline", "done", "options", "read", "skill", "version")

    def __init__(self, skill: SkillLike, options: Options, *, collect: bool, now: float) -> None:
        self.skill, self.version = options.meant(skill)
        self.read = reader_of(skill)
        self.options = options
        self.deadline = now + options.deadline if options.deadline else None
        self.collect = collect
        self.done: deque[Entry] = deque()
        self.changed: Callable[[], object] | None = None


class Entry:
    """One task, from the client's side. `outcome` is None until it ended.

    `changed`, where set, is called when the task is accepted and when it ends.
    """

    __slots__ = (
        "changed",
        "id",
        "index",
        "input",
        "key",
        "number",
        "order",
        "outcome",
        "weight_us",
    )

    def __init__(
        self, order: Order, index: int, number: int, key: str, input: msgspec.Raw, weight_us: int
    ) -> None:
        self.order = order
        self.index = index
        self.number = number
        self.key = key
        self.input = input
        self.weight_us = weight_us
        self.id = ""
        self.outcome: SettledTask | Refused | None = None
        self.changed: Callable[[], object] | None = None


class Question:
    """A request that wants one answer; asked again after a fail-over, where it may be."""

    __slots__ = ("answer", "changed", "is_repeatable", "message")

    def __init__(self, message: Any, is_repeatable: bool = True) -> None:
        self.message = message
        self.is_repeatable = is_repeatable
        self.answer: Answer | Refused | None = None
        self.changed: Callable[[], object] | None = None

    def take(self, answer: Answer | Refused) -> None:
        """Takes the answer."""
        self.answer = answer
        if self.changed is not None:
            self.changed()


class ClientCore:
    """The state of one client."""

    def __init__(self, run: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes a random name for this run, which its idempotency keys begin with, and a clock."""
        self._run = run
        self.clock = clock
        self._requests = itertools.count(1)
        self._numbers = itertools.count()
        self._live: dict[int, Entry] = {}
        self._by_id: dict[str, list[Entry]] = {}
        self._submitted: dict[int, list[Entry]] = {}
        self._asked: dict[int, Question] = {}
        self._delayed: list[tuple[float, int, list[Entry]]] = []
        self._outgoing: list[bytes] = []
        self._turned_away: tuple[list[Entry], Refused] | None = None
        """What a draining home did not take, until all that it took before has ended."""
        self.rejection: Refused | None = None
        """Why another home is to be found: the peer refused the connection itself, or drains."""

    @property
    def is_busy(self) -> bool:
        """Whether a task has not ended, or a question has no answer."""
        return bool(self._live or self._asked)

    # What is wanted.

    def order(self, skill: SkillLike, options: Options, *, collect: bool) -> Order:
        """What the tasks of a call or map have in common; its deadline begins now.

        Raises:
            TypeError: neither a name nor a decorated function.
            ValueError: two versions are named.
        """
        return Order(skill, options, collect=collect, now=self.clock())

    def entry(self, order: Order, index: int, input: msgspec.Raw, key: str = "") -> Entry:
        """A new task, not yet submitted."""
        number = next(self._numbers)
        weight_us = round(order.options.weight * 1_000_000)
        return Entry(order, index, number, key or f"{self._run}/{number}", input, weight_us)

    def mapped(self, order: Order, index: int, inputs: Mapping[str, Any], key: str) -> Entry:
        """The task of one of many inputs; one that cannot travel is refused in its place.

        Raises:
            TypeError: it holds something of a type that cannot travel.
        """
        try:
            return self.entry(order, index, encode_inputs(inputs), key)
        except Refused as refusal:
            entry = self.entry(order, index, NIL, key)
            entry.outcome = refusal
            return entry

    def submit(self, entries: Sequence[Entry]) -> None:
        """Submits tasks of one order."""
        live = self._live
        for entry in entries:
            if entry.outcome is None:
                live[entry.number] = entry
            elif entry.order.collect:
                entry.order.done.append(entry)
        self._submit_chunks([entry for entry in entries if entry.outcome is None])

    def ask(self, message: LocalMessage, *, is_repeatable: bool = True) -> Question:
        """Sends a request that wants one answer; its number is filled in.

        One that is not repeatable is refused as `OutcomeUnknown` where its connection breaks.
        """
        question = Question(message, is_repeatable)
        self._send_question(question)
        return question

    def ping(self) -> None:
        """Asks whether the peer is alive; any message is an answer."""
        self._send(Ping(request=next(self._requests)))

    def forget(self, entries: Iterable[Entry]) -> None:
        """Nobody waits for these any more; they run on."""
        for entry in entries:
            if entry.outcome is None:
                entry.outcome = Refused("Forgotten", "nobody waits for this task any more")
                self._live.pop(entry.number, None)
                if entry.id:
                    self._by_id.pop(entry.id, None)

    # What is sent.

    def take_outgoing(self) -> bytes:
        """What is to be sent now."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)

    def disconnected(self) -> None:
        """The connection is gone; all that is unfinished waits for the next one."""
        self._outgoing.clear()
        self._submitted.clear()
        self._delayed.clear()
        self._by_id.clear()
        self._turned_away = None
        self.rejection = None

    def connected(self) -> None:
        """A new connection is up: everything unfinished is submitted, and asked, again."""
        groups: dict[int, list[Entry]] = {}
        for entry in self._live.values():
            groups.setdefault(id(entry.order), []).append(entry)
        for entries in groups.values():
            self._submit_chunks(entries)
        asked, self._asked = self._asked, {}
        for question in asked.values():
            if question.is_repeatable:
                self._send_question(question)
            else:
                question.take(Refused("OutcomeUnknown", UNKNOWN))

    def due(self) -> float | None:
        """The monotonic time at which `resubmit` is wanted, or None."""
        return self._delayed[0][0] if self._delayed else None

    def resubmit(self, now: float) -> None:
        """Submits again what the peer had no room for."""
        while self._delayed and self._delayed[0][0] <= now:
            _, _, entries = heapq.heappop(self._delayed)
            self._submit_chunk([entry for entry in entries if entry.outcome is None])

    # What is received.

    def receive(self, message: LocalMessage) -> None:
        """Takes a message of the peer."""
        match message:
            case Settled():
                self._settle(message.tasks)
            case Accepted():
                self._accept(message)
            case RefusedMessage():
                self._refused(message)
            case Answer():
                question = self._asked.pop(message.request, None)
                if question is not None:
                    question.take(message)
            case _:
                pass  # Welcome, Pong and what newer peers say: the connection lives
        if self._turned_away is not None:
            self._look_elsewhere(self._turned_away[1])

    def _look_elsewhere(self, error: Refused) -> None:
        """Another home is wanted once this one has ended what it took: it runs nothing twice."""
        is_asked = any(not question.is_repeatable for question in self._asked.values())
        if not (self._by_id or self._submitted or is_asked):
            self.rejection = error

    def refuse_turned_away(self) -> None:
        """No other peer takes what a draining home did not: it is refused."""
        entries, error = self._turned_away or ([], Refused(DRAINING, ""))
        self._turned_away = self.rejection = None
        for entry in entries:
            self._end(entry, error)

    def _settle(self, tasks: list[SettledTask]) -> None:
        for task in tasks:
            for entry in self._by_id.pop(task.task, ()):
                self._end(entry, task)

    def _accept(self, message: Accepted) -> None:
        entries = self._submitted.pop(message.request, ())
        by_id = self._by_id
        for entry, task in zip(entries, message.tasks, strict=False):
            if entry.outcome is None:
                entry.id = task
                if entry.changed is not None:
                    entry.changed()
                # Two inputs with one key are one task.
                by_id.setdefault(task, []).append(entry)

    def _refused(self, message: RefusedMessage) -> None:
        retry_ms = message.retry_after_ms
        retry_after = retry_ms / 1000 if retry_ms >= 0 else None
        error = Refused(message.kind, message.message, message.index, retry_after)
        entries = self._submitted.pop(message.request, None)
        if entries is not None:
            self._refused_entries(entries, message, error)
            return
        question = self._asked.pop(message.request, None)
        if question is not None:
            question.take(error)
        elif message.request == CONNECTION:
            self.rejection = error

    def _refused_entries(
        self, entries: list[Entry], message: RefusedMessage, error: Refused
    ) -> None:
        if message.kind == DRAINING:
            before = self._turned_away[0] if self._turned_away is not None else []
            self._turned_away = ([*before, *entries], error)
        elif message.retry_after_ms >= 0:
            due = self.clock() + message.retry_after_ms / 1000
            heapq.heappush(self._delayed, (due, next(self._requests), entries))
        elif 0 <= message.index < len(entries) and len(entries) > 1:
            # All or none were accepted; without the offender the others may be.
            offender = entries.pop(message.index)
            self._end(offender, error)
            self._submit_chunk(entries)
        else:
            for entry in entries:
                self._end(entry, error)

    def _end(self, entry: Entry, outcome: SettledTask | Refused) -> None:
        if entry.outcome is not None:
            return
        entry.outcome = outcome
        if entry.changed is not None:
            entry.changed()
        del self._live[entry.number]
        if entry.order.collect:
            entry.order.done.append(entry)
            if entry.order.changed is not None:
                entry.order.changed()

    # Messages.

    def _submit_chunks(self, entries: Sequence[Entry]) -> None:
        chunk: list[Entry] = []
        size = 0
        for entry in entries:
            size += memoryview(entry.input).nbytes
            if chunk and (len(chunk) == CHUNK or size > CHUNK_BYTES):
                self._submit_chunk(chunk)
                chunk, size = [], memoryview(entry.input).nbytes
            chunk.append(entry)
        self._submit_chunk(chunk)

    def _submit_chunk(self, entries: list[Entry]) -> None:
        if not entries:
            return
        order = entries[0].order
        request = next(self._requests)
        self._submitted[request] = entries
        weights = [entry.weight_us for entry in entries] if entries[0].weight_us else []
        self._send(
            Submit(
                request=request,
                skill=order.skill,
                version=order.version,
                inputs=[entry.input for entry in entries],
                keys=[entry.key for entry in entries],
                weights_us=weights,
                deadline_ms=remaining_ms(order.deadline, self.clock),
                traceparent=order.options.traceparent,
                **order.options.fields(),
            )
        )

    def _send_question(self, question: Question) -> None:
        request = next(self._requests)
        self._asked[request] = question
        self._send(msgspec.structs.replace(question.message, request=request))

    def _send(self, message: LocalMessage) -> None:
        self._outgoing.append(pack(message))
