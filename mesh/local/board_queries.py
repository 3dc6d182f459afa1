"""Questions that `Board` and `AsyncBoard` have in common: SQL, search, and the events.

Text is searched by the vector that an embedder makes of it: a Python callable from
text to numbers, given with the call or named once by ``MESH_EMBEDDER``.
"""

import importlib
import importlib.util
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import lru_cache
from inspect import isawaitable
from pathlib import Path
from typing import Any

import msgspec

from mesh.local.board_requests import BoardAsked, Vector, packed
from mesh.local.errors import Refused

EMBEDDER = "MESH_EMBEDDER"
"""The environment variable: ``package.module:function`` or ``path/to/file.py:function``."""
EVENTS_WAIT_MS = 10_000
EVENTS_PAGE = 500
ROWS = 10_000
SECONDS = 5.0

Embedder = Callable[[str], Any]
"""From text to its vector: numbers, or float32 little-endian; or to a promise of it."""


class Answer(msgspec.Struct, frozen=True):
    """What a question in SQL is answered with.

    Attributes:
        columns: their names.
        rows: a list of values each.
        is_cut: there were more rows than the limit.
    """

    columns: list[str]
    rows: list[list[Any]]
    is_cut: bool = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, each by the names of its columns."""
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.rows)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that a search has found. `score` is the cosine, from -1 to 1."""

    key: str
    score: float
    type: str
    value: Any
    writer: str = ""


def sql_asked(sql: str, limit: int, seconds: float) -> BoardAsked:
    """A question in SQL."""

    def read(answer: Any) -> Answer:
        return Answer(answer["columns"], answer["rows"], answer["cut"])

    return BoardAsked("board.sql", {"sql": sql, "limit": limit, "seconds": seconds}, read)


def search_asked(vector: Vector, count: int, prefix: str) -> BoardAsked:
    """A search by a vector."""
    arguments = {"vector": packed(vector), "count": count, "prefix": prefix}
    return BoardAsked("board.search", arguments, lambda answer: [Found(**each) for each in answer])


def events_asked(kinds: Iterable[str], task: str, since: str | None, wait_ms: int) -> BoardAsked:
    """The events after a cursor; None asks from the end on."""
    arguments = {
        "cursor": since or "", "from_end": since is None, "kinds": list(kinds), "task": task,
        "limit": EVENTS_PAGE, "wait_ms": wait_ms,
    }  # fmt: skip
    return BoardAsked("board.events", arguments, lambda answer: answer)


def events_of(answer: Any) -> Iterator[dict[str, Any]]:
    """The events of an answer; a gap before them is an event of its own."""
    if answer["gap"]:
        yield {"event": "log.gap", "cursor": ""}
    yield from answer["events"]


@lru_cache(maxsize=8)
def load_embedder(target: str) -> Embedder:
    """The callable that a name means.

    Raises:
        Refused: NoEmbedder: there is none of this name.
    """
    place, _, name = target.rpartition(":")
    try:
        if place.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(place).stem, place)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
        made: Embedder = getattr(module, name)
    except (ImportError, AttributeError, ValueError, OSError) as error:
        text = f"{EMBEDDER}={target!r} names no callable ({error}); write package.module:function"
        raise Refused("NoEmbedder", text) from None
    return made


def embedder_of(given: Embedder | None) -> Embedder:
    """The embedder of a call.

    Raises:
        Refused: NoEmbedder: none was given, none is configured.
    """
    if given is not None:
        return given
    target = os.environ.get(EMBEDDER, "")
    if not target:
        text = (
            f"text is searched by its vector, and nothing makes one: set {EMBEDDER} to "
            "package.module:function, or give embed=, or a vector instead of text"
        )
        raise Refused("NoEmbedder", text)
    return load_embedder(target)


class BoardQueries:
    """What callers that wait ask of all that is known."""

    _ask: Callable[[BoardAsked], Any]

    def sql(self, sql: str, *, limit: int = ROWS, seconds: float = SECONDS) -> Answer:
        """Asks in SQL of the views entries, tasks, attempts, awards and events.

        Args:
            sql: one statement that reads.
            limit: rows of the answer; at most 100,000.
            seconds: how long it may take; at most 20.

        Raises:
            Refused: InvalidSql, TimedOut, TooLarge, Busy.
        """
        answer: Answer = self._ask(sql_asked(sql, limit, seconds))
        return answer

    def search(
        self,
        wanted: Vector | str,
        k: int = 10,
        prefix: str = "",
        *,
        embed: Embedder | None = None,
    ) -> list[Found]:
        """The entries whose embeddings are nearest by cosine, nearest first.

        Args:
            wanted: a vector, or text that the embedder makes one of.
            k: how many; at most 200.
            prefix: of their keys.
            embed: from text to a vector; without it, what ``MESH_EMBEDDER`` names.

        Raises:
            Refused: NoEmbedder, BadVector, or NotInstalled where the peer has no numpy.
        """
        vector = embedder_of(embed)(wanted) if isinstance(wanted, str) else wanted
        found: list[Found] = self._ask(search_asked(vector, k, prefix))
        return found

    def events(
        self,
        *kinds: str,
        task: str = "",
        since: str | None = None,
        follow: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """What the home peer tells of its work, in its order; each event has its `cursor`.

        Args:
            *kinds: names of events or groups, such as ``tasks``; all without them.
            task: only what names this task.
            since: the cursor of an event that was seen; "" tells all that is kept; without
                it, only what comes from now on.
            follow: go on for ever with what comes.

        Yields:
            Events as docs/reference/events.md describes them. ``log.gap`` says that what
            followed the cursor is not kept any more.
        """
        while True:
            wait_ms = EVENTS_WAIT_MS if follow else 0
            answer = self._ask(events_asked(kinds, task, since, wait_ms))
            yield from events_of(answer)
            if not follow and not answer["more"]:
                return
            since = answer["cursor"]


class AsyncBoardQueries:
    """As `BoardQueries`, for coroutines."""

    _ask: Callable[[BoardAsked], Awaitable[Any]]

    async def sql(self, sql: str, *, limit: int = ROWS, seconds: float = SECONDS) -> Answer:
        """See `BoardQueries.sql`."""
        answer: Answer = await self._ask(sql_asked(sql, limit, seconds))
        return answer

    async def search(
        self,
        wanted: Vector | str,
        k: int = 10,
        prefix: str = "",
        *,
        embed: Embedder | None = None,
    ) -> list[Found]:
        """See `BoardQueries.search`; the embedder may be a coroutine function."""
        vector: Any = embedder_of(embed)(wanted) if isinstance(wanted, str) else wanted
        if isawaitable(vector):
            vector = await vector
        found: list[Found] = await self._ask(search_asked(vector, k, prefix))
        return found

    async def events(
        self,
        *kinds: str,
        task: str = "",
        since: str | None = None,
        follow: bool = True,
    ) -> AsyncIterator[dict[str, Any]]:
        """See `BoardQueries.events`."""
        while True:
            wait_ms = EVENTS_WAIT_MS if follow else 0
            answer = await self._ask(events_asked(kinds, task, since, wait_ms))
            for event in events_of(answer):
                yield event
            if not follow and not answer["more"]:
                return
            since = answer["cursor"]
