"""The process of a worker: how it ends, and what it has to do with its peer's."""

import contextlib
import os
import sys
from typing import Any, NoReturn

from mesh.agent.redaction import CleanStream

OOM_SCORE = "500"
"""Added to what the kernel's out-of-memory killer makes of this process, of 1000."""


def clean_output() -> None:
    """From now on no secret is written to this process's log, which handlers print to."""
    streams: Any = sys
    streams.stdout, streams.stderr = CleanStream(sys.stdout), CleanStream(sys.stderr)


def leave(status: int) -> NoReturn:
    """Ends the process now: threads of handlers may never return."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def die_with(parent: int) -> None:
    """Has the kernel end this process with its parent, where it can (Linux)."""
    if sys.platform == "linux":
        import ctypes
        import signal

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        leave(0)


def offer_itself_first() -> None:
    """Where the machine's memory runs out, the kernel shall end a worker and not its peer."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write(OOM_SCORE)
