"""A thread that notices a disk call that never comes back.

A hanging fsync blocks its caller inside the kernel, where no timeout reaches
it. The watchdog counts its own ticks instead of reading a clock: ticks only
happen while the process runs, so a peer that was paused for an hour in the
middle of a write is not taken for one whose disk hangs.
"""

import threading
from collections.abc import Callable

HANG_LIMIT_S = 10.0
TICK_S = 0.5


class Watchdog:
    """Calls `on_hang` once, from its own thread, when one guarded call lasts too long.

    Arming is one attribute write, disarming another: whoever guards a call sets
    `ticket` to a number that no other call has, and to 0 afterwards.

    Invariant (one-alarm): `on_hang` is called at most once.
    """

    def __init__(
        self,
        what: str,
        on_hang: Callable[[str], None],
        limit_s: float = HANG_LIMIT_S,
        tick_s: float = TICK_S,
    ) -> None:
        """Takes what is guarded, in words for the message, and how long a call may last.

        `on_hang` receives a message for people. It runs beside a thread that is
        stuck, so the only sensible thing it can do is to report and end the process.
        """
        assert 0 < tick_s <= limit_s, "a tick is shorter than the limit"
        self.ticket = 0
        self._what = what
        self._on_hang = on_hang
        self._limit_s = limit_s
        self._tick_s = tick_s
        self._ticks = max(1, round(limit_s / tick_s))
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts to watch; once."""
        assert self._thread is None, "a watchdog starts once"
        self._thread = threading.Thread(target=self._watch, name="storage-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and waits for it unless it is the caller."""
        self._stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _watch(self) -> None:
        seen = 0
        strikes = 0
        while not self._stopped.wait(self._tick_s):
            ticket = self.ticket
            if ticket == 0 or ticket != seen:
                seen = ticket
                strikes = 0
                continue
            strikes += 1
            if strikes >= self._ticks:
                self._on_hang(
                    f"{self._what} has not come back for {self._limit_s:g} s: the disk hangs. "
                    "Look for disk errors in the system's log, or move the mesh folder to another "
                    "disk, then start the peer again; nothing unwritten was acknowledged"
                )
                return
