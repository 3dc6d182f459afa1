"""The client of a mesh for coroutines, under asyncio or trio."""

import copy
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.abc

from mesh.client.async_transport import AsyncTransport
from mesh.client.client import PathLike, addresses_of
from mesh.client.core import CHUNK, ClientCore, Entry, Order
from mesh.client.mapping import WINDOW, located
from mesh.client.outcome import Outcome, outcome_of, value_of
from mesh.local.codec import encode_value
from mesh.local.errors import Refused
from mesh.local.messages import Ask, Cancel, LocalMessage
from mesh.local.options import Options, SkillLike
from mesh.local.values import decode_value, encode_inputs


class AsyncHandle:
    """One submitted task: await it, or its `result()`."""

    def __init__(self, client: "AsyncClient", entry: Entry) -> None:
        self._client = client
        self._entry = entry

    @property
    def id(self) -> str:
        """The task's id."""
        return self._entry.id

    def __await__(self) -> Any:
        return self.result().__await__()

    async def result(self) -> Any:
        """Waits for the value.

        Raises:
            TaskFailed: the task ended without one.
        """
        return (await self.outcome()).result()

    async def outcome(self) -> Outcome:
        """Waits for the end, whatever it is."""
        await self._client.wait_for(self._entry)
        assert self._entry.outcome is not None, "waited for"
        return outcome_of(self._entry.outcome)

    async def cancel(self, reason: str = "cancelled by the caller") -> str:
        """Stops the task wherever it runs; returns its state."""
        return await self._client.cancel(self.id, reason)


class AsyncClient:
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

    def options(self, **changes: Any) -> "AsyncClient":
        """A view of this client with options for its calls, as `Client.options`."""
        view = copy.copy(self)
        vars(view)["_options"] = self._options.changed(changes)
        return view

    async def call(self, skill: SkillLike, /, **inputs: Any) -> Any:
        """Runs a skill anywhere in the mesh and returns its value.

        Raises:
            TaskFailed: the task ended without a value.
            Refused: it was not accepted.
        """
        entry = self._submit(skill, inputs)
        await self.wait_for(entry)
        assert entry.outcome is not None, "waited for"
        value = value_of(entry.outcome)
        if isinstance(value, Exception):
            raise value
        return value

    async def submit(self, skill: SkillLike, /, **inputs: Any) -> AsyncHandle:
        """Has a skill run; returns when a peer has accepted the task.

        Raises:
            Refused: it was not accepted.
        """
        entry = self._submit(skill, inputs)
        await self._wait_entry(entry, lambda: bool(entry.id) or entry.outcome is not None)
        if isinstance(entry.outcome, Refused):
            raise entry.outcome
        return AsyncHandle(self, entry)

    async def map(
        self,
        skill: SkillLike,
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        window: int = WINDOW,
    ) -> AsyncIterator[Any]:
        """Runs a skill once per object of inputs; yields values in order, as `Client.map`."""
        name, version = self._options.meant(skill)
        order = self._core.order(name, version, self._options, collect=False)
        waiting: deque[Entry] = deque()
        source = self._entries(order, inputs)
        chunk = min(CHUNK, window)
        try:
            while True:
                while len(waiting) <= window - chunk:
                    entries = [entry for _, entry in zip(range(chunk), source, strict=False)]
                    if not entries:
                        break
                    waiting.extend(entries)
                    self._core.submit(entries)
                    self._transport.flush()
                if not waiting:
                    return
                head = waiting[0]
                await self.wait_for(head)
                assert head.outcome is not None, "waited for"
                waiting.popleft()
                value = value_of(located(head))
                if isinstance(value, Exception) and not return_exceptions:
                    raise value
                yield value
        finally:
            self._core.forget(waiting)

    async def cancel(self, task: str, reason: str = "cancelled by the caller") -> str:
        """Stops a task wherever it runs; returns its state, "" where nobody knows it."""
        answer = await self._request(Cancel(request=0, task=task, reason=reason))
        return str(answer["state"])

    async def task(self, task: str) -> dict[str, Any]:
        """What is known of a task, by its id."""
        return dict(await self.ask("task", {"task": task}))

    async def why(self, task: str) -> dict[str, Any]:
        """A task's story."""
        return dict(await self.ask("why", {"task": task}))

    async def peers(self) -> list[dict[str, Any]]:
        """The peers of the mesh, as the home peer sees them."""
        return list(await self.ask("peers"))

    async def ask(self, verb: str, arguments: Any = None) -> Any:
        """Asks the home peer any question of the local protocol.

        Raises:
            Refused: it does not know the verb, or has no answer.
        """
        return await self._request(Ask(request=0, verb=verb, arguments=encode_value(arguments)))

    async def wait_for(self, entry: Entry) -> None:
        """Waits until a task has ended; for `AsyncHandle`."""
        await self._wait_entry(entry, lambda: entry.outcome is not None)

    async def _wait_entry(self, entry: Entry, done: Callable[[], bool]) -> None:
        def watch(changed: Callable[[], None]) -> bool:
            entry.changed = changed
            return done()

        await self._transport.wait(watch)

    def _submit(self, skill: SkillLike, inputs: Mapping[str, Any]) -> Entry:
        name, version = self._options.meant(skill)
        order = self._core.order(name, version, self._options, collect=False)
        entry = self._core.entry(order, 0, encode_inputs(inputs), self._options.key)
        self._core.submit([entry])
        self._transport.flush()
        return entry

    def _entries(self, order: Order, inputs: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
        key = order.options.key
        for index, one in enumerate(inputs):
            own_key = f"{key}/{index}" if key else ""
            yield self._core.entry(order, index, encode_inputs(one), own_key)

    async def _request(self, message: LocalMessage) -> Any:
        question = self._core.ask(message)
        self._transport.flush()

        def watch(changed: Callable[[], None]) -> bool:
            question.changed = changed
            return question.answer is not None

        await self._transport.wait(watch)
        if isinstance(question.answer, Refused):
            raise question.answer
        assert question.answer is not None, "waited for"
        return decode_value(question.answer.value)
