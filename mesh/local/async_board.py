"""The blackboard as coroutines use it: as `board.Board`, and every call is awaited."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from mesh.local.board_queries import AsyncBoardQueries
from mesh.local.board_requests import (
    PAGE,
    BoardAsked,
    Change,
    Edits,
    Entry,
    Vector,
    Written,
    changes_asked,
    changes_of,
    entry_asked,
    mark_asked,
    page_asked,
)
from mesh.local.strong import AsyncStrongBoard


class AsyncBoard(AsyncBoardQueries):
    """The blackboard, for coroutines: as `Board`, and every call is awaited."""

    def __init__(self, ask: Callable[[BoardAsked], Awaitable[Any]]) -> None:
        """Takes what sends a request and awaits its answer."""
        self._ask = ask

    @property
    def strong(self) -> AsyncStrongBoard:
        """See `Board.strong`."""
        return AsyncStrongBoard(self._ask)

    # Reading.

    async def get(self, key: str, default: Any = None) -> Any:
        """See `Board.get`."""
        entry: Entry | None = await self._ask(entry_asked(key))
        return default if entry is None else entry.value

    async def entry(self, key: str) -> Entry | None:
        """See `Board.entry`."""
        found: Entry | None = await self._ask(entry_asked(key))
        return found

    async def ls(self, prefix: str = "", *, limit: int | None = None) -> AsyncIterator[Entry]:
        """See `Board.ls`."""
        after, left = "", limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page: list[Entry] = await self._ask(page_asked(prefix, after, size))
            for entry in page:
                yield entry
            if len(page) < size:
                return
            after = page[-1].key
            left = None if left is None else left - len(page)

    async def sense(self, key: str) -> float:
        """See `Board.sense`."""
        return float(await self._ask(mark_asked(key)))

    async def watch(
        self, prefix: str = "", *, since: str | None = None
    ) -> AsyncGenerator[Change, None]:
        """See `Board.watch`."""
        while True:
            answer = await self._ask(changes_asked(prefix, since))
            for change in changes_of(answer, since):
                yield change
            since = answer["cursor"]

    # Writing.

    async def write(self, edits: Edits, *, durable: bool = False) -> Written:
        """See `Board.write`."""
        written: Written = await self._ask(edits.asked(durable))
        return written

    async def put(
        self,
        key: str,
        value: Any,
        *,
        type: str = "",
        ttl: float | None = None,
        embedding: Vector | None = None,
        durable: bool = False,
    ) -> Written:
        """See `Board.put`."""
        edits = Edits().put(key, value, type=type, ttl=ttl, embedding=embedding)
        return await self.write(edits, durable=durable)

    async def put_many(self, values: Mapping[str, Any], *, ttl: float | None = None) -> Written:
        """See `Board.put_many`."""
        edits = Edits()
        for key, value in values.items():
            edits.put(key, value, ttl=ttl)
        return await self.write(edits)

    async def delete(self, key: str) -> Written:
        """See `Board.delete`."""
        return await self.write(Edits().delete(key))

    async def increment(self, key: str, by: int = 1) -> Written:
        """See `Board.increment`."""
        return await self.write(Edits().increment(key, by))

    async def add(self, key: str, element: Any) -> Written:
        """See `Board.add`."""
        return await self.write(Edits().add(key, element))

    async def remove(self, key: str, element: Any) -> Written:
        """See `Board.remove`."""
        return await self.write(Edits().remove(key, element))

    async def set(self, key: str, field: str, value: Any) -> Written:
        """See `Board.set`."""
        return await self.write(Edits().set(key, field, value))

    async def unset(self, key: str, field: str) -> Written:
        """See `Board.unset`."""
        return await self.write(Edits().unset(key, field))

    async def append(self, key: str, item: Any, *, ttl: float | None = None) -> Written:
        """See `Board.append`."""
        return await self.write(Edits().append(key, item, ttl=ttl))

    async def deposit(
        self, key: str, amount: float = 1.0, *, half_life: float | None = None
    ) -> Written:
        """See `Board.deposit`."""
        return await self.write(Edits().deposit(key, amount, half_life=half_life))
