"""Questions about what is known: SQL, nearest vectors, and the stream of events.

Reading the blackboard happens on the loop, in slices; everything else in threads of
which each kind of question has one, so that questions wait for each other and never
the peer for them.
"""

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import trio

from mesh.core.peer import PeerCore
from mesh.runtime.board_follower import BoardFollower
from mesh.runtime.event_kinds import check_kind
from mesh.runtime.event_log import EventLog
from mesh.runtime.side_database import SideDatabase
from mesh.runtime.vector_index import VectorIndex, load_numpy
from mesh.runtime.views import Views, decoded
from mesh.storage.event_reader import Cursor, CursorRefused, EventReader
from protocols.blackboard.events import EntriesChanged
from protocols.blackboard.keys import DEFAULT_SPACE, PHEROMONE
from protocols.blackboard.reading import Entry
from protocols.errors import Refused
from protocols.identity import text_id
from protocols.machine import MILLISECOND_NS, Now

ROWS_LIMIT = 100_000
ROWS = 10_000
SECONDS_LIMIT = 20.0
"""Below what a client waits for any answer."""
SECONDS = 5.0
HITS_LIMIT = 200
"""Their values together fit into one message."""
WAITING_LIMIT = 16
"""Questions of a kind that wait their turn; a further one is told to come again."""
RETRY_NS = 500_000_000
EVENTS_LIMIT = 1_000
EVENTS_BYTES_LIMIT = 4 * 1024 * 1024
LOOKED_LIMIT = 20_000
"""Events looked at for one answer, fitting or not."""
WAIT_LIMIT_MS = 20_000


class SqlAsked(msgspec.Struct, frozen=True):
    """The arguments of the verb ``board.sql``."""

    sql: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=ROWS_LIMIT)] = ROWS
    seconds: Annotated[float, msgspec.Meta(gt=0, le=SECONDS_LIMIT)] = SECONDS


class SearchAsked(msgspec.Struct, frozen=True):
    """The arguments of the verb ``board.search``: `vector` is float32, little-endian."""

    vector: bytes
    count: Annotated[int, msgspec.Meta(ge=1, le=HITS_LIMIT)] = 10
    prefix: str = ""


class EventsAsked(msgspec.Struct, frozen=True):
    """The arguments of the verb ``board.events``."""

    cursor: str = ""
    from_end: bool = False
    kinds: tuple[str, ...] = ()
    task: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=EVENTS_LIMIT)] = EVENTS_LIMIT
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=WAIT_LIMIT_MS)] = 0


class _Turns:
    """Lets one question of a kind be answered at a time, and a few wait."""

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        if self._lock.statistics().tasks_waiting >= WAITING_LIMIT:
            text = f"{WAITING_LIMIT} questions of this kind wait already"
            raise Refused("Busy", text, RETRY_NS)
        await self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


class _Replica:
    """The blackboard as followers read it."""

    def __init__(self, core: PeerCore) -> None:
        self._replica = core.board.replica

    def keys(self) -> Iterator[str]:
        return self._replica.keys()

    def read(self, key: str, wall_ms: int) -> Entry | None:
        return self._replica.read(key, wall_ms)

    def is_passing(self, key: str) -> bool:
        state = self._replica.state(key)
        return state is not None and any(
            op.expires_ms or op.type == PHEROMONE for op, _ in state.live()
        )


