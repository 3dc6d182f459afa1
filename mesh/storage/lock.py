"""One process per peer: an exclusive lock on the peer's folder.

The lock dies with its process, so nothing is ever left locked. The files stay:
removing a lock file would let two processes hold two files of one name.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from mesh.local.discovery import LOCK_FILE
from mesh.storage.files import write_atomically
from protocols.errors import ConfigurationError

PID_FILE = "pid"
ATTEMPTS = 5
ATTEMPT_PAUSE_S = 0.02


class FolderLock:
    """Holds a peer's folder for this process, until `release` or the process's end.

    A child that is forked while it is held shares it. `pid` in the folder is
    for people and scripts; whoever must be sure asks `discovery.running_pid`.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the lock.

        Raises:
            ConfigurationError: another process has it, or the folder is not writable.
        """
        self._folder = folder
        path = folder / LOCK_FILE
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"cannot lock the folder {folder}: {error.strerror}; check that it exists and "
                "that this user may write to it"
            ) from None
        try:
            self._acquire()
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
            write_atomically(folder / PID_FILE, b"%d\n" % os.getpid(), durable=False)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _acquire(self) -> None:
        # Somebody who only looks (`discovery.running_pid`) holds it for a moment.
        for attempt in range(ATTEMPTS):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt < ATTEMPTS - 1:
                    time.sleep(ATTEMPT_PAUSE_S)
            else:
                return
        pid = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        raise ConfigurationError(
            f"process {pid} already runs a peer in {self._folder}: stop it first "
            "(`mesh down`), or use another folder"
        )

    def release(self) -> None:
        """Gives the lock up; safe twice."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(FileNotFoundError):
            (self._folder / PID_FILE).unlink()
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
