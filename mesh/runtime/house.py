"""The house: the receiving side of all links from other peers.

One bound ROUTER that only receives. ZAP admits only keys that came through the
door, and each frame is attributed by the `User-Id` that ZAP gave its connection:
a frame whose sender has been shown out since then is dropped. A message of several
parts, which no honest peer sends, ends its connection; if it never comes to an end,
the steward sees to that.

The loop drains until nothing is left, hands over in batches, and lets other
tasks run after each batch.
"""

import contextlib
from collections.abc import Callable
from typing import Protocol

import msgspec
import trio
import zmq

from mesh.runtime.door import skip_rest
from mesh.runtime.sockets import Socket, Sockets, descriptor
from mesh.runtime.steward import Steward
from mesh.runtime.zap import HOUSE_DOMAIN, Guests
from protocols.wire import FRAME_LIMIT

SOCKET_MESSAGE_LIMIT = FRAME_LIMIT + 64
"""What the socket lets pass: a frame and CURVE's envelope around it."""
HIGH_WATER = 128
"""Frames that ZeroMQ holds of one sender; more wait in the sender's own queue."""
FRAMES_PER_TURN = 256
NOBLOCK = int(zmq.NOBLOCK)
SRCFD = int(zmq.SRCFD)
"""A frame's property: ZeroMQ's descriptor of the connection it came by."""


class Receiver(Protocol):
    """Where frames go: the driver."""

    def receive(self, peer: bytes, frame: bytes) -> None:
        """Takes one frame of an authenticated peer."""

    def flush(self) -> None:
        """A batch has ended: release what it caused."""


class HouseCounters(msgspec.Struct):
    """What came into the house since the start."""

    frames: int = 0
    bytes: int = 0
    dropped: int = 0
    """Frames of senders that are not admitted any more, or of a wrong shape."""
    ended: int = 0
    """Connections over which a message of several parts came, or one that did not end."""


class House:
    """Receives the frames of admitted peers."""

    def __init__(self, sockets: Sockets, guests: Guests, receiver: Receiver) -> None:
        self._counters = HouseCounters()
        self._sockets = sockets
        self._guests = guests
        self._receiver = receiver
        self._socket: Socket = sockets.server(HOUSE_DOMAIN, SOCKET_MESSAGE_LIMIT, HIGH_WATER)
        self._steward = Steward(sockets, self._socket, SOCKET_MESSAGE_LIMIT, self._rouse)
        self._port = 0

    def bind(self, host: str, port: int) -> int:
        """Listens, and returns the port.

        Raises:
            ConfigurationError: the port is taken, or the host is not this machine's.
        """
        self._port = self._sockets.bind(self._socket, "data", host, port)
        return self._port

    @property
    def counters(self) -> HouseCounters:
        """What came so far."""
        self._counters.ended = self._steward.ended
        return self._counters

    async def run(self) -> None:
        """Receives until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._steward.run, self._port)
            await self._receive_all()

    async def _receive_all(self) -> None:
        fd = descriptor(self._socket)
        while True:
            is_drained = await self._drain(self._socket.recv, self._guests.peer_of)
            self._receiver.flush()
            self._steward.batch_ended(is_drained)
            if is_drained:
                # A receive that found nothing has read the socket's events, and nothing
                # else uses the socket, so its descriptor tells of the next message.
                with contextlib.suppress(trio.ClosedResourceError):
                    await trio.lowlevel.wait_readable(fd)
            else:
                await trio.lowlevel.checkpoint()

    def _rouse(self) -> None:
        """Ends the wait for the descriptor, which stays open and is waited for again."""
        trio.lowlevel.notify_closing(descriptor(self._socket))

    async def _drain(
        self, recv: Callable[..., object], peer_of: Callable[[str], bytes | None]
    ) -> bool:
        """Takes a batch of frames; whether there were no more."""
        counters, receive, steward = self._counters, self._receiver.receive, self._steward
        for _ in range(FRAMES_PER_TURN):
            try:
                recv(NOBLOCK)
                frame = recv(NOBLOCK, copy=False)
            except zmq.Again:
                return True
            assert isinstance(frame, zmq.Frame), "recv without a copy gives a frame"
            steward.heard.add(frame.get(SRCFD))
            steward.taken += 1
            peer = peer_of(str(frame.get("User-Id")))
            if frame.more:
                # One that ended before the steward looked; its sender may not try again.
                await skip_rest(self._socket, frame)
                steward.end(frame.get(SRCFD))
                peer = None
            if peer is None:
                counters.dropped += 1
                continue
            data = frame.bytes
            counters.frames += 1
            counters.bytes += len(data)
            receive(peer, data)
        return False