class QueryDesk:
    """Answers the verbs ``board.sql``, ``board.search`` and ``board.events``."""

    def __init__(
        self,
        core: PeerCore,
        views: Views,
        log: EventLog,
        events: Path,
        now: Callable[[], Now],
    ) -> None:
        """Takes the core and its views, which are only read, and the log of events."""
        self._views = views
        self._core = core
        self._log = log
        self._now = now
        self._database = SideDatabase(events, text_id(core.peer))
        self._index = VectorIndex()
        self._reader = EventReader(events)
        board = _Replica(core)
        self._for_sql = BoardFollower(board, self._wall_ms)
        self._for_search = BoardFollower(board, self._wall_ms)
        self._sql_turns, self._search_turns = _Turns(), _Turns()

    def verbs(self) -> dict[str, Callable[[Any], Any]]:
        """What it answers, by verb."""
        return {"board.sql": self.sql, "board.search": self.search, "board.events": self.events}

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        if isinstance(event, EntriesChanged):
            self._for_sql.changed(event)
            self._for_search.changed(event)

    def end(self) -> None:
        """The peer ends: what is being answered is given up."""
        self._database.end()

    async def sql(self, arguments: Any) -> dict[str, Any]:
        """Answers a question in SQL.

        Raises:
            Refused: InvalidInput, InvalidSql, TimedOut, TooLarge, Busy.
        """
        asked = _converted(arguments, SqlAsked)
        async with self._sql_turns:
            try:
                for changes in self._for_sql.changes():
                    rows = [(key, entry, _writer(entry)) for key, entry in changes]
                    await trio.to_thread.run_sync(self._database.take_entries, rows)
            except BaseException:
                self._for_sql.forget()
                raise
            self._log.write_noted()
            found = await trio.to_thread.run_sync(
                self._database.answer, asked.sql, self._names(), asked.limit, asked.seconds
            )
        return {
            "columns": found.columns,
            "rows": found.rows,
            "cut": found.is_cut,
            "cursor": found.cursor,
        }

    async def search(self, arguments: Any) -> list[dict[str, Any]]:
        """The entries whose embeddings are nearest to a vector.

        Raises:
            Refused: InvalidInput, BadVector, NotInstalled, Busy.
        """
        asked = _converted(arguments, SearchAsked)
        await trio.to_thread.run_sync(load_numpy)
        async with self._search_turns:
            try:
                for changes in self._for_search.changes():
                    vectors = [(key, entry.embedding if entry else b"") for key, entry in changes]
                    await trio.to_thread.run_sync(self._index.take, vectors)
            except BaseException:
                self._for_search.forget()
                raise
            hits = await trio.to_thread.run_sync(
                self._index.nearest, asked.vector, asked.count, full_prefix(asked.prefix)
            )
        wall_ms = self._wall_ms()
        found = []
        for hit in hits:
            entry = self._core.board.replica.read(hit.key, wall_ms)
            if entry is not None:
                value = decoded(msgspec.Raw(entry.value))
                row = {"key": hit.key, "score": hit.score, "type": entry.type, "value": value}
                found.append({**row, "writer": self._views.name_of(entry.writer)})
        return found

    async def events(self, arguments: Any) -> dict[str, Any]:
        """The events of this peer after a cursor, waiting for one where there is none.

        Raises:
            Refused: InvalidInput.
        """
        asked = _converted(arguments, EventsAsked)
        for kind in asked.kinds:
            check_kind(kind)
        try:
            cursor = Cursor.parse(asked.cursor)
        except CursorRefused as error:
            raise Refused("InvalidInput", str(error)) from None
        self._log.write_noted()
        if asked.from_end:
            cursor = self._reader.end()
        end = trio.current_time() + asked.wait_ms / 1000
        is_gap = False
        while True:
            appended = self._log.appended
            found = await trio.to_thread.run_sync(_events_after, self._reader, cursor, asked)
            cursor, is_gap = found.cursor, is_gap or found.is_gap
            left = end - trio.current_time()
            if found.events or is_gap or left <= 0:
                break
            if found.is_end and self._log.appended == appended:
                with trio.move_on_after(left):
                    await self._log.grown()
        more = not found.is_end
        return {"events": found.events, "cursor": str(cursor), "gap": is_gap, "more": more}

    def _wall_ms(self) -> int:
        return self._now().wall_ns // MILLISECOND_NS

    def _names(self) -> dict[str, str]:
        return {str(each["id"]): str(each["name"]) for each in self._views.peers()}


def full_prefix(text: str) -> str:
    """A prefix as people write it, in full: without a slash it is one of the space default."""
    return text if not text or "/" in text else f"{DEFAULT_SPACE}/{text}"


def _writer(entry: Entry | None) -> str:
    return text_id(entry.writer) if entry is not None and entry.writer else ""


class _Found(msgspec.Struct, frozen=True):
    events: list[dict[str, Any]]
    cursor: Cursor
    is_gap: bool
    is_end: bool


def _events_after(reader: EventReader, cursor: Cursor, asked: EventsAsked) -> _Found:
    """What is asked for after a cursor; reads files."""
    batch = reader.read(cursor, LOOKED_LIMIT)
    found: deque[dict[str, Any]] = deque()
    size = 0
    for line, end in zip(batch.lines, batch.ends, strict=True):
        event = _fitting(line, asked)
        if event is None:
            continue
        size += len(line)
        if found and size > EVENTS_BYTES_LIMIT:
            break
        found.append({"cursor": str(end), **event})
        cursor = end
        if len(found) >= asked.limit:
            break
    else:
        return _Found(list(found), batch.cursor, batch.is_gap, batch.is_end)
    return _Found(list(found), cursor, batch.is_gap, False)


def _fitting(line: bytes, asked: EventsAsked) -> dict[str, Any] | None:
    if asked.task and asked.task.encode() not in line:
        return None
    try:
        event = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    kind = str(event.get("event", ""))
    fits = not asked.kinds or any(
        kind == each or kind.startswith(f"{each}.") for each in asked.kinds
    )
    return event if fits else None


def _converted(arguments: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(arguments, kind)
    except msgspec.ValidationError as error:
        raise Refused("InvalidInput", str(error)) from None
