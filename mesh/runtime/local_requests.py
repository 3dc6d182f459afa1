"""Requests about tasks: submitting, attaching, cancelling, looking up.

Each becomes one or more commands under a number of the desk's own; the core's
events carry that number, or the task ids, and find their way back. A
connection hears of the end of every task that it submitted or attached to.
"""

import base64
import binascii
import secrets
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from mesh.local.codec import encode_value
from mesh.local.messages import (
    NIL,
    Accepted,
    Answer,
    Attach,
    Attached,
    Cancel,
    LocalMessage,
    Settled,
    SettledTask,
    Submit,
)
from mesh.local.messages import Refused as RefusedMessage
from mesh.runtime.local_connection import Link
from protocols.errors import Refused
from protocols.identity import PEER_ID_BYTES
from protocols.machine import MILLISECOND_NS
from protocols.tasks import events
from protocols.tasks.commands import (
    AttachTasks,
    CancelTasks,
    ListTasks,
    LookUpTask,
    RedriveTasks,
    SubmitTasks,
    TaskSpec,
)

UNANSWERED_LIMIT = 4096
"""Requests of one connection that may wait for an answer."""
SETTLED_BYTES = 4 * 1024 * 1024
"""Bytes of results in one message, above which another one begins."""
LISTED_BYTES = 16 * 1024 * 1024
"""Bytes of results in one list of tasks; a longer one is refused."""
BUSY_RETRY_MS = 100
COPIED = (
    "version", "strategy", "timeout_ms", "deadline_ms", "retries", "priority", "budget",
    "parent", "depth", "space", "principal", "exclusive",
)  # fmt: skip
"""What a submission says as the core is told it."""


class Driver(Protocol):
    """Who carries commands to the core."""

    def submit(self, command: msgspec.Struct) -> object:
        """Takes a command; its events come later. May raise `Refused`."""

    def flush(self) -> None:
        """Carries out what the commands given so far have caused."""


Answered = Callable[[Any], None]


