"""The journal: what a peer promised, in one SQLite file.

One row per group commit holds all records of the group, framed as one
MessagePack list behind a checksum. Rows are numbered without gaps over all
boots. A checkpoint replaces everything before it, in one transaction.

States: open -> failed (for good) -> closed, or open -> closed.

Invariants:
    journal-without-holes: after a failure nothing is ever appended again, so
        that no later record can be durable where an earlier one is not.
    journal-append-durable: what `append` returned for survives kill -9; where
        the group was synced, it survives a power cut too.
    journal-order: `read` yields the checkpoint, then every group in the order
        of the appends, or raises.

WAL's own checksums make a torn tail end cleanly after the last whole
transaction. Ours cover what SQLite's do not: rot in the main file.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from mesh.core.records import StepRecord
from mesh.storage.errors import StorageFailed
from mesh.storage.framing import decode_row, encode_row
from mesh.storage.schema import INTEGRITY_ADVICE, migrate, read_meta
from mesh.storage.watchdog import Watchdog
from protocols.errors import ConfigurationError, StorageCorrupt

Durability = Literal["process", "disk"]

CHECKPOINT_MINIMUM = 8 * 1024 * 1024
"""Journal bytes below which no checkpoint is worth its writes."""
CHECKPOINT_ROW_BYTES = 256 * 1024
"""A checkpoint's records go into rows of about this size."""
WAL_PAGES = 1000
"""Pages in the write-ahead log before SQLite moves them into the main file."""
WAL_KEEP_BYTES = 16 * 1024 * 1024
"""A longer log file is cut when it starts anew."""
BUSY_TIMEOUT_S = 1.0

_INSERT_GROUP = "INSERT INTO journal VALUES (?, ?)"
_INSERT_CHECKPOINT = "INSERT INTO checkpoint VALUES (?, ?)"
_SET_META = "UPDATE meta SET value = ? WHERE key = ?"

_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk, or its quota, is full: free some space, then start it again",
    sqlite3.SQLITE_IOERR: "look for disk errors in the system's log and check the free space, "
    "or move the mesh folder to another disk",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable for this user; a disk with "
    "errors may have been mounted read-only",
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists and that this user may write to it",
    sqlite3.SQLITE_BUSY: "another process has the file open: close it, then start the peer again",
}


