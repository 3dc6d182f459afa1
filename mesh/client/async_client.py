"""The client of a mesh for coroutines, under asyncio or trio."""

import copy
import itertools
import os
from collections import deque
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

import anyio
import anyio.abc

from mesh.client.async_transport import AsyncTransport
from mesh.client.async_typed_calls import TypedAsyncCalls
from mesh.client.client import ASK_S, PathLike, addresses_of
from mesh.client.core import CHUNK, ClientCore, Entry, Order
from mesh.client.mapping import located
from mesh.client.outcome import Outcome, outcome_of, value_of
from mesh.client.typed_calls import WINDOW
from mesh.local.async_blobs import AsyncBlobs
from mesh.local.async_board import AsyncBoard
from mesh.local.board_requests import BoardAsked
from mesh.local.codec import encode_value
from mesh.local.deciding import Decision, decision_of, wanted
from mesh.local.errors import Refused
from mesh.local.messages import Ask, Cancel, LocalMessage
from mesh.local.options import Changes, Options, SkillLike
from mesh.local.values import decode_value, encode_inputs

T = TypeVar("T")


class AsyncHandle(Generic[T]):
    """One submitted task: await it, or its `result()`."""

    def __init__(self, client: "AsyncClient", entry: Entry) -> None:
        self._client = client
        self._entry = entry

    @property
    def id(self) -> str:
        """The task's id."""
        return self._entry.id

    def __await__(self) -> Generator[Any, Any, T]:
        return self.result().__await__()

    async def result(self) -> T:
        """Waits for the value.

        Raises:
            TaskFailed: the task ended without one.
        """
        value: T = (await self.outcome()).result()
        return value

    async def outcome(self) -> Outcome:
        """Waits for the end, whatever it is."""
        await self._client.wait_for(self._entry)
        assert self._entry.outcome is not None, "waited for"
        return outcome_of(self._entry.outcome, self._entry.order.read)

    async def cancel(self, reason: str = "cancelled by the caller") -> str:
        """Stops the task wherever it runs; returns its state."""
        return await self._client.cancel(self.id, reason)