class TaskDesk:
    """Knows which connection waits for what."""

    def __init__(
        self,
        driver: Driver,
        find_peer: Callable[[str], bytes | None],
        name_of: Callable[[bytes], str],
    ) -> None:
        """Takes the driver, and how peers are found and named."""
        self._driver = driver
        self._find_peer = find_peer
        self._name_of = name_of
        self._number = 0
        self._submissions: dict[int, tuple[Link, int]] = {}
        self._questions: dict[int, Answered] = {}
        self._interested: dict[str, list[Link]] = {}

    # From connections.

    def submit(self, connection: Link, message: Submit) -> None:
        """Turns a submission into a command; it is answered when the tasks are on disk."""
        if connection.unanswered >= UNANSWERED_LIMIT:
            text = f"{UNANSWERED_LIMIT} requests of this connection wait already"
            self._refuse(connection, message.request, "Busy", text, BUSY_RETRY_MS)
            return
        number = self._next()
        # Known before the command is given: its events may come while it is.
        self._submissions[number] = (connection, message.request)
        connection.unanswered += 1
        try:
            self._driver.submit(SubmitTasks(number, self._specs(message, connection.submitter)))
        except Refused as error:
            self._end_submission(number)
            self._refused(connection, message.request, error)

    def cancel(self, connection: Link, message: Cancel) -> None:
        """Cancels a task."""

        def answered(event: events.CancelAnswered) -> None:
            value = {"task": event.task, "state": event.state}
            connection.send(Answer(request=message.request, value=encode_value(value)))

        number = self._question(answered)
        command = CancelTasks(number, message.task, message.reason)
        self._command(connection, message.request, number, command)

    def look_up(
        self,
        connection: Link,
        request: int,
        task: str,
        show: Callable[[events.TaskView], Any],
    ) -> None:
        """Answers with what `show` makes of a task's view."""

        def answered(event: events.TaskLookedUp) -> None:
            if event.view is None:
                text = f"no peer that can be reached knows a task {task!r}"
                self._refuse(connection, request, "UnknownTask", text)
            else:
                view = event.view
                self._show(connection, request, lambda: show(view))

        number = self._question(answered)
        self._command(connection, request, number, LookUpTask(number, task))

    def list_tasks(
        self,
        connection: Link,
        request: int,
        states: tuple[str, ...],
        limit: int,
        show: Callable[[events.TaskView], Any],
    ) -> None:
        """Answers with what `show` makes of each of this peer's tasks, newest first."""

        def answered(event: events.TasksListed) -> None:
            size = sum(memoryview(view.value).nbytes for view in event.views)
            if size > LISTED_BYTES:
                text = f"the results of these {len(event.views)} tasks have {size} bytes; ask for "
                self._refuse(connection, request, "TooLarge", text + "fewer at once")
            else:
                views = event.views
                self._show(connection, request, lambda: [show(view) for view in views])

        number = self._question(answered)
        self._command(connection, request, number, ListTasks(number, states, limit))

    def redrive(self, connection: Link, request: int, tasks: tuple[str, ...], skill: str) -> None:
        """Runs dead letters of this peer again; answers with which, and why others are not."""

        def answered(event: events.TasksRedriven) -> None:
            refused = [{"task": task, "reason": reason} for task, reason in event.refused]
            value = {"redriven": list(event.tasks), "refused": refused}
            connection.send(Answer(request=request, value=encode_value(value)))

        number = self._question(answered)
        self._command(connection, request, number, RedriveTasks(number, tasks, skill))

    def attach(self, connection: Link, message: Attach) -> None:
        """Has the connection told the ends of tasks that it did not submit."""

        def answered(event: events.TasksAttached) -> None:
            for task in event.unknown:
                self._lose_interest(task, connection)
            connection.send(Attached(request=message.request, unknown=list(event.unknown)))

        # Before asking, so that no end falls between.
        for task in message.tasks:
            self._interest(task, connection)
        number = self._question(answered)
        command = AttachTasks(number, tuple(message.tasks))
        if not self._command(connection, message.request, number, command):
            for task in message.tasks:
                self._lose_interest(task, connection)

    def forget(self, connection: Link) -> None:
        """A connection is closed; its tasks run on."""
        for task in connection.tasks:
            others = [c for c in self._interested.get(task, ()) if c is not connection]
            if others:
                self._interested[task] = others
            else:
                self._interested.pop(task, None)
        connection.tasks.clear()

    # From the core.

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event, and ignores those that nobody here asked for."""
        match event:
            case events.TasksSettled():
                self._settled(event.settled)
            case events.TasksAccepted():
                self._accepted(event)
            case events.SubmissionRefused():
                self._submission_refused(event)
            case (
                events.TaskLookedUp()
                | events.CancelAnswered()
                | events.TasksListed()
                | events.TasksAttached()
                | events.TasksRedriven()
            ):
                answered = self._questions.pop(event.request, None)
                if answered is not None:
                    answered(event)
            case _:
                pass

    def _accepted(self, event: events.TasksAccepted) -> None:
        submission = self._end_submission(event.request)
        if submission is None:
            return
        connection, request = submission
        if not connection.closed:
            for task in event.tasks:
                self._interest(task, connection)
        connection.send(Accepted(request=request, tasks=list(event.tasks)))

    def _submission_refused(self, event: events.SubmissionRefused) -> None:
        submission = self._end_submission(event.request)
        if submission is not None:
            connection, request = submission
            retry_ms = event.retry_after_ns // MILLISECOND_NS or -1
            self._refuse(connection, request, event.kind, event.message, retry_ms, event.index)

    def _settled(self, settled: tuple[events.Settled, ...]) -> None:
        names: dict[bytes, str] = {}
        batches: dict[Link, list[SettledTask]] = {}
        for end in settled:
            connections = self._interested.pop(end.task, None)
            if connections is None:
                continue
            if end.producer not in names:
                names[end.producer] = self._name_of(end.producer) if end.producer else ""
            task = _settled_task(end, names[end.producer])
            for connection in connections:
                connection.tasks.pop(end.task, None)
                batches.setdefault(connection, []).append(task)
        for connection, tasks in batches.items():
            _send_settled(connection, tasks)

    # Bookkeeping.

    def _specs(self, message: Submit, submitter: str) -> tuple[TaskSpec, ...]:
        count = len(message.inputs)
        if len(message.keys) not in (0, count) or len(message.weights_us) not in (0, count):
            raise Refused("InvalidSubmission", "keys and weights are empty, or one per input")
        if not count:
            raise Refused("InvalidSubmission", "a submission holds at least one input")
        to = self._peer_id(message.to) if message.to else b""
        common: dict[str, Any] = {name: getattr(message, name) for name in COPIED}
        common["to"] = to
        common["traceparent"] = message.traceparent or new_traceparent()
        common["requires"] = tuple(message.requires)
        common["submitter"] = submitter
        keys = message.keys or [""] * count
        weights = message.weights_us or [0] * count
        skill = message.skill
        return tuple(
            TaskSpec(skill, input, key=key, weight_us=weight, **common)
            for input, key, weight in zip(message.inputs, keys, weights, strict=True)
        )

    def _peer_id(self, text: str) -> bytes:
        found = self._find_peer(text)
        if found is not None:
            return found
        padding = "=" * (-len(text) % 8)
        try:
            peer = base64.b32decode(text.upper() + padding)
        except (binascii.Error, ValueError):
            peer = b""
        if len(peer) != PEER_ID_BYTES:
            raise Refused("UnknownPeer", f"no peer is named {text!r}; `mesh peers` lists them")
        return peer

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _question(self, answered: Answered) -> int:
        number = self._next()
        self._questions[number] = answered
        return number

    def _command(
        self, connection: Link, request: int, number: int, command: msgspec.Struct
    ) -> bool:
        try:
            self._driver.submit(command)
        except Refused as error:
            self._questions.pop(number, None)
            self._refused(connection, request, error)
            return False
        return True

    def _end_submission(self, number: int) -> tuple[Link, int] | None:
        submission = self._submissions.pop(number, None)
        if submission is not None:
            submission[0].unanswered -= 1
        return submission

    def _interest(self, task: str, connection: Link) -> None:
        connections = self._interested.setdefault(task, [])
        if connection not in connections:
            connections.append(connection)
            connection.tasks[task] = None

    def _lose_interest(self, task: str, connection: Link) -> None:
        connection.tasks.pop(task, None)
        others = [c for c in self._interested.pop(task, ()) if c is not connection]
        if others:
            self._interested[task] = others

    def _show(self, connection: Link, request: int, make: Callable[[], Any]) -> None:
        # What other peers say of a task is in there: it must not end this one.
        try:
            value = encode_value(make())
        except (msgspec.MsgspecError, RecursionError, ValueError, TypeError) as error:
            text = f"what is known of it cannot be shown: {error}"
            self._refuse(connection, request, "Unshowable", text)
        else:
            connection.send(Answer(request=request, value=value))

    def _refused(self, connection: Link, request: int, error: Refused) -> None:
        retry_ns = error.retry_after_ns
        retry_ms = -1 if retry_ns is None else max(1, retry_ns // MILLISECOND_NS)
        index = getattr(error, "index", -1)
        self._refuse(connection, request, error.kind, error.message, retry_ms, index)

    def _refuse(
        self,
        connection: Link,
        request: int,
        kind: str,
        message: str,
        retry_after_ms: int = -1,
        index: int = -1,
    ) -> None:
        refusal: LocalMessage = RefusedMessage(
            request=request,
            kind=kind,
            message=message,
            retry_after_ms=retry_after_ms,
            index=index,
        )
        connection.send(refusal)


def new_traceparent() -> str:
    """A W3C trace context for work that came without one: a new trace, sampled.

    Its span is the beginning of its trace id, by which exporters know that no
    caller has a span above.
    """
    trace = secrets.token_hex(16)
    return f"00-{trace}-{trace[:16]}-01"


def _settled_task(end: events.Settled, producer: str) -> SettledTask:
    return SettledTask(
        task=end.task,
        state=end.state,
        value=end.value if memoryview(end.value).nbytes else NIL,
        error_kind=end.error_kind,
        error_message=end.error_message,
        attempts=end.attempts,
        incomplete=end.incomplete,
        producer=producer,
        confidence=end.confidence,
        elapsed_us=end.elapsed_us,
    )


def _send_settled(connection: Link, tasks: list[SettledTask]) -> None:
    batch: list[SettledTask] = []
    size = 0
    for task in tasks:
        size += memoryview(task.value).nbytes
        if batch and size > SETTLED_BYTES:
            connection.send(Settled(tasks=batch))
            batch = []
            size = memoryview(task.value).nbytes
        batch.append(task)
    connection.send(Settled(tasks=batch))
