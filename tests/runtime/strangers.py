"""Those who knock without being neighbours: raw sockets with CURVE keys of their own."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import zmq

from mesh.runtime.door import Answer, Hello, decode_answer
from mesh.runtime.monitor import LinkEvent, Monitor
from mesh.runtime.sockets import Address, CurveKeys, Socket, Sockets, events, until_readable
from protocols.wire import encode
from tests.runtime.transport_rig import PATIENCE_S, Neighbour

LIMIT = 4 * 1024 * 1024
PART_BYTES = 256 * 1024


def bent(credential: bytes) -> bytes:
    """The same with one bit of its last signature changed."""
    return credential[:-1] + bytes([credential[-1] ^ 1])


class Stranger:
    """One connection to one of a peer's ports."""

    def __init__(self, sockets: Sockets, server_key: bytes, address: str) -> None:
        self.socket: Socket = sockets.client(server_key, LIMIT, 1000)
        self._monitor = Monitor(sockets, self.socket)
        sockets.connect(self.socket, Address.parse(address))

    def close(self) -> None:
        """Stops watching the connection; who made its sockets ends them."""
        self._monitor.close()

    async def handshake(self) -> LinkEvent:
        """How the CURVE handshake ended."""
        with trio.fail_after(PATIENCE_S):
            return await self._monitor.next()

    async def next_event(self) -> LinkEvent:
        """What happened next to the connection."""
        return await self.handshake()

    def send(self, *parts: bytes) -> None:
        """Sends one message of so many parts."""
        self.socket.send_multipart(parts, zmq.NOBLOCK)

    def send_until_cut_off(self, *parts: bytes) -> None:
        """Sends one message of so many parts, or as many as go before the peer closes."""
        with contextlib.suppress(zmq.Again):
            self.send(*parts)

    def begin_without_end(self, size: int) -> None:
        """Sends one message of so many bytes, in parts that are all the same memory.

        libzmq sends nothing before it has the last part, so there is one; to whoever
        does not get as far, it makes no difference.
        """
        part = bytes(PART_BYTES)
        for _ in range(size // PART_BYTES):
            self.socket.send(part, zmq.SNDMORE, copy=False)
        self.socket.send(b"")

    def has_room(self) -> bool:
        """Whether a message can be sent now."""
        return bool(events(self.socket) & int(zmq.POLLOUT))

    async def answer(self) -> Answer:
        """The next thing that the other side says."""
        with trio.fail_after(PATIENCE_S):
            await until_readable(self.socket)
        return decode_answer(self.socket.recv(zmq.NOBLOCK))

    async def is_left_unanswered(self, within_s: float = 0.1) -> bool:
        """Whether nothing is said for a while."""
        with trio.move_on_after(within_s):
            await until_readable(self.socket)
            return False
        return True


@asynccontextmanager
async def stranger(
    keys: CurveKeys, server: Neighbour, address: str = ""
) -> AsyncIterator[Stranger]:
    """A connection to a peer's door, or to another address of it."""
    sockets = Sockets(keys)
    try:
        one = Stranger(sockets, server.keys.public, address or server.door)
        with contextlib.closing(one):
            yield one
    finally:
        await sockets.terminate()


@asynccontextmanager
async def knocker(keys: CurveKeys, server: Neighbour) -> AsyncIterator[Stranger]:
    """A connection to a peer's door that can be spoken over."""
    async with stranger(keys, server) as one:
        assert await one.handshake() is LinkEvent.READY
        yield one


def hello(credential: bytes, oldest: int = 1, newest: int = 1) -> bytes:
    """What is said at a door."""
    return encode(Hello(oldest, newest, (), credential))
