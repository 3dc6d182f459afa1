"""The event loop of a worker: asyncio's or trio's, run in the main thread when first needed."""

import threading
from collections.abc import Awaitable, Callable, Coroutine
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
        self._post: Callable[..., object] = _not_running
        self._start_soon: Callable[..., object] = _not_running

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
        self._post(function, *arguments)

    def spawn(self, function: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        """Starts a task; on the loop's thread only."""
        self._start_soon(function, *arguments)

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
        import anyio

        if self._backend == "asyncio":
            import asyncio

            self._post = asyncio.get_running_loop().call_soon_threadsafe
        else:
            import trio

            token = trio.lowlevel.current_trio_token()
            self._post = token.run_sync_soon
        async with anyio.create_task_group() as group:
            self._start_soon = group.start_soon
            self._ready.set()
            await anyio.sleep_forever()


def _not_running(*arguments: Any) -> None:
    raise RuntimeError("the loop of this worker does not run yet")
