"""How much memory a worker process holds, and what is done when that is too much.

The limit is on what the process really holds: resident memory and what of it was
swapped out. Limits of the kernel on address space (``RLIMIT_AS``, ``RLIMIT_DATA``) count
what a program only reserves: a Python process with 16 threads holds 23 MB, reserves
1.1 GB of addresses and 150 MB of data, and libraries for arrays reserve far more. Such a
limit is either too low for honest programs or no limit at all.

Looking takes time, and meanwhile a process may grow. So the next look is the sooner, the
less is left: as if the process filled memory as fast as this machine can.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import trio

FILLING_BYTES_S = 4_000_000_000
"""How fast one thread fills fresh memory, at most; measured at 1 to 4 GB/s."""
LOOK_S = (0.01, 0.5)
"""The shortest and the longest time between two looks: the first bounds what is used beyond
the limit, at some 40 MB."""
SLOW_LOOK_S = 1.0
"""Where there is no ``/proc``: a look starts a process."""
PROC = Path("/proc/self/status").exists()
STATUS_BYTES = 8192
COUNTED = (b"\nVmRSS:", b"\nVmSwap:")


async def watch(pid: int, limit: Callable[[], int], exceeded: Callable[[int], None]) -> None:
    """Looks at a process until cancelled, or until it holds too much.

    Args:
        pid: a process of this machine.
        limit: bytes that it may hold at this moment; 0 for no limit.
        exceeded: called once, with how much it holds.
    """
    least_s, most_s = LOOK_S
    with contextlib.ExitStack() as stack:
        status = stack.enter_context(_opened(pid)) if PROC else -1
        while True:
            allowed, pause_s = limit(), most_s
            if allowed:
                held = _held_in(status) if PROC else await _held_by_ps(pid)
                if held > allowed:
                    exceeded(held)
                    return
                pause_s = max(least_s, min(most_s, (allowed - held) / FILLING_BYTES_S))
            await trio.sleep(pause_s if PROC else SLOW_LOOK_S)


def held_by(pid: int) -> int:
    """How many bytes a process holds, as ``/proc`` tells; 0 where it has ended."""
    with _opened(pid) as status:
        return _held_in(status)


@contextlib.contextmanager
def _opened(pid: int) -> Iterator[int]:
    """What ``/proc`` says of this very process; -1 where it has ended."""
    try:
        status = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield -1
        return
    try:
        yield status
    finally:
        os.close(status)


def _held_in(status: int) -> int:
    # Of an open file: a look costs 15 µs instead of 70, and there may be a hundred a second.
    try:
        text = os.pread(status, STATUS_BYTES, 0)
    except OSError:
        return 0
    return 1024 * sum(
        int(text[at:].split(None, 2)[1]) for word in COUNTED if (at := text.find(word)) >= 0
    )


async def _held_by_ps(pid: int) -> int:
    command = ["ps", "-o", "rss=", "-p", str(pid)]
    ran = await trio.run_process(command, capture_stdout=True, check=False)
    text = ran.stdout.strip()
    return int(text) * 1024 if text.isdigit() else 0
