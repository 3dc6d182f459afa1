"""One run of a handler, taken step by step: a coroutine by hand, a plain function in a thread.

A plain function that takes no context, or is inline, is simply called. Another
one has a thread of its own, and either the thread runs or the world does, never
both: the order of everything stays the seed's.

A run that its peer's death cut off is not unwound, for kill -9 runs no
``finally``; it is closed when the mesh is.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

import trio

from mesh.agent import Agent, Cancelled, Skill
from mesh.testing.errors import foreign_await
from mesh.testing.fibers import ENDED, Fiber, VirtualEvent
from mesh.testing.foreign import RefusingLoop, homeless

T = TypeVar("T")

UNWINDING_S = 1.0
"""Real seconds that the thread of a plain handler has to end in when its mesh is closed."""


class Stopped(BaseException):
    """What stops the waits of a plain handler."""


class Abandoned(BaseException):
    """Unwinds the thread of a plain handler whose mesh is closed."""


class Stage(Protocol):
    """Where scripts run: who makes time pass between two steps."""

    @property
    def loop(self) -> RefusingLoop:
        """Stands in for asyncio's loop during a step."""

    def soon(self, action: Callable[[], None]) -> None:
        """Does something a little later, unless its peer is dead by then."""


class Script:
    """One handler's run.

    Attributes:
        value: what the handler returned.
        error: what it raised instead.
        has_waited: whether it waited for its context, as far as that is told apart.
    """

    def __init__(self, stage: Stage, agent: Agent, skill: Skill, ended: Callable[[], None]) -> None:
        """Takes where it runs, what it runs, and who is told when it has ended."""
        self._stage = stage
        self._loop = agent.loop
        self._told = ended
        self.skill = skill
        self.is_stopped = False
        self.has_waited = False
        self.value: Any = None
        self.error: BaseException | None = None
        self._fibers: list[Fiber] = []

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Fiber:
        """Begins a branch of the handler."""
        fiber = Fiber(coroutine, copy_context(), self._wake)
        self._fibers.append(fiber)
        fiber.wake()
        return fiber

    def stop(self) -> None:
        """Cancels every branch, the innermost first."""
        self.is_stopped = True
        for fiber in reversed(self._fibers):
            fiber.cancel(self._cancellation())

    def close(self) -> None:
        """The mesh is closed: what has not ended is unwound."""
        for fiber in reversed(self._fibers):
            fiber.close()

    async def run_all(self, functions: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Runs branches side by side, until all have ended."""
        fibers = [self.spawn(function()) for function in functions]
        try:
            for fiber in fibers:
                await fiber.ended.wait()
        except BaseException:
            for fiber in fibers:
                await fiber.ended.wait()  # they were cancelled first
            raise
        for fiber in fibers:
            if fiber.error is not None:
                raise fiber.error

    def end(self, value: Any, error: BaseException | None) -> None:
        """The handler has returned, or raised.

        Raises:
            BaseException: what is not the task's business, but the test's.
        """
        self.value, self.error = value, error
        foreign = homeless(self.skill.name, error) if self.skill.is_async else None
        if foreign is not None:
            raise foreign from error
        if error is not None and not isinstance(error, HANDLERS_OWN):
            raise error
        self._told()

    def _cancellation(self) -> BaseException:
        return asyncio.CancelledError() if self._loop == "asyncio" else _trio_cancelled()

    def _wake(self, fiber: Fiber) -> None:
        self._stage.soon(lambda: self._step(fiber))

    def _step(self, fiber: Fiber) -> None:
        with self._stage.loop.guarding(self.skill.name):
            trap = fiber.step()
            is_ours = trap is ENDED or trap is None or isinstance(trap, VirtualEvent)
            if not is_ours:
                fiber.throws = foreign_await(self.skill.name, f"{type(trap).__name__} {trap!r}")
                refusal = fiber.throws
                fiber.step()  # so that the traceback shows where
                raise refusal
        if trap is ENDED:
            self._fibers.remove(fiber)
            fiber.ended.set()
            self._fiber_ended(fiber)
        elif trap is None:
            fiber.wake()  # it lets others go first
        else:
            self._await(fiber, trap)

    def _await(self, fiber: Fiber, event: VirtualEvent) -> None:
        fiber.waits_for = event
        event.join(fiber)
        if self.is_stopped and self._loop == "trio":
            fiber.cancel(self._cancellation())  # every checkpoint raises again there
        elif event.happened:
            fiber.wake()

    def _fiber_ended(self, fiber: Fiber) -> None:
        """A branch has ended; for subclasses."""


class CoroutineScript(Script):
    """The run of a coroutine handler."""

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Begins; the first step comes a little later."""
        self._main = self.spawn(coroutine)

    def adopt(self, coroutine: Coroutine[Any, Any, Any], trap: VirtualEvent) -> None:
        """Goes on with one that was begun elsewhere, and waits."""
        self._main = Fiber(coroutine, copy_context(), self._wake)
        self._fibers.append(self._main)
        self._await(self._main, trap)

    def _fiber_ended(self, fiber: Fiber) -> None:
        if fiber is self._main:
            self.end(fiber.value, fiber.error)


class ThreadScript(Script):
    """The run of a plain handler that takes a context."""

    def start(self, function: Callable[[], Any]) -> None:
        """Runs the function until it waits for something, or ends."""
        self._wanted: Coroutine[Any, Any, Any] | None = None
        self._main: Fiber | None = None
        self._abandoned = False
        self._to_thread = threading.Lock()
        self._to_world = threading.Lock()
        self._to_thread.acquire()
        self._to_world.acquire()
        run = copy_context().run
        self._thread = threading.Thread(
            target=lambda: run(self._run, function), name=self.skill.name, daemon=True
        )
        self._thread.start()
        self._let_it_run(first=True)

    def wait_in_thread(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Called in the thread: runs a coroutine in the world, and waits for it.

        Raises:
            Cancelled: the job was stopped meanwhile.
        """
        self._wanted = function()
        self.has_waited = True
        self._to_world.release()
        self._to_thread.acquire()
        if self._abandoned:
            raise Abandoned
        fiber = self._main
        assert fiber is not None, "the world ran what was wanted"
        if isinstance(fiber.error, Stopped):
            raise Cancelled("the job was stopped while it waited for a child")
        if fiber.error is not None:
            raise fiber.error
        value: T = fiber.value
        return value

    def poll(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Lets the world run for a moment, where this is the handler's own thread."""
        if threading.current_thread() is self._thread:
            has_waited = self.has_waited
            with contextlib.suppress(Cancelled):
                self.wait_in_thread(function)
            self.has_waited = has_waited

    def close(self) -> None:
        """Unwinds the thread, should it still wait."""
        super().close()
        if self._thread.is_alive():
            self._abandoned = True
            self._to_thread.release()
            self._thread.join(UNWINDING_S)

    def _cancellation(self) -> BaseException:
        return Stopped()

    def _run(self, function: Callable[[], Any]) -> None:
        self._result: tuple[Any, BaseException | None] = (None, None)
        try:
            self._result = (function(), None)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises ends its job
            self._result = (None, error)
        self._to_world.release()

    def _let_it_run(self, *, first: bool = False) -> None:
        if not first:
            self._to_thread.release()
        self._to_world.acquire()
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            self.end(*self._result)
        else:
            self._main = self.spawn(wanted)
            if self.is_stopped:
                self._main.cancel(self._cancellation())

    def _fiber_ended(self, fiber: Fiber) -> None:
        if fiber is self._main:
            self._let_it_run()


HANDLERS_OWN = (
    Exception, SystemExit, GeneratorExit, asyncio.CancelledError, trio.Cancelled, Stopped, Abandoned
)  # fmt: skip
"""What a handler may raise to end its attempt; anything else (Ctrl-C, a test's verdict) ends the
test."""


def _trio_cancelled() -> BaseException:
    """A genuine `trio.Cancelled`, which only trio can make."""
    caught: list[BaseException] = []

    async def cancelled() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as error:
                caught.append(error)
                raise

    trio.run(cancelled)
    return caught[0].with_traceback(None)
