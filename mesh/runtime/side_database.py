"""Answers questions in SQL from tables beside the peer, in threads beside its loop.

The database is a temporary file of SQLite's own, which no other process can open
and which is gone with the peer: nothing in it is worth keeping, all of it comes
from the events' file and the blackboard. Nothing is done until the first question;
from then on each question first takes in what has come since the last one.

A question can read and nothing else: SQLite's authorizer refuses everything but
reading tables and calling functions. It is ended at its time limit; its answer is
cut at its row limit and refused above its limit of bytes.
"""

import sqlite3
import time
from pathlib import Path
from typing import Any

import msgspec

from mesh.runtime import side_tables
from mesh.storage.event_reader import Cursor, EventReader
from protocols.blackboard.reading import Entry
from protocols.errors import Refused

LINES_PER_TURN = 2_000
"""Events taken in between two looks at whether the peer ends."""
STEPS_PER_LOOK = 2_000
"""Instructions of SQLite's machine between two looks at the clock."""
SQL_BYTES_LIMIT = 64 * 1024
VALUE_BYTES_LIMIT = 4 * 1024 * 1024
"""Bytes of one value that a question makes."""
ANSWER_BYTES_LIMIT = 16 * 1024 * 1024
COLUMNS_LIMIT = 200
CACHE_KIB = 16 * 1024
"""Memory for pages; what does not fit is in the temporary file."""

READS = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
BANNED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "randomblob", "zeroblob"})

Change = tuple[str, Entry | None, str]
"""A key, what it reads as, and its writer's text id."""


class Rows(msgspec.Struct, frozen=True):
    """An answer. `is_cut` where there were more rows than the limit."""

    columns: list[str]
    rows: list[list[Any]]
    is_cut: bool
    cursor: str
    """Up to where this peer's events are in it."""


class SideDatabase:
    """The tables of one peer. Used by one thread at a time, never by the loop's."""

    def __init__(self, events: Path, own: str) -> None:
        """Takes the peer's events, and its text id."""
        self._reader = EventReader(events)
        self._own = own
        self._cursor = Cursor()
        self._connection: sqlite3.Connection | None = None
        self._ends = False

    def take_entries(self, changes: list[Change]) -> None:
        """Takes in what keys of the blackboard read as now."""
        with self._open() as connection:
            side_tables.take_entries(connection, changes)

    def answer(self, sql: str, names: dict[str, str], limit: int, seconds: float) -> Rows:
        """Takes in the events up to now, and answers a question.

        Args:
            sql: one statement that reads.
            names: what peers are called, by their text ids.
            limit: rows of the answer.
            seconds: how long it may take.

        Raises:
            Refused: InvalidSql, TimedOut, TooLarge.
        """
        if len(sql.encode()) > SQL_BYTES_LIMIT:
            raise Refused("InvalidSql", f"a statement has at most {SQL_BYTES_LIMIT} bytes")
        connection = self._open()
        with connection:
            side_tables.name_peers(connection, names)
        self._take_events(connection)
        deadline = time.monotonic() + seconds
        connection.set_authorizer(_authorise)
        connection.set_progress_handler(
            lambda: int(self._ends or time.monotonic() > deadline), STEPS_PER_LOOK
        )
        try:
            cursor = connection.execute(sql)
            if cursor.description is None:
                raise Refused("InvalidSql", "a question is one statement: select …")
            columns = [each[0] for each in cursor.description]
            rows, is_cut = _fetch(cursor, limit)
        except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError) as error:
            if time.monotonic() > deadline:
                text = f"it was not answered within {seconds:g} s; ask for less, or allow more time"
                raise Refused("TimedOut", text) from None
            raise Refused("InvalidSql", _explained(str(error))) from None
        finally:
            connection.set_progress_handler(None, 0)
            connection.set_authorizer(None)
        return Rows(columns, rows, is_cut, str(self._cursor))

    def end(self) -> None:
        """The peer ends: what is being answered is given up. From any thread."""
        self._ends = True

    def close(self) -> None:
        """Lets the temporary file go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect("", check_same_thread=False, cached_statements=32)
            connection.execute("pragma journal_mode = off")
            connection.execute("pragma synchronous = off")
            connection.execute(f"pragma cache_size = -{CACHE_KIB}")
            side_tables.make(connection)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_LIMIT)
            connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, COLUMNS_LIMIT)
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            self._connection = connection
        return self._connection

    def _take_events(self, connection: sqlite3.Connection) -> None:
        while not self._ends:
            batch = self._reader.read(self._cursor, LINES_PER_TURN)
            with connection:
                side_tables.take_events(connection, batch.lines, self._own)
            self._cursor = batch.cursor
            if batch.is_end:
                break


def _authorise(
    action: int, first: str | None, second: str | None, database: str | None, view: str | None
) -> int:
    if action == sqlite3.SQLITE_FUNCTION and second in BANNED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in READS else sqlite3.SQLITE_DENY


def _fetch(cursor: sqlite3.Cursor, limit: int) -> tuple[list[list[Any]], bool]:
    rows: list[list[Any]] = []
    size = 0
    for row in cursor:
        if len(rows) >= limit:
            return rows, True
        size += sum(len(each) if isinstance(each, str | bytes) else 8 for each in row)
        if size > ANSWER_BYTES_LIMIT:
            text = f"the answer has more than {ANSWER_BYTES_LIMIT} bytes; ask for fewer columns"
            raise Refused("TooLarge", text)
        rows.append(list(row))
    return rows, False


def _explained(error: str) -> str:
    if "not authorized" in error or "prohibited" in error:
        return f"{error}: a question only reads the views entries, tasks, attempts, awards, events"
    if "one statement at a time" in error:
        return "a question is one statement"
    return error
