"""Files that are whole or not there: written aside, synced, and put in place."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from protocols.errors import ConfigurationError

PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600


def make_private_folder(path: Path) -> None:
    """Makes a folder, and those above it, for this user alone; nothing where it exists.

    Raises:
        ConfigurationError: it cannot be made, or is not a folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the folder {path}: {error.strerror}; choose another place by --dir, "
            "or make the folder above it writable for this user"
        ) from None


def write_atomically(path: Path, data: bytes, durable: bool = True) -> None:
    """Replaces a file as a whole; a reader sees the old or the new one. Mode 0600.

    Args:
        path: the file.
        data: all of it.
        durable: whether it must survive a power cut when this returns.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    with refusing_unwritable(path):
        aside = _write_aside(path, data, durable)
        try:
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
        if durable:
            _sync_folder(path.parent)


def create_atomically(path: Path, data: bytes) -> None:
    """Makes a file that must not exist yet, as a whole, durably. Mode 0600.

    Raises:
        FileExistsError: it exists; nothing has changed.
        ConfigurationError: the folder cannot be written to.
    """
    with refusing_unwritable(path):
        aside = _write_aside(path, data, durable=True)
        try:
            # Unlike a rename, a link never replaces what is there.
            os.link(aside, path)
        finally:
            os.unlink(aside)
        _sync_folder(path.parent)


@contextlib.contextmanager
def refusing_unwritable(path: Path) -> Iterator[None]:
    """Turns the system's refusals into a `ConfigurationError`; an existing file's aside."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}; check that its folder exists, has room, and "
            "is writable for this user"
        ) from None


def _write_aside(path: Path, data: bytes, durable: bool) -> Path:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(aside, flags, PRIVATE_FILE)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        os.unlink(aside)
        raise
    return aside


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
