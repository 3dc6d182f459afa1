"""A client's connection for asyncio and trio: one task reads, pings and fails over."""

import contextlib
import time
from collections.abc import Callable

import anyio
import anyio.abc

from mesh.client import transport as limits
from mesh.client.core import ClientCore
from mesh.client.transport import (
    Addresses,
    greeting,
    in_order,
    must_leave,
    problem,
    raise_closed,
    spread,
    summary,
)
from mesh.local.codec import ProtocolError, Unpacker, for_local
from mesh.local.errors import ConnectionLost, MeshError, NoPeer, PeerFull
from mesh.local.messages import FromPeer, LocalMessage, Pong, Welcome


class AsyncTransport:
    """Keeps a core connected to some live peer, from within one event loop."""

    def __init__(self, core: ClientCore, addresses: Addresses) -> None:
        """Takes the core, and where peers may be; `connect` follows, then `run`."""
        self._core = core
        self._addresses = addresses
        self._stream: anyio.abc.SocketStream | None = None
        self._unpacker: Unpacker[FromPeer] = for_local()
        self._home = ""
        self._draining: set[str] = set()
        self._full_s = 0.0
        self._outgoing = anyio.Event()
        self._delayed = anyio.Event()
        self._heard = 0.0
        self._pinged = 0.0
        self._waiters: dict[anyio.Event, None] = {}
        self._error: MeshError | None = None
        self.welcome: Welcome | None = None

    async def connect(self) -> None:
        """Connects to the first live peer.

        Raises:
            NoPeer: none answers.
        """
        until = time.monotonic() + limits.FAIL_OVER_S
        while (problems := await self._try_all(avoid="")) is not None:
            if not self._full_s or time.monotonic() >= until:
                raise NoPeer(problems)
            await anyio.sleep(self._full_s)

    def flush(self) -> None:
        """What the core has to say is sent soon."""
        self._outgoing.set()

    async def wait(self, watch: Callable[[Callable[[], None]], bool]) -> None:
        """Waits until `watch` says so; it is given what to call when anything changes.

        Raises:
            NoPeer, ConnectionLost: it never will.
        """
        while True:
            changed = anyio.Event()
            if watch(changed.set):
                return
            if self._error is not None:
                raise self._error
            self._waiters[changed] = None
            try:
                await changed.wait()
            finally:
                del self._waiters[changed]

    async def run(self) -> None:
        """Reads and writes until cancelled; whoever waits is told when it must end."""
        try:
            while True:
                await self._serve()
                await self._find_home()
        except MeshError as error:
            self._error = error
        finally:
            if self._error is None:
                self._error = ConnectionLost("the client is closed")
            for waiter in self._waiters:
                waiter.set()
            await self._drop()

    async def _serve(self) -> None:
        """Serves one connection until it breaks or falls silent."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read, group.cancel_scope)
            group.start_soon(self._write, group.cancel_scope)
            group.start_soon(self._watch_silence, group.cancel_scope)

    async def _read(self, scope: anyio.CancelScope) -> None:
        assert self._stream is not None, "connected"
        try:
            while not must_leave(self._core, self._draining, self._home):
                data = await self._stream.receive(limits.RECEIVE_BYTES)
                self._heard, self._pinged = time.monotonic(), 0.0
                for message in self._unpacker.feed(data):
                    self._core.receive(message)
                self.flush()
                if self._core.due() is not None:
                    self._delayed.set()
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, ProtocolError):
            scope.cancel()
        scope.cancel()

    async def _write(self, scope: anyio.CancelScope) -> None:
        assert self._stream is not None, "connected"
        try:
            while True:
                await self._outgoing.wait()
                self._outgoing = anyio.Event()
                data = self._core.take_outgoing()
                if data:
                    await self._stream.send(data)
        except (OSError, anyio.BrokenResourceError):
            scope.cancel()

    async def _watch_silence(self, scope: anyio.CancelScope) -> None:
        while True:
            due = self._core.due()
            pause = limits.PING_S if due is None else due - time.monotonic()
            with anyio.move_on_after(min(limits.PING_S, max(limits.SHORTEST_WAIT_S, pause))):
                await self._delayed.wait()
                self._delayed = anyio.Event()
                continue
            now = time.monotonic()
            self._core.resubmit(now)
            if self._pinged and now - self._pinged >= limits.SILENCE_S:
                scope.cancel()
                return
            if not self._pinged and now - self._heard >= limits.PING_S:
                self._core.ping()
                self._pinged = now
            self.flush()

    async def _find_home(self) -> None:
        left = self._home
        await self._drop()
        until = time.monotonic() + limits.FAIL_OVER_S
        while True:
            problems = await self._try_all(avoid=left)
            if problems is None:
                return
            if time.monotonic() >= until:
                raise NoPeer(problems)
            left = ""
            await anyio.sleep(limits.PAUSE_S)

    async def _try_all(self, avoid: str) -> str | None:
        problems = []
        self._full_s = 0.0
        for address in in_order(self._addresses(), avoid, self._draining):
            try:
                with anyio.fail_after(limits.CONNECT_S):
                    await self._try(address)
            except (OSError, anyio.BrokenResourceError, ProtocolError) as error:
                problems.append(problem(address, error))
                if isinstance(error, PeerFull):
                    self._full_s = spread(error.retry_after)
            else:
                return None
        return summary(problems)

    async def _try(self, address: str) -> None:
        stream = await anyio.connect_unix(address)
        unpacker = for_local()
        messages: list[LocalMessage] = []
        try:
            with contextlib.suppress(anyio.BrokenResourceError):  # a full peer has said so
                await stream.send(greeting())
            while not any(isinstance(message, Pong) for message in messages):
                try:
                    messages += unpacker.feed(await stream.receive(limits.RECEIVE_BYTES))
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    # Which of the two a peer's death is depends on what it left unread.
                    raise_closed(messages)
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise
        self._stream, self._unpacker, self._home = stream, unpacker, address
        self._heard, self._pinged = time.monotonic(), 0.0
        self.welcome = next((m for m in messages if isinstance(m, Welcome)), None)
        self._core.connected()
        self.flush()

    async def _drop(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            await anyio.aclose_forcefully(stream)
        self._core.disconnected()
