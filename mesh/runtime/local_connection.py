"""One connection of a client or worker: bytes in batches, writes coalesced, buffers bounded.

Nothing here waits for the other side. What it does not read piles up to a
limit, and then it is disconnected: a slow client costs the peer a buffer.
"""

import itertools
import socket
from collections.abc import Callable
from typing import Protocol

import trio

from mesh.local.codec import ProtocolError, pack
from mesh.local.messages import EventSeen, LocalMessage, Refused

RECEIVE_BYTES = 1 << 18
OUTGOING_LIMIT = 64 * 1024 * 1024
"""Unsent bytes at which a connection is closed."""


class Link(Protocol):
    """Where answers go: a connection, or a handler inside this process."""

    closed: bool
    unanswered: int
    """Submissions that wait for an answer."""
    tasks: dict[str, None]
    """Tasks whose ends it is told."""

    @property
    def submitter(self) -> str:
        """Whose lane its tasks wait in, where they name no principal."""

    def send(self, message: LocalMessage) -> None:
        """Sends a message, some time soon."""


_numbers = itertools.count(1)


class InsideLink:
    """The link of handlers inside this process."""

    def __init__(self, receive: Callable[[LocalMessage], None]) -> None:
        self.closed = False
        self.unanswered = 0
        self.tasks: dict[str, None] = {}
        self.submitter = "handlers"
        self._receive = receive

    def send(self, message: LocalMessage) -> None:
        """Hands the message over at once."""
        self._receive(message)


class Flusher:
    """Sends what all connections gathered in a turn of the loop and the next, once for each.

    A task that runs inside this process, at once, ends in the next turn: its acceptance and
    its result then leave together, and wake its client once.
    """

    def __init__(self) -> None:
        self._dirty: list[LocalConnection] = []
        self._wanted = trio.Event()

    def mark(self, connection: "LocalConnection") -> None:
        """A connection has something to send."""
        self._dirty.append(connection)
        self._wanted.set()

    async def run(self) -> None:
        """Flushes for ever."""
        while True:
            await self._wanted.wait()
            await trio.lowlevel.checkpoint()
            self._wanted = trio.Event()
            dirty, self._dirty = self._dirty, []
            for connection in dirty:
                connection.flush()


class LocalConnection:
    """A connected socket, non-blocking, with an outgoing buffer."""

    def __init__(
        self, sock: socket.socket, flusher: Flusher, outgoing_limit: int = OUTGOING_LIMIT
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._flusher = flusher
        self._limit = outgoing_limit
        self._outgoing = bytearray()
        self._marked = False
        self._blocked = trio.Event()
        self.closed = False
        self._number = next(_numbers)
        # What the server knows of the other side.
        self.pack: Callable[[LocalMessage], bytes] = pack
        self.waits_at_end = False
        """It may say that it has no more to say, and still be told what it asked."""
        self._asked: dict[int, None] = {}
        self._told = trio.Event()
        self.role = ""
        self.name = ""
        self.pid = 0
        self.unanswered = 0
        self.tasks: dict[str, None] = {}

    @property
    def submitter(self) -> str:
        """All connections of one process share a lane."""
        return f"process {self.pid}" if self.pid else f"connection {self._number}"

    def asked(self, request: int) -> None:
        """It waits for an answer to this request."""
        if self.waits_at_end:
            self._asked[request] = None

    def send(self, message: LocalMessage) -> None:
        """Sends a message in this turn of the loop; dropped when the connection is closed."""
        if self.closed:
            return
        if self.waits_at_end:
            if not isinstance(message, EventSeen):
                self._asked.pop(getattr(message, "request", 0), None)
            self._told.set()
        try:
            self._outgoing += self.pack(message)
        except ProtocolError as error:
            # Whoever asked is told; nobody else may notice, least of all the peer.
            request = getattr(message, "request", 0)
            refusal = Refused(request=request, kind="TooLarge", message=str(error))
            self._outgoing += self.pack(refusal)
        if len(self._outgoing) > self._limit:
            self.close()
        elif not self._marked:
            self._marked = True
            self._flusher.mark(self)

    def flush(self) -> None:
        """Hands the buffer to the socket, as far as it takes it."""
        self._marked = False
        if self.closed or not self._outgoing:
            return
        try:
            sent = self._sock.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._outgoing[:sent]
        if self._outgoing:
            self._blocked.set()

    def close(self) -> None:
        """Closes the connection; its tasks end."""
        if self.closed:
            return
        self.closed = True
        self._blocked.set()
        self._told.set()
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    async def serve(self, received: Callable[[bytes], None]) -> None:
        """Reads until the other side closes, handing over whatever each read gives."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_when_blocked)
            await self._read(received)
            if self.waits_at_end and self.role == "client":
                await self._tell_the_rest()
            self.flush()
            self.close()

    async def _read(self, received: Callable[[bytes], None]) -> None:
        while not self.closed:
            try:
                await trio.lowlevel.wait_readable(self._sock)
                data = self._sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                return
            if not data:
                return
            received(data)

    async def _tell_the_rest(self) -> None:
        """Goes on until all that was asked is answered, and all tasks have ended."""
        while not self.closed and (self._asked or self.tasks):
            self._told = trio.Event()
            await self._told.wait()

    async def _write_when_blocked(self) -> None:
        while True:
            await self._blocked.wait()
            self._blocked = trio.Event()
            if self._sock.fileno() < 0:
                return  # closed
            try:
                await trio.lowlevel.wait_writable(self._sock)
            except (OSError, trio.ClosedResourceError):
                return
            self.flush()
