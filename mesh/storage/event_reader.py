"""Reads a peer's events from a cursor on, across their rotation, and tells gaps.

A cursor names a file by the hash of its first line, which does not change as long
as the file grows or is renamed, and a place in it. One that names a file that is
gone is answered with a gap: what is kept follows, what was before it is not known.
"""

from hashlib import blake2b
from pathlib import Path

import msgspec

HEAD_LIMIT = 64 * 1024
"""Bytes of a first line that name its file."""
READ_BYTES = 1024 * 1024
"""Bytes taken at a time; a longer line is passed over."""


class CursorRefused(ValueError):
    """The text is no cursor."""


class Cursor(msgspec.Struct, frozen=True):
    """A place in the events.

    Attributes:
        file: which file, by its first line; empty before the first of all.
        offset: bytes in it.
    """

    file: str = ""
    offset: int = 0

    def __str__(self) -> str:
        """As text, for others to keep."""
        return f"{self.file}:{self.offset}" if self.file else ""

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Reads a cursor that was given out.

        Raises:
            CursorRefused: it is none.
        """
        if not text:
            return cls()
        file, _, offset = text.partition(":")
        if not (file.isalnum() and offset.isascii() and offset.isdigit() and len(offset) < 16):
            raise CursorRefused(
                f"{text[:64]!r} is no cursor: give one that an answer held, or none"
            )
        return cls(file, int(offset))


class Batch(msgspec.Struct, frozen=True):
    """What was read.

    Attributes:
        lines: whole lines, oldest first.
        ends: the cursor after each of them.
        cursor: where to go on.
        is_gap: what followed the cursor before is not kept any more; these lines begin anew.
        is_end: there is nothing more at present.
    """

    lines: list[bytes]
    ends: list[Cursor]
    cursor: Cursor
    is_gap: bool
    is_end: bool


class EventReader:
    """Reads ``events.1.jsonl`` and ``events.jsonl`` of one peer."""

    def __init__(self, path: Path) -> None:
        """Takes the path of the newer file."""
        self._paths = (path.with_suffix(".1.jsonl"), path)

    def end(self) -> Cursor:
        """Where the events end now."""
        for path in reversed(self._paths):
            name = _name_of(path)
            if name:
                return Cursor(name, _whole(path))
        return Cursor()

    def read(self, cursor: Cursor, limit: int) -> Batch:
        """The whole lines after a cursor, at most so many."""
        names = self._names()
        batch = self._read(cursor, limit, names)
        while (now := self._names()) != names and any(names):
            # Renamed meanwhile, a path may have given another file's lines.
            names = now
            batch = self._read(cursor, limit, names)
        return batch

    def _names(self) -> list[str]:
        return [_name_of(path) for path in self._paths]

    def _read(self, cursor: Cursor, limit: int, names: list[str]) -> Batch:
        files = [(name, path) for name, path in zip(names, self._paths, strict=True) if name]
        known = [name for name, _ in files]
        is_gap = bool(cursor.file) and cursor.file not in known
        if cursor.file in known:
            files = files[known.index(cursor.file) :]
            offset = cursor.offset
        else:
            offset = 0
        lines: list[bytes] = []
        ends: list[Cursor] = []
        at = Cursor() if is_gap else cursor
        for name, path in files:
            offset = _take(path, name, offset, limit, lines, ends)
            at = Cursor(name, offset)
            if len(lines) >= limit:
                return Batch(lines, ends, at, is_gap, is_end=False)
            offset = 0
        return Batch(lines, ends, at, is_gap, is_end=True)


def _take(
    path: Path, name: str, offset: int, limit: int, lines: list[bytes], ends: list[Cursor]
) -> int:
    """Adds the whole lines of one file; gives the place after the last of them."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            rest = b""
            while len(lines) < limit and (data := file.read(READ_BYTES)):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    offset += len(line) + 1
                    lines.append(line)
                    ends.append(Cursor(name, offset))
                    if len(lines) >= limit:
                        return offset
                if len(rest) > READ_BYTES:
                    offset, rest = offset + len(rest), b""
    except FileNotFoundError:
        return offset
    return offset


def _name_of(path: Path) -> str:
    """What a file is called by its first line; empty where it has none yet."""
    try:
        with path.open("rb") as file:
            line = file.readline(HEAD_LIMIT)
    except FileNotFoundError:
        return ""
    if not line.endswith(b"\n") and len(line) < HEAD_LIMIT:
        return ""
    return blake2b(line, digest_size=8).hexdigest()


def _whole(path: Path) -> int:
    """Bytes of the whole lines of a file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = max(0, size - READ_BYTES)
            file.seek(start)
            tail = file.read(READ_BYTES)
    except FileNotFoundError:
        return 0
    return start + tail.rfind(b"\n") + 1
