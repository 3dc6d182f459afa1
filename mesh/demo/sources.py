"""Which files are audited, and how one is read."""

import io
import os
import sysconfig
import tokenize
from pathlib import Path

import msgspec

NOT_SOURCES = frozenset({
    "__pycache__", "site-packages", "dist-packages", "node_modules",
    "test", "tests", "idle_test", "build", "dist", "venv",
})  # fmt: skip
"""Folders that are never entered, besides those that begin with a dot."""
FILE_BYTES_LIMIT = 2 * 1024 * 1024
"""Longer files are generated, and are noted instead of read."""


class Unreadable(Exception):
    """A file cannot be had as text; the message says why, without its absolute path."""


class SourceFile(msgspec.Struct, frozen=True):
    """A file to audit: its path relative to the root, and its size in bytes."""

    path: str
    size: int


def standard_library() -> Path:
    """The folder of the standard library of this interpreter."""
    return Path(sysconfig.get_paths()["stdlib"]).resolve()


def find_sources(root: Path) -> list[SourceFile]:
    """Every Python file below a folder, tests and caches aside, sorted by path.

    A single file is its own tree. Links are not followed, so nothing is audited twice.
    """
    if root.is_file():
        return [SourceFile(root.name, root.stat().st_size)]
    found: list[SourceFile] = []
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if _is_entered(here / name))
        for name in sorted(names):
            path = here / name
            if name.endswith(".py") and path.is_file() and not path.is_symlink():
                found.append(SourceFile(path.relative_to(root).as_posix(), path.stat().st_size))
    return sorted(found, key=lambda source: source.path)


def _is_entered(folder: Path) -> bool:
    if folder.name in NOT_SOURCES or folder.name.startswith("."):
        return False
    return not (folder / "pyvenv.cfg").exists()


def folder_of(root: Path) -> Path:
    """The folder that paths are relative to, where the root may be a single file."""
    return root.parent if root.is_file() else root


def read_text(root: Path, path: str) -> str:
    """The text of a file, in the encoding that it declares, with plain line ends.

    Raises:
        Unreadable: it cannot be opened, is too long, or is not in the encoding it declares.
    """
    data = read_bytes(root, path)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return io.TextIOWrapper(io.BytesIO(data), encoding, newline=None).read()
    except SyntaxError as error:
        raise Unreadable(f"unknown encoding: {error.msg}") from None
    except (UnicodeDecodeError, LookupError):
        raise Unreadable("not in the encoding it declares (UTF-8 where it declares none)") from None


def read_bytes(root: Path, path: str) -> bytes:
    """The bytes of a file.

    Raises:
        Unreadable: it cannot be opened, is too long, or lies outside the root.
    """
    folder = folder_of(root).resolve()
    file = (folder / path).resolve()
    if not file.is_relative_to(folder):
        raise Unreadable("outside the audited tree")
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_BYTES_LIMIT + 1)
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    if len(data) > FILE_BYTES_LIMIT:
        raise Unreadable(f"longer than {FILE_BYTES_LIMIT // 1024} KiB")
    return data
