"""Keeps the door clear: ends connections that stay too long or say too much.

Whoever knows a peer's CURVE key may connect to its door, and ZeroMQ bounds the
size of a message's parts but not their number: a message that never ends would
grow until memory does. A hello takes milliseconds and a few kilobytes, so a
connection that goes on is ended by shutting down its TCP socket, upon which
ZeroMQ forgets it and what it held.

The doorman learns of connections from the socket's monitor, and holds a
duplicate of each descriptor, so that it never shuts down another connection that
was given the same number meanwhile.
"""

import contextlib
import os
import socket as os_socket
import struct
import sys

import trio
import zmq
from zmq.utils.monitor import parse_monitor_message

from mesh.runtime.sockets import Socket, Sockets, until_readable

CONNECTIONS_LIMIT = 128
"""Connections at the door at a time; the oldest makes room."""
LIFETIME_S = 10.0
BYTES_LIMIT = 128 * 1024
LOOK_EVERY_S = 0.1
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_RECEIVED_AT = 128
"""Where Linux's `struct tcp_info` holds `tcpi_bytes_received`."""


class Doorman:
    """Watches the connections of one bound socket.

    Attributes:
        ended: connections that were ended.
    """

    def __init__(self, sockets: Sockets, watched: Socket, lifetime_s: float = LIFETIME_S) -> None:
        """Watches from now on; made before the socket is bound."""
        self.ended = 0
        self._sockets = sockets
        self._watched = watched
        self._events = sockets.monitor(watched, _EVENTS)
        self._lifetime_s = lifetime_s
        self._port = 0
        self._visitors: dict[int, tuple[os_socket.socket, float]] = {}
        self._somebody = trio.Event()

    async def run(self, port: int) -> None:
        """Watches the connections to this port until cancelled."""
        self._port = port
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_around)
                while True:
                    await until_readable(self._events)
                    message = parse_monitor_message(self._events.recv_multipart(zmq.NOBLOCK))
                    self._forget(message["value"])
                    if message["event"] == zmq.EVENT_ACCEPTED:
                        self._remember(message["value"])
        finally:
            for number in list(self._visitors):
                self._forget(number)

    async def _look_around(self) -> None:
        while True:
            await self._somebody.wait()
            await trio.sleep(LOOK_EVERY_S)
            now = trio.current_time()
            for number, (visitor, since) in list(self._visitors.items()):
                if now - since > self._lifetime_s or _bytes_received(visitor) > BYTES_LIMIT:
                    self._end(number)
            if not self._visitors:
                self._somebody = trio.Event()

    def _remember(self, number: int) -> None:
        try:
            visitor = os_socket.socket(fileno=os.dup(number))
        except OSError:
            return  # it has left already
        try:
            is_ours = visitor.getsockname()[1] == self._port
        except (OSError, IndexError, TypeError):
            is_ours = False
        if not is_ours:
            visitor.close()
            return
        if len(self._visitors) >= CONNECTIONS_LIMIT:
            self._end(next(iter(self._visitors)))
        self._visitors[number] = (visitor, trio.current_time())
        self._somebody.set()

    def _forget(self, number: int) -> None:
        visitor = self._visitors.pop(number, None)
        if visitor is not None:
            visitor[0].close()

    def _end(self, number: int) -> None:
        self.ended += 1
        with contextlib.suppress(OSError):
            self._visitors[number][0].shutdown(os_socket.SHUT_RDWR)
        self._forget(number)


def _bytes_received(visitor: os_socket.socket) -> int:
    """Bytes that came over a connection so far; 0 where the system does not tell."""
    if sys.platform != "linux":
        return 0
    try:
        info = visitor.getsockopt(os_socket.IPPROTO_TCP, os_socket.TCP_INFO, _RECEIVED_AT + 8)
        (received,) = struct.unpack_from("Q", info, _RECEIVED_AT)
    except (OSError, struct.error):
        return 0
    return int(received)
