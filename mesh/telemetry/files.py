"""Files that grow, rotate and are cut, as whole lines.

Two manners of rotation are followed: a file that is renamed and begun anew (a
peer's events), and one that is copied aside and cut to nothing (a worker's
output).
"""

import os
from collections.abc import Iterator
from pathlib import Path

READ_BYTES = 1024 * 1024
LINE_LIMIT = 1024 * 1024
"""Bytes in a line; a longer one is given in pieces."""


def lines_of(path: Path) -> Iterator[bytes]:
    """The whole lines of a file as it is now; none where it is missing."""
    rest = b""
    try:
        with path.open("rb") as file:
            while data := file.read(READ_BYTES):
                *whole, rest = (rest + data).split(b"\n")
                yield from whole
                if len(rest) > LINE_LIMIT:
                    yield rest
                    rest = b""
    except FileNotFoundError:
        return


class Follower:
    """Gives the lines that a file gains, across rotations.

    Args:
        path: the file; it need not exist yet.
        from_end: what is there already is passed over.
    """

    def __init__(self, path: Path, from_end: bool) -> None:
        self._path = path
        self._file = -1
        self._rest = b""
        self._open()
        if from_end and self._file >= 0:
            os.lseek(self._file, 0, os.SEEK_END)

    def read(self) -> list[bytes]:
        """The whole lines since the last call."""
        lines = self._drain()
        if self._is_replaced():
            # It may have grown between our last look and its new name.
            lines += self._drain()
            self.close()
            if self._rest:
                lines.append(self._rest)
                self._rest = b""
            self._open()
            lines += self._drain()
        return lines

    def close(self) -> None:
        """Lets the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._file = -1

    def _drain(self) -> list[bytes]:
        lines: list[bytes] = []
        if self._file < 0:
            return lines
        if os.fstat(self._file).st_size < os.lseek(self._file, 0, os.SEEK_CUR):
            os.lseek(self._file, 0, os.SEEK_SET)
            self._rest = b""
        while data := os.read(self._file, READ_BYTES):
            *whole, self._rest = (self._rest + data).split(b"\n")
            lines += whole
            if len(self._rest) > LINE_LIMIT:
                lines.append(self._rest)
                self._rest = b""
        return lines

    def _is_replaced(self) -> bool:
        try:
            now = os.stat(self._path)
        except FileNotFoundError:
            return False
        if self._file < 0:
            return True
        return os.fstat(self._file).st_ino != now.st_ino
