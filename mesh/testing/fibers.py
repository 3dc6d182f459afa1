"""Coroutines that are driven by hand, and the events that they wait for.

A fiber takes one step at a time: it runs until it awaits a `VirtualEvent`, and
goes on some virtual time after that has happened. Nothing else may be awaited.
"""

import contextlib
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context as Variables
from typing import Any

ENDED: Any = object()
"""What `Fiber.step` returns when there is no next step."""


class VirtualEvent:
    """Something that happens once. Fibers that wait for it go on in the order of their coming."""

    def __init__(self) -> None:
        self._happened = False
        self._waiting: list[Fiber] = []

    @property
    def happened(self) -> bool:
        """Whether it has."""
        return self._happened

    def set(self) -> None:
        """It has happened."""
        if not self._happened:
            self._happened = True
            waiting, self._waiting = self._waiting, []
            for fiber in waiting:
                fiber.wake()

    async def wait(self) -> None:
        """Waits until it has happened."""
        if not self._happened:
            await _Trap(self)

    def join(self, fiber: "Fiber") -> None:
        """A fiber waits from now on."""
        self._waiting.append(fiber)

    def leave(self, fiber: "Fiber") -> None:
        """A fiber waits no more."""
        if fiber in self._waiting:
            self._waiting.remove(fiber)


class _Trap:
    """Passes an event to whoever drives the coroutine."""

    def __init__(self, event: VirtualEvent) -> None:
        self._event = event

    def __await__(self) -> Generator[VirtualEvent, None, None]:
        yield self._event


class Fiber:
    """One coroutine, and where it stands.

    Attributes:
        ended: happens with its last step.
        value: what it returned.
        error: what it raised instead.
        waits_for: what it awaits now.
        throws: what its next step begins with, where it was cancelled.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        variables: Variables,
        wake: Callable[["Fiber"], None],
    ) -> None:
        """Takes a coroutine, its context variables, and what arranges for the next step."""
        self._coroutine = coroutine
        self._variables = variables
        self._wake = wake
        self.is_due = False
        self.ended = VirtualEvent()
        self.value: Any = None
        self.error: BaseException | None = None
        self.waits_for: VirtualEvent | None = None
        self.throws: BaseException | None = None

    def wake(self) -> None:
        """Its next step may come; until then it is due."""
        self.waits_for = None
        if not self.is_due and not self.ended.happened:
            self.is_due = True
            self._wake(self)

    def cancel(self, error: BaseException) -> None:
        """Its next step begins with an error."""
        if self.ended.happened:
            return
        self.throws = error
        if self.waits_for is not None:
            self.waits_for.leave(self)
        self.wake()

    def step(self) -> Any:
        """Runs it to its next await; what it awaits, or `ENDED`."""
        self.is_due = False
        error, self.throws = self.throws, None
        try:
            if error is None:
                return self._variables.run(self._coroutine.send, None)
            return self._variables.run(self._coroutine.throw, error)
        except StopIteration as finished:
            self.value = finished.value
        except BaseException as raised:  # noqa: BLE001  # kept for whoever awaits it
            self.error = raised
        return ENDED

    def close(self) -> None:
        """Gives up a coroutine that will take no further step."""
        if not self.ended.happened:
            # Its cleaning up may fail, or want to wait; nobody is left to care.
            with contextlib.suppress(Exception):
                self._coroutine.close()
