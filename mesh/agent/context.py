"""What a handler is given to know its task, and to call other skills.

Coroutine handlers use `call`, `submit`, `map`, `gather` and `sleep`; plain handlers run
in threads and use `call_sync`, `map_sync` and `sleep_sync`. `progress` and `log` are plain
calls in both. While a handler awaits children its slot is free for others.
"""

import copy
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Unpack

import msgspec

from mesh.agent.outcome import Missing, Partial
from mesh.agent.redaction import redactor, refuse_secrets
from mesh.agent.shared import Asking, Shared
from mesh.local.board_requests import BoardAsked
from mesh.local.deciding import Choices, Decision, decision_of, wanted
from mesh.local.errors import TaskFailed
from mesh.local.messages import NIL, LocalJob, LocalMessage, Log, Progress, Submit
from mesh.local.options import (
    Changes,
    Options,
    SkillLike,
    milliseconds,
    reader_of,
    remaining_ms,
)
from mesh.local.values import decode_value, encode_inputs, encode_plain

if TYPE_CHECKING:
    from mesh.agent.children import Child
    from mesh.agent.parking import Parking

T = TypeVar("T")

TRACEPARENT_LIMIT = 64


class Port(Asking, Protocol):
    """What a context needs of the process that runs its handler."""

    def send(self, message: LocalMessage) -> None:
        """Sends a message to the peer; callable from any thread."""

    def parking(self, job: int) -> "Parking":
        """Where a job stands with its slot; the same object for the same job."""

    def secret(self, name: str) -> str:
        """The value of a secret."""


class ChildHandle:
    """A submitted child: await it, or its `result()`."""

    def __init__(self, context: "Context", child: "Child") -> None:
        self._context = context
        self._child = child

    @property
    def id(self) -> str:
        """The child's task id."""
        return self._child.id

    def __await__(self) -> Any:
        return self.result().__await__()

    async def result(self) -> Any:
        """Waits for the child's value.

        Raises:
            TaskFailed: it ended without one.
        """
        (value,) = await self._context.wait_for([self._child])
        if isinstance(value, Exception):
            raise value
        return value

    def cancel(self) -> None:
        """Asks for the child to be stopped."""
        self._context.cancel_child(self._child)


