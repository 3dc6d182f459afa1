"""Notices handlers that reach for a real event loop.

While a handler takes a step, asyncio finds a loop here that refuses whatever is
asked of it: `asyncio.sleep`, `create_task`, sockets, threads. trio and anyio
notice by themselves that they do not run, and what they raise is recognised.
"""

from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mesh.testing.errors import ForeignAwait, foreign_await

_HOMELESS_KINDS = frozenset({"AsyncLibraryNotFoundError", "NoEventLoopError"})
_HOMELESS_TEXTS = (
    "must be called from async context",
    "no running event loop",
    "should be used inside a task",
    "cannot determine the parent task",
    "no current event loop",
)


class RefusingLoop:
    """What asyncio takes for the running loop while a handler takes a step."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Takes the virtual clock, in seconds."""
        self._clock = clock
        self._skill = ""
        self._noticed: ForeignAwait | None = None

    def time(self) -> float:
        """Virtual seconds."""
        return self._clock()

    def is_running(self) -> bool:
        """As far as a handler can tell."""
        return True

    def is_closed(self) -> bool:
        """Not as long as a handler runs."""
        return False

    def get_debug(self) -> bool:
        """Asked by asyncio's own classes."""
        return False

    def __getattr__(self, name: str) -> Any:
        """Refuses everything else that a loop could do."""
        self._noticed = foreign_await(self._skill, f"asyncio's event loop ({name})")
        raise self._noticed

    @contextmanager
    def guarding(self, skill: str) -> Iterator[None]:
        """Stands in for the running loop while a handler of `skill` takes a step.

        Raises:
            ForeignAwait: the handler asked for anything, whatever it made of the refusal.
        """
        before = _get_running_loop()
        self._skill, self._noticed = skill, None
        _set_running_loop(self)  # type: ignore[arg-type]  # it refuses to be one
        try:
            yield
        finally:
            _set_running_loop(before)
        if self._noticed is not None:
            raise self._noticed


def homeless(skill: str, error: BaseException | None) -> ForeignAwait | None:
    """What to say of a handler's error that comes from a library without its loop; else None."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        text = str(error)
        lost = type(error).__name__ in _HOMELESS_KINDS or (
            isinstance(error, RuntimeError) and any(known in text for known in _HOMELESS_TEXTS)
        )
        if lost:
            return foreign_await(skill, f"an event loop that does not run ({text})")
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None
