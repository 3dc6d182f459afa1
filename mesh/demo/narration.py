"""What the demo tells people while it runs: live on a terminal, plain lines elsewhere."""

import time
from typing import Protocol, TextIO

PLAIN_STEPS = 10
"""Lines of progress from start to end where there is no terminal."""


class Narrator(Protocol):
    """Hears what happens."""

    def say(self, text: str) -> None:
        """Something happened."""

    def progress(self, done: int, total: int, share: float) -> None:
        """So many tasks have ended, which are such a share of the estimated work."""

    def close(self) -> None:
        """The end."""


class PlainNarrator:
    """A line each, with the seconds since the start."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begin = time.monotonic()
        self._step = 0

    def say(self, text: str) -> None:
        """Writes a line."""
        seconds = time.monotonic() - self._begin
        self._stream.write(f"{seconds:6.1f} s  {text}\n")
        self._stream.flush()

    def progress(self, done: int, total: int, share: float) -> None:
        """Writes a line each tenth of the way."""
        step = PLAIN_STEPS if done == total else int(share * PLAIN_STEPS)
        if step > self._step:
            self._step = step
            self.say(f"{done} of {total} tasks done, {share:.0%} of the work")

    def close(self) -> None:
        """Nothing to put away."""


class TerminalNarrator:
    """A bar at the bottom, and what happens above it."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console  # only a terminal needs it
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        console = Console(file=stream, highlight=False)
        self._begin = time.monotonic()
        self._bar = Progress(
            "  auditing", BarColumn(), TextColumn("{task.fields[tasks]}"), TimeElapsedColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, tasks="")
        self._bar.start()

    def say(self, text: str) -> None:
        """Prints above the bar."""
        seconds = time.monotonic() - self._begin
        self._bar.console.print(f"{seconds:6.1f} s  {text}", markup=False)

    def progress(self, done: int, total: int, share: float) -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=share, total=1.0, tasks=f"{done}/{total} tasks")

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.stop()


def narrator_for(stream: TextIO) -> Narrator:
    """The narrator that suits a stream, such as stderr."""
    return TerminalNarrator(stream) if stream.isatty() else PlainNarrator(stream)