class Journal:
    """One peer's journal. One caller at a time; the file is locked for this process.

    Nothing on the append path costs a system call that SQLite does not need:
    the lock is kept (`locking_mode=EXCLUSIVE`), and one INSERT is one transaction.
    """

    def __init__(
        self,
        path: Path,
        mesh: bytes,
        peer: bytes,
        durability: Durability = "process",
        watchdog: Watchdog | None = None,
        page_limit: int | None = None,
    ) -> None:
        """Opens the journal of `peer` in `mesh` (their 32-byte ids), making it where missing.

        Args:
            path: the file; its folder must exist.
            mesh: the mesh's id; a journal of another mesh is refused.
            peer: the peer's id; a journal of another peer is refused.
            durability: `disk` syncs every group, `process` only those that ask for it.
            watchdog: told of every call that may hang; the caller starts and stops it.
            page_limit: the most 4 KiB pages that the file may have, or None for no limit.

        Raises:
            ConfigurationError: another peer's journal, or one of a newer release.
            StorageCorrupt: the file is damaged.
            StorageFailed: the disk refused.
        """
        self.path = path
        self._always_sync = durability == "disk"
        self._watchdog = watchdog or Watchdog("an unwatched journal", lambda message: None)
        self._calls = 0
        self._failure: str | None = None
        self._closed = False
        self._last_number: int | None = None
        try:
            _make_private(path)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._cursor = self._connection.cursor()
        except (sqlite3.Error, OSError) as error:
            raise self._fail("open", error) from error
        try:
            self._set_up(mesh, peer, page_limit)
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise self._judge("open", error) from error
        except BaseException:
            self._close()
            raise

    def _set_up(self, mesh: bytes, peer: bytes, page_limit: int | None) -> None:
        self._execute("PRAGMA locking_mode=EXCLUSIVE")
        mode = self._execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise ConfigurationError(
                f"SQLite cannot keep a write-ahead log for {self.path} (it offers {mode!r}): "
                "put the mesh folder on a local disk"
            )
        self._synced = False
        self._set_sync(True)
        self._execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
        self._execute(f"PRAGMA journal_size_limit={WAL_KEEP_BYTES}")
        migrate(self._execute, self.path, mesh, peer)
        if page_limit is not None:
            self._execute(f"PRAGMA max_page_count={page_limit:d}")
        meta = read_meta(self._execute, self.path, mesh, peer)
        self.boot = meta.boot
        self._covered = meta.covered
        self._checkpoint_rows = meta.checkpoint_rows
        self._checkpoint_bytes = meta.checkpoint_bytes
        last, size = self._execute(
            "SELECT max(sequence), sum(length(body)) FROM journal"
        ).fetchone()
        self._sequence = max(last or 0, self._covered)
        self._journal_bytes = int(size or 0)
        self._set_sync(self._always_sync)

    @property
    def synced(self) -> bool:
        """Whether commits wait for the disk at this moment, as SQLite itself reports it."""
        # The query's text is new each time: SQLite answers when it compiles, and Python
        # keeps compiled statements by their text.
        self._calls += 1
        row = self._execute(f"PRAGMA synchronous -- {self._calls}").fetchone()
        return int(row[0]) == 2

    def next_boot(self) -> int:
        """Counts this start, durably, and returns its number: 1 at the first.

        Raises:
            StorageFailed: the disk refused.
        """
        self._refuse_after_failure()
        try:
            self._set_sync(True)
            self._execute(_SET_META, (self.boot + 1, "boot"))
            self._set_sync(self._always_sync)
        except (sqlite3.Error, OSError) as error:
            raise self._fail("count a start in", error) from error
        self.boot += 1
        return self.boot

    def append(self, records: Sequence[StepRecord]) -> None:
        """Writes a group of records, all or none, and returns when they are durable.

        Args:
            records: in order, and right behind those of the last append.

        Raises:
            StorageFailed: the disk refused; none of them counts as durable, and
                every later call is refused as well.
        """
        self._refuse_after_failure()
        if not records:
            return
        first, last = records[0].number, records[-1].number
        assert last - first == len(records) - 1, "journal-without-holes: inside a group"
        assert self._last_number in (None, first - 1), "journal-without-holes: between groups"
        sync = self._always_sync or any(record.sync for record in records)
        sequence = self._sequence + 1
        row = encode_row(sequence, [record.data for record in records])
        try:
            if sync is not self._synced:
                self._set_sync(sync)
            self._execute(_INSERT_GROUP, (sequence, row))
        except (sqlite3.Error, OSError) as error:
            raise self._fail("append to", error) from error
        self._sequence = sequence
        self._last_number = last
        self._journal_bytes += len(row)

    def read(self) -> Iterator[bytes]:
        """The checkpoint's records, then the journal's, in order. Exhaust it before appending.

        Raises:
            StorageCorrupt: a row is damaged or missing; names file and row.
            StorageFailed: the disk refused.
        """
        self._refuse_after_failure()
        expected = 0
        rows = self._connection.cursor()
        try:
            rows.execute("SELECT row, body FROM checkpoint ORDER BY row")
            for number, row in rows:
                expected += 1
                yield from self._checked("checkpoint", expected, number, row)
            if expected != self._checkpoint_rows:
                raise self._corrupt("checkpoint", expected + 1, "it is missing")
            expected = self._covered
            rows.execute("SELECT sequence, body FROM journal ORDER BY sequence")
            for number, row in rows:
                expected += 1
                yield from self._checked("journal", expected, number, row)
            if expected != self._sequence:
                raise self._corrupt("journal", expected + 1, "it is missing")
        except (sqlite3.Error, OSError) as error:
            raise self._judge("read", error) from error
        finally:
            rows.close()

    def should_checkpoint(self) -> bool:
        """Whether the journal has outgrown its checkpoint, so that a new one pays."""
        return self._journal_bytes > max(CHECKPOINT_MINIMUM, 2 * self._checkpoint_bytes)

    def checkpoint(self, records: Iterable[bytes]) -> None:
        """Replaces everything so far by `records`, in one synced transaction.

        When `records` itself raises, nothing has changed and the journal goes on.

        Raises:
            StorageFailed: the disk refused; the old state stays readable.
        """
        self._refuse_after_failure()
        try:
            self._set_sync(True)
            self._execute("BEGIN IMMEDIATE")
            self._execute("DELETE FROM checkpoint")
            rows, size = self._write_checkpoint(records)
            self._execute("DELETE FROM journal WHERE sequence <= ?", (self._sequence,))
            for key, value in (
                ("covered", self._sequence),
                ("checkpoint_rows", rows),
                ("checkpoint_bytes", size),
            ):
                self._execute(_SET_META, (value, key))
            self._execute("COMMIT")
            self._set_sync(self._always_sync)
        except (sqlite3.Error, OSError) as error:
            raise self._fail("write a checkpoint to", error) from error
        except BaseException:
            self._roll_back()
            raise
        self._covered = self._sequence
        self._checkpoint_rows = rows
        self._checkpoint_bytes = size
        self._journal_bytes = 0

    def close(self) -> None:
        """Closes the file; safe after a failure, and safe twice.

        Raises:
            StorageFailed: the disk refused; what was appended is still durable.
        """
        if self._closed:
            return
        self._closed = True
        self._failure = self._failure or f"the journal {self.path} is closed"
        try:
            self._close()
        except (sqlite3.Error, OSError) as error:
            raise self._fail("close", error) from error

    def _close(self) -> None:
        # A cursor that still holds a failed statement would keep the file open and locked.
        self._cursor.close()
        self._connection.close()

    def _write_checkpoint(self, records: Iterable[bytes]) -> tuple[int, int]:
        """Writes the rows of a checkpoint; how many, and their bytes."""
        number = 0
        size = 0
        batch: list[bytes] = []
        batch_bytes = 0
        for record in records:
            batch.append(record)
            batch_bytes += len(record)
            if batch_bytes >= CHECKPOINT_ROW_BYTES:
                number += 1
                size += self._write_checkpoint_row(number, batch)
                batch = []
                batch_bytes = 0
        if batch:
            number += 1
            size += self._write_checkpoint_row(number, batch)
        return number, size

    def _write_checkpoint_row(self, number: int, records: list[bytes]) -> int:
        row = encode_row(number, records)
        self._execute(_INSERT_CHECKPOINT, (number, row))
        return len(row)

    def _checked(self, table: str, expected: int, number: object, row: object) -> list[bytes]:
        if number != expected:
            raise self._corrupt(table, expected, f"it is missing; the next row is {number}")
        try:
            return decode_row(expected, row)
        except ValueError as error:
            raise self._corrupt(table, expected, str(error)) from None

    def _execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        self._calls += 1
        self._watchdog.ticket = self._calls
        try:
            return self._cursor.execute(sql, parameters)
        except UnicodeDecodeError as error:
            # SQLite quotes a rotten schema in its message, which Python then cannot read.
            rotten = sqlite3.DatabaseError("its schema is damaged")
            rotten.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise rotten from error
        finally:
            self._watchdog.ticket = 0

    def _set_sync(self, sync: bool) -> None:
        if sync is not self._synced:
            # A script is compiled anew each time. A compiled statement that Python kept
            # might do nothing: SQLite applies this one while it compiles.
            self._connection.executescript(f"PRAGMA synchronous={'FULL' if sync else 'NORMAL'}")
            self._synced = sync

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        except (sqlite3.Error, OSError) as error:
            raise self._fail("roll back", error) from error

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            raise StorageFailed(self._failure)

    def _fail(self, action: str, error: Exception) -> StorageFailed:
        code = _primary_code(error)
        advice = _ADVICE.get(code, "check the disk and the file's permissions")
        message = f"cannot {action} the journal {self.path}: {error}; {advice}"
        self._failure = self._failure or message
        return StorageFailed(message)

    def _judge(self, action: str, error: Exception) -> StorageFailed | StorageCorrupt:
        """A damaged file is told from a disk that refuses."""
        code = _primary_code(error)
        if isinstance(error, OSError) or code in _ADVICE:
            return self._fail(action, error)
        message = f"the journal {self.path} is damaged: {error}. {INTEGRITY_ADVICE}"
        self._failure = self._failure or message
        return StorageCorrupt(message)

    def _corrupt(self, table: str, row: int, why: str) -> StorageCorrupt:
        message = f"the journal {self.path} is damaged: row {row} of {table}: {why}. "
        self._failure = message + INTEGRITY_ADVICE
        return StorageCorrupt(self._failure)


def _make_private(path: Path) -> None:
    """Makes the file for this user alone; SQLite gives its log the same mode."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        # Never opened beside SQLite: closing any descriptor of a file drops its locks.
        return
    os.close(descriptor)


def _primary_code(error: Exception) -> int:
    """SQLite's result code without its extension, or -1."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else -1
