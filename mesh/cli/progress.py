"""Progress of long work: a line that rewrites itself on a terminal, nothing in a pipe."""

import sys
import time
from types import TracebackType

REFRESH_S = 0.1


class Progress:
    """Counts what is done, on stderr; silent where stderr is not a terminal."""

    def __init__(self, what: str, total: int | None = None) -> None:
        """Says what is counted, and how many there will be where that is known."""
        self._what = what
        self._total = total
        self._done = 0
        self._shown_at = 0.0
        self._begin = time.monotonic()
        self._live = sys.stderr.isatty()

    def __enter__(self) -> "Progress":
        """Begins."""
        return self

    def advance(self, failed: int = 0) -> None:
        """One more is done; shows it, at most ten times a second."""
        self._done += 1
        now = time.monotonic()
        if self._live and now - self._shown_at >= REFRESH_S:
            self._shown_at = now
            self._show(failed)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clears the line."""
        self.clear()

    def clear(self) -> None:
        """Makes room for another line; the next `advance` shows progress again."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _show(self, failed: int) -> None:
        rate = self._done / max(1e-9, time.monotonic() - self._begin)
        speed = f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"
        total = f" of {self._total}" if self._total is not None else ""
        trouble = f", {failed} failed" if failed else ""
        sys.stderr.write(f"\r\x1b[K{self._done}{total} {self._what}, {speed}/s{trouble}")
        sys.stderr.flush()