class AsyncClient(TypedAsyncCalls):
    """Calls skills of a mesh; use it as ``async with AsyncClient() as client``.

    Args:
        dir: the mesh folder, as for `Client`.
        address: local sockets instead of a folder, as for `Client`.
    """

    def __init__(
        self,
        dir: PathLike | None = None,
        address: PathLike | Sequence[PathLike] | None = None,
    ) -> None:
        self._core = ClientCore(os.urandom(8).hex())
        self._transport = AsyncTransport(self._core, addresses_of(dir, address))
        self._options = Options()
        self._group: anyio.abc.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        await self._transport.connect()
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._transport.run)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._group is not None, "entered"
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)

    @property
    def home(self) -> str:
        """The name of the peer that this client is connected to now."""
        welcome = self._transport.welcome
        return "" if welcome is None else welcome.name

    def options(self, **changes: Unpack[Changes]) -> "AsyncClient":
        """A view of this client with options for its calls, as `Client.options`."""
        view = copy.copy(self)
        vars(view)["_options"] = self._options.changed(changes)
        return view

    async def map_unordered(
        self,
        skill: SkillLike,
        inputs: Iterable[Mapping[str, Any]],
        *,
        window: int = WINDOW,
    ) -> AsyncIterator[tuple[int, Outcome]]:
        """Runs a skill once per object of inputs; yields (index, outcome) as they end."""
        order = self._order(skill, window, collect=True)
        outstanding: dict[int, Entry] = {}
        source = self._entries(order, inputs)
        try:
            while True:
                for entry in self._fill(source, window, len(outstanding)):
                    outstanding[entry.index] = entry
                if not outstanding:
                    return
                if not order.done:
                    await self._wait_any(order)
                entry = order.done.popleft()
                del outstanding[entry.index]
                assert entry.outcome is not None, "it is done"
                yield entry.index, outcome_of(located(entry), order.read)
        finally:
            self._core.forget(outstanding.values())

    async def cancel(self, task: str, reason: str = "cancelled by the caller") -> str:
        """Stops a task wherever it runs; returns its state, "" where nobody knows it."""
        answer = await self._request(Cancel(request=0, task=task, reason=reason))
        return str(answer["state"])

    async def decide(
        self,
        skill: SkillLike,
        input: Mapping[str, Any] | None = None,
        *,
        voters: int | None = None,
        rule: str = "majority",
        distinct: str | Iterable[str] = "peer",
        options: Iterable[str] = (),
        compare: str = "",
        close: float | None = None,
        deadline: float | None = None,
    ) -> Decision:
        """Runs a skill on the mesh's electors and settles what they answer: `Client.decide`.

        Raises:
            Refused: it cannot be held, or came to no end.
            TimeoutError: the peer gave no answer.
        """
        arguments, patience = wanted(
            skill, input, voters=voters, rule=rule, distinct=distinct, options=options,
            compare=compare, close=close, deadline=deadline,
        )  # fmt: skip
        with anyio.fail_after(patience):
            return decision_of(await self.ask("decide", arguments))

    async def task(self, task: str) -> dict[str, Any]:
        """What is known of a task, by its id."""
        return dict(await self.ask("task", {"task": task}))

    async def tasks(self) -> list[dict[str, Any]]:
        """The tasks that the home peer keeps."""
        return list(await self.ask("tasks"))

    async def why(self, task: str) -> dict[str, Any]:
        """A task's story."""
        return dict(await self.ask("why", {"task": task}))

    async def redrive(self, *tasks: str, skill: str = "", all: bool = False) -> dict[str, Any]:
        """Runs dead letters that the home peer keeps again: see `Client.redrive`."""
        return dict(await self.ask("redrive", {"tasks": tasks, "skill": skill, "all": all}))

    async def peers(self) -> list[dict[str, Any]]:
        """The peers of the mesh, as the home peer sees them."""
        return list(await self.ask("peers"))

    async def ask(self, verb: str, arguments: Any = None) -> Any:
        """Asks the home peer any question of the local protocol.

        Raises:
            Refused: it does not know the verb, or has no answer.
        """
        return await self._request(Ask(request=0, verb=verb, arguments=encode_value(arguments)))

    # Inside.

    async def _call(self, skill: SkillLike, inputs: Mapping[str, Any]) -> Any:
        entry = self._submit(skill, inputs)
        await self.wait_for(entry)
        assert entry.outcome is not None, "waited for"
        value = value_of(entry.outcome, entry.order.read)
        if isinstance(value, Exception):
            raise value
        return value

    async def _submitted(self, skill: SkillLike, inputs: Mapping[str, Any]) -> AsyncHandle[Any]:
        entry = self._submit(skill, inputs)
        await self._wait_entry(entry, lambda: bool(entry.id) or entry.outcome is not None)
        if isinstance(entry.outcome, Refused):
            raise entry.outcome
        return AsyncHandle(self, entry)

    async def _mapped(
        self, skill: SkillLike, inputs: Iterable[Mapping[str, Any]], failures: bool, window: int
    ) -> AsyncIterator[Any]:
        order = self._order(skill, window, collect=False)
        waiting: deque[Entry] = deque()
        source = self._entries(order, inputs)
        try:
            while True:
                waiting.extend(self._fill(source, window, len(waiting)))
                if not waiting:
                    return
                head = waiting[0]
                await self.wait_for(head)
                assert head.outcome is not None, "waited for"
                waiting.popleft()
                value = value_of(located(head), order.read)
                if isinstance(value, Exception) and not failures:
                    raise value
                yield value
        finally:
            self._core.forget(waiting)

    def _fill(self, source: Iterator[Entry], window: int, outstanding: int) -> list[Entry]:
        """Submits chunks while the window has room for a whole one; what was submitted."""
        submitted: list[Entry] = []
        chunk = min(CHUNK, window)
        while outstanding + len(submitted) <= window - chunk:
            entries = list(itertools.islice(source, chunk))
            if not entries:
                break
            submitted += entries
            self._core.submit(entries)
            self._transport.flush()
        return submitted

    async def wait_for(self, entry: Entry) -> None:
        """Waits until a task has ended; for `AsyncHandle`."""
        await self._wait_entry(entry, lambda: entry.outcome is not None)

    async def _wait_entry(self, entry: Entry, done: Callable[[], bool]) -> None:
        def watch(changed: Callable[[], None]) -> bool:
            entry.changed = changed
            return done()

        await self._transport.wait(watch)

    async def _wait_any(self, order: Order) -> None:
        """Waits until one of its tasks has ended."""

        def watch(changed: Callable[[], None]) -> bool:
            order.changed = changed
            return bool(order.done)

        await self._transport.wait(watch)

    def _order(self, skill: SkillLike, window: int, *, collect: bool) -> Order:
        if window < 1:
            raise ValueError("a window holds at least one input")
        return self._core.order(skill, self._options, collect=collect)

    def _submit(self, skill: SkillLike, inputs: Mapping[str, Any]) -> Entry:
        order = self._core.order(skill, self._options, collect=False)
        entry = self._core.entry(order, 0, encode_inputs(inputs), self._options.key)
        self._core.submit([entry])
        self._transport.flush()
        return entry

    def _entries(self, order: Order, inputs: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
        key = order.options.key
        for index, one in enumerate(inputs):
            own_key = f"{key}/{index}" if key else ""
            yield self._core.mapped(order, index, one, own_key)

    @property
    def board(self) -> AsyncBoard:
        """The blackboard."""
        return AsyncBoard(self._ask_board)

    @property
    def blobs(self) -> AsyncBlobs:
        """Large values by their content, to 64 MiB: put here, and got at any peer."""
        return AsyncBlobs(self._ask_board)

    async def _ask_board(self, asked: BoardAsked) -> Any:
        ask = Ask(request=0, verb=asked.verb, arguments=encode_value(asked.arguments))
        until = anyio.current_time() + ASK_S
        while True:
            try:
                answer = await self._request(ask, is_repeatable=asked.is_repeatable)
            except Refused as refusal:
                pause = refusal.retry_after
                if pause is None or anyio.current_time() + pause > until:
                    raise
                await anyio.sleep(pause)
            else:
                return asked.read(answer)

    async def _request(self, message: LocalMessage, *, is_repeatable: bool = True) -> Any:
        question = self._core.ask(message, is_repeatable=is_repeatable)
        self._transport.flush()

        def watch(changed: Callable[[], None]) -> bool:
            question.changed = changed
            return question.answer is not None

        await self._transport.wait(watch)
        if isinstance(question.answer, Refused):
            raise question.answer
        assert question.answer is not None, "waited for"
        return decode_value(question.answer.value)
