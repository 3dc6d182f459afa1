"""The event loop of a worker: asyncio's or trio's, run in the main thread when first needed."""

import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from mesh.agent.agent import Loop

T = TypeVar("T")


class LoopHost:
    """Runs the loop, and takes calls for it from other threads."""

    def __init__(self, backend: Loop) -> None:
        self._backend = backend
        self._wanted = threading.Event()
        self._ready = threading.Event()
        self._call_threadsafe: Callable[..., object] = _not_running
        self._spawn: Callable[..., Callable[[], object]] = _not_running
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._poked = False
        self._arrived: Any = None

    def run(self) -> None:
        """Blocks for ever: waits until the loop is wanted, then runs it."""
        self._wanted.wait()
        import anyio  # costs a worker without coroutines nothing

        anyio.run(self._main, backend=self._backend)

    def want(self) -> None:
        """Makes sure that the loop runs; returns when it does."""
        if not self._ready.is_set():
            self._wanted.set()
            self._ready.wait()

    def post(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Calls a plain function on the loop, in order, from any thread."""
        self._calls.append((function, arguments))
        if not self._poked:
            self._poked = True
            self._call_threadsafe(self._poke)

    def spawn(
        self, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any
    ) -> Callable[[], object]:
        """Starts a task, on the loop's thread only; returns what cancels it."""
        return self._spawn(function, *arguments)

    def call(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine on the loop, from another thread, and returns its value."""
        self.want()
        future: Future[T] = Future()

        async def run() -> None:
            try:
                future.set_result(await function())
            except Exception as error:  # noqa: BLE001  # raised again in the thread that waits
                future.set_exception(error)

        self.post(self.spawn, run)
        return future.result()

    async def _main(self) -> None:
        if self._backend == "asyncio":
            await self._run_asyncio()
        else:
            await self._run_trio()

    async def _run_asyncio(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = set()

        def spawn(function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
            # Plainly, not in a task group: a third of the cost, and a handler is
            # cancelled as asyncio's own tasks are.
            task = loop.create_task(function(*arguments))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            return task.cancel

        self._call_threadsafe = loop.call_soon_threadsafe
        self._spawn = spawn
        await self._serve_calls()

    async def _run_trio(self) -> None:
        import trio

        async with trio.open_nursery() as nursery:

            def spawn(function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
                scope = trio.CancelScope()
                nursery.start_soon(scoped, scope, function, arguments)
                return scope.cancel

            async def scoped(
                scope: trio.CancelScope,
                function: Callable[..., Coroutine[Any, Any, Any]],
                arguments: tuple[Any, ...],
            ) -> None:
                with scope:
                    await function(*arguments)

            self._call_threadsafe = trio.lowlevel.current_trio_token().run_sync_soon
            self._spawn = spawn
            await self._serve_calls()

    async def _serve_calls(self) -> None:
        import anyio

        self._arrived = anyio.Event()
        self._ready.set()
        # Calls run in a task, for anyio does not work in a bare callback.
        while True:
            await self._arrived.wait()
            self._arrived = anyio.Event()
            self._poked = False
            while self._calls:
                function, arguments = self._calls.popleft()
                function(*arguments)

    def _poke(self) -> None:
        self._arrived.set()


def _not_running(*arguments: Any) -> Any:
    raise RuntimeError("the loop of this worker does not run yet")