class Context(Shared):
    """One attempt at one task, as its handler sees it.

    Attributes:
        task: the task's id.
        attempt: the number of this attempt, from 1.
        skill: the skill's name.
        traceparent: the W3C trace context to pass downstream.
        parent: the id of the task whose handler submitted this one, or "".
    """

    _port: Port

    def __init__(
        self,
        job: LocalJob,
        port: Port,
        *,
        options: Options | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = job
        self._port = port
        self._options = options or Options()
        self._clock = clock
        now = clock()
        self._deadline = now + job.deadline_ms / 1000 if job.deadline_ms else None
        self._ends_at = _earliest(
            self._deadline, now + job.timeout_ms / 1000 if job.timeout_ms else None
        )
        self._stops: list[str] = []
        self.missing: list[str] = []
        self.task = job.task
        self.attempt = job.attempt
        self.skill = job.skill
        self.traceparent = job.traceparent
        self.parent = job.parent

    # What it knows.

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt at this task: pass it to services that take one."""
        return self.task

    @property
    def fencing_token(self) -> int:
        """Of the lease that an exclusive task runs under, greater for each attempt; else 0.

        Pass it to what the handler changes outside, which remembers the greatest that it has seen
        and turns away whoever comes with a lower one.
        """
        return self._job.fencing_token

    @property
    def deadline(self) -> float | None:
        """The `time.monotonic()` at which this attempt's time is up; None for no limit."""
        return self._ends_at

    @property
    def time_left(self) -> float | None:
        """Seconds until the deadline, not below 0; None for no limit."""
        return None if self._ends_at is None else max(0.0, self._ends_at - self._clock())

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop; plain handlers look at it and return."""
        return bool(self._stops)

    def stop(self, reason: str) -> None:
        """For the worker: the job is to stop."""
        self._stops.append(reason)

    def secret(self, name: str) -> str:
        """The value of a secret, from the environment, a file or a command of this machine.

        It is kept out of logs, errors, progress and results. A command may take a while.

        Raises:
            NoSecret: it cannot be had here.
        """
        return self._port.secret(name)

    # What it tells.

    def progress(self, fraction: float, text: str = "") -> None:
        """Says how far the handler is: a fraction from 0 to 1, and a text for people."""
        fraction = min(1.0, max(0.0, float(fraction)))
        text = redactor.clean(text)[:4096]
        self._port.send(Progress(job=self._job.job, fraction=fraction, text=text))

    def log(self, text: str, level: str = "info", **fields: Any) -> None:
        """Writes a structured log line, which is shown with the task."""
        encoded = encode_plain(fields) if fields else NIL
        if redactor.found_in(encoded):
            encoded = encode_plain(redactor.plain(decode_value(encoded)))
        text = redactor.clean(text)[:4096]
        self._port.send(Log(job=self._job.job, level=level, text=text, fields=encoded))

    # Other skills.

    def options(self, **changes: Unpack[Changes]) -> "Context":
        """A view of this context whose calls have these `Options`."""
        view = copy.copy(self)
        vars(view)["_options"] = self._options.changed(changes)
        return view

    async def call(self, skill: SkillLike, /, **inputs: Any) -> Any:
        """Calls a skill anywhere in the mesh and returns its value.

        Raises:
            TaskFailed: the child ended without a value.
            Refused: it was not accepted.
        """
        (value,) = await self.wait_for(await self._submit(skill, [inputs]))
        if isinstance(value, Exception):
            raise value
        return value

    async def decide(
        self,
        skill: SkillLike,
        input: Mapping[str, Any] | None = None,
        **choices: Unpack[Choices],
    ) -> Decision:
        """Has the electors run a skill and settle what they answer: as `Client.decide`.

        Raises:
            Refused: it cannot be held, or came to no end.
        """
        arguments, _ = wanted(skill, input, **choices)
        parking = self._port.parking(self._job.job)
        parking.begin_wait()
        try:
            asked = BoardAsked("decide", arguments, decision_of)
            decision: Decision = await self._port.children.ask(asked)
        except BaseException:
            parking.abandon_wait()
            raise
        await parking.end_wait()
        return decision

    async def submit(self, skill: SkillLike, /, **inputs: Any) -> ChildHandle:
        """Submits a child and goes on; await the handle for its value."""
        (child,) = await self._submit(skill, [inputs])
        return ChildHandle(self, child)

    async def map(
        self,
        skill: SkillLike,
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """Calls a skill once per object of inputs; values in the order of the inputs.

        Raises:
            TaskFailed: one of them ended without a value, unless `return_exceptions`.
        """
        values = await self.wait_for(await self._submit(skill, list(inputs)))
        if not return_exceptions:
            for value in values:
                if isinstance(value, Exception):
                    raise value
        return values

    async def gather(self, *awaitables: Awaitable[Any], allow_partial: bool = False) -> Partial:
        """Awaits several calls at once; values in order.

        With `allow_partial`, a call that fails leaves None and an entry in
        `Partial.missing`, and this task's result is marked incomplete.

        Raises:
            Exception: the first error in order, unless `allow_partial`.
        """
        values: list[Any] = [None] * len(awaitables)
        missing: list[Missing] = []

        async def run(index: int, awaitable: Awaitable[Any]) -> None:
            try:
                values[index] = await awaitable
            except Exception as error:  # noqa: BLE001  # reported to the caller below, never lost
                missing.append(Missing(index, error))

        await self._run_all([partial(run, i, each) for i, each in enumerate(awaitables)])
        missing.sort(key=lambda gap: gap.index)
        if missing and not allow_partial:
            raise missing[0].error
        self.missing.extend(f"{gap.index}: {gap.error}" for gap in missing)
        return Partial(values, missing)

    async def sleep(self, seconds: float) -> None:
        """Waits so long, under any loop, and keeps the slot; virtual time in a simulated mesh."""
        import anyio

        await anyio.sleep(seconds)

    def call_sync(self, skill: SkillLike, /, **inputs: Any) -> Any:
        """`call`, for plain handlers.

        Raises:
            TaskFailed: the child ended without a value.
            Cancelled: this job was stopped meanwhile.
        """
        return self._port.run_on_loop(self._job.job, lambda: self.call(skill, **inputs))

    def map_sync(
        self,
        skill: SkillLike,
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
    ) -> list[Any]:
        """`map`, for plain handlers."""
        return self._port.run_on_loop(
            self._job.job, lambda: self.map(skill, inputs, return_exceptions=return_exceptions)
        )

    def sleep_sync(self, seconds: float) -> None:
        """`sleep`, for plain handlers.

        Raises:
            Cancelled: this job was stopped meanwhile.
        """
        self._port.run_on_loop(self._job.job, lambda: self.sleep(seconds))

    # Inside.

    async def _run_all(self, functions: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Runs branches of the handler side by side, until all have ended."""
        import anyio  # only where children are awaited

        async with anyio.create_task_group() as group:
            for function in functions:
                group.start_soon(function)

    async def _submit(self, skill: SkillLike, inputs: list[Mapping[str, Any]]) -> list["Child"]:
        options = self._options
        name, version = options.meant(skill)
        asked = self._clock() + options.deadline if options.deadline else None
        key = options.key
        many = len(inputs) != 1
        template = Submit(
            request=0,
            skill=name,
            version=version,
            inputs=[],
            keys=[f"{key}/{i}" if many else key for i in range(len(inputs))] if key else [],
            deadline_ms=remaining_ms(_earliest(asked, self._deadline), self._clock),
            traceparent=(options.traceparent or self.traceparent)[:TRACEPARENT_LIMIT],
            parent=self.task,
            depth=self._job.depth + 1,
            space=self._job.space,
            principal=self._job.principal,
            **options.fields(),
        )
        if options.weight:
            weight_us = milliseconds(options.weight) * 1000
            template = msgspec.structs.replace(template, weights_us=[weight_us] * len(inputs))
        raw = [encode_inputs(each) for each in inputs]
        refuse_secrets(name, key, raw)
        children = await self._port.children.submit(template, raw)
        for child in children:
            child.read = reader_of(skill)
        return children

    async def wait_for(self, children: list["Child"]) -> list[Any]:
        """The ends of children, values or exceptions, the slot given back meanwhile."""
        if not all(child.is_settled for child in children):
            parking = self._port.parking(self._job.job)
            parking.begin_wait()
            try:
                for child in children:
                    await child.wait()
            except BaseException:
                parking.abandon_wait()
                for child in children:
                    self.cancel_child(child)
                raise
            await parking.end_wait()
        return [_value_or_error(child) for child in children]

    def cancel_child(self, child: "Child") -> None:
        """Asks for a child to be stopped."""
        self._port.children.cancel(child, "the task that called it was stopped")


def _value_or_error(child: "Child") -> Any:
    try:
        return child.value()
    except TaskFailed as error:
        return error


def _earliest(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
