"""The journal's tables, their versions, and whose journal it is.

`MIGRATIONS[v]` takes a file from version v to v + 1; version 0 is an empty
file. A file of a newer release is refused, never guessed at.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from protocols.errors import ConfigurationError, StorageCorrupt
from protocols.identity import text_id

INTEGRITY_ADVICE = (
    "Do not go on with it: restore it from a backup, or take this peer out of the mesh for good "
    "and add one under a new key; the other peers hold the tasks it was custodian of"
)

Execute = Callable[..., sqlite3.Cursor]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
        "CREATE TABLE journal (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        "CREATE TABLE checkpoint (row INTEGER PRIMARY KEY, body BLOB NOT NULL)",
        "INSERT INTO meta VALUES ('version', 0), ('boot', 0), ('covered', 0), "
        "('checkpoint_rows', 0), ('checkpoint_bytes', 0)",
    ),
)


class Meta(msgspec.Struct, frozen=True):
    """What the journal says of itself: starts counted, and the checkpoint's extent."""

    boot: int
    covered: int
    checkpoint_rows: int
    checkpoint_bytes: int


def migrate(execute: Execute, path: Path, mesh: bytes, peer: bytes) -> None:
    """Brings the file to this release's version, in one transaction; nothing where it is.

    Raises:
        ConfigurationError: a newer release wrote the file.
    """
    version = _version(execute, path)
    if version == len(MIGRATIONS):
        return
    # Where one of these fails, the caller closes the connection, which rolls back.
    execute("BEGIN IMMEDIATE")
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            execute(statement)
    if version == 0:
        execute("INSERT INTO meta VALUES ('mesh', ?), ('peer', ?)", (mesh, peer))
    execute("UPDATE meta SET value = ? WHERE key = 'version'", (len(MIGRATIONS),))
    execute("COMMIT")
    # The tables are in the main file from the start, whatever becomes of the log.
    execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def read_meta(execute: Execute, path: Path, mesh: bytes, peer: bytes) -> Meta:
    """Reads and checks what the file says of itself.

    Raises:
        ConfigurationError: the journal of another mesh or peer.
        StorageCorrupt: an entry is missing or senseless.
    """
    values: dict[str, Any] = dict(execute("SELECT key, value FROM meta").fetchall())
    for key, mine in (("mesh", mesh), ("peer", peer)):
        theirs = values.get(key)
        if not isinstance(theirs, bytes):
            raise StorageCorrupt(f"the journal {path} does not name its {key}. {INTEGRITY_ADVICE}")
        if theirs != mine:
            raise ConfigurationError(
                f"{path} is the journal of {key} {text_id(theirs)}, not of {text_id(mine)}: "
                "each peer needs a folder of its own; check --dir and the peer's name"
            )
    numbers = []
    for key in Meta.__struct_fields__:
        value = values.get(key)
        if not isinstance(value, int) or value < 0:
            raise StorageCorrupt(f"the journal {path}: {key!r} is {value!r}. {INTEGRITY_ADVICE}")
        numbers.append(value)
    return Meta(*numbers)


def _version(execute: Execute, path: Path) -> int:
    found = execute("SELECT name FROM sqlite_schema WHERE name = 'meta'").fetchone()
    if found is None:
        return 0
    row = execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    if row is None or not isinstance(row[0], int) or row[0] < 1:
        raise StorageCorrupt(f"the journal {path} has no version. {INTEGRITY_ADVICE}")
    version: int = row[0]
    if version > len(MIGRATIONS):
        raise ConfigurationError(
            f"{path} has version {version}, and this release knows up to {len(MIGRATIONS)}: "
            "a newer stigmesh wrote it; install that release, or use another folder"
        )
    return version
