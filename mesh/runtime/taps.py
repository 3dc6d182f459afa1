"""Taps: how much came over a TCP connection that ZeroMQ holds, and a way to end it.

ZeroMQ bounds the size of a message's parts but not their number, and keeps every
part until the last one has come: a message that never ends grows until memory
does. No option of a socket ends it. But the kernel counts the bytes of each
connection, and a connection that is shut down makes ZeroMQ forget it, with
whatever it held of an unfinished message.

A tap holds a duplicate of the connection's descriptor, so that it never shuts
down another connection that was given the same number meanwhile. The bytes are
known on Linux; elsewhere a tap says 0, and limits in bytes do not hold.
"""

import contextlib
import fcntl
import os
import socket as os_socket
import struct
import sys
import termios

import zmq
from zmq.utils.monitor import parse_monitor_message

from mesh.runtime.sockets import Socket, Sockets, until_readable

_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_RECEIVED_AT = 128
"""Where Linux's `struct tcp_info` holds `tcpi_bytes_received`."""


class Tap:
    """One connection, by a descriptor of its own."""

    def __init__(self, number: int) -> None:
        """Takes the descriptor that ZeroMQ uses, and duplicates it.

        Raises:
            OSError: it is closed already, is no connection any more, or this process has
                no descriptor left.
        """
        duplicate = os.dup(number)
        try:
            self._socket = os_socket.socket(fileno=duplicate)
        except OSError:
            # By now the number may be a file's.
            os.close(duplicate)
            raise

    def port(self, *, remote: bool = False) -> int:
        """The port on this side, or on the other one; 0 where there is none any more."""
        name = self._socket.getpeername if remote else self._socket.getsockname
        try:
            return int(name()[1])
        except (OSError, IndexError, TypeError, ValueError):
            return 0

    def received(self) -> int:
        """Bytes that came in so far; 0 where the system does not tell."""
        if sys.platform != "linux":
            return 0
        try:
            info = self._socket.getsockopt(
                os_socket.IPPROTO_TCP, os_socket.TCP_INFO, _RECEIVED_AT + 8
            )
            (received,) = struct.unpack_from("Q", info, _RECEIVED_AT)
        except (OSError, struct.error):
            return 0
        return int(received)

    def taken(self) -> int:
        """Of the bytes that came in, those that ZeroMQ has read; never more than it has."""
        received = self.received()
        return 0 if received == 0 else max(0, received - self._waiting())

    def end(self) -> None:
        """Shuts the connection down; ZeroMQ and the other side see it as broken."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(os_socket.SHUT_RDWR)

    def close(self) -> None:
        """Gives the descriptor back; the connection goes on."""
        self._socket.close()

    def _waiting(self) -> int:
        """Bytes in the kernel's buffer. Read after `received`, so that the difference is safe."""
        try:
            answer = fcntl.ioctl(self._socket, termios.FIONREAD, bytes(4))
        except OSError:
            return 0
        (waiting,) = struct.unpack("i", answer)
        return int(waiting)


class Visits:
    """Taps on all connections to one bound socket.

    Attributes:
        taps: by the number of ZeroMQ's descriptor, oldest first.
    """

    def __init__(self, sockets: Sockets, watched: Socket) -> None:
        """Watches from now on; made before the socket is bound."""
        self.taps: dict[int, Tap] = {}
        self._events = sockets.monitor(watched, _EVENTS)

    async def next(self, port: int) -> tuple[int, bool]:
        """Waits until a connection came or went: its descriptor, and whether it has a tap now.

        Args:
            port: what the socket is bound to; other descriptors get no tap.
        """
        await until_readable(self._events)
        message = parse_monitor_message(self._events.recv_multipart(zmq.NOBLOCK))
        number = int(message["value"])
        self.forget(number)
        if message["event"] != zmq.EVENT_ACCEPTED:
            return number, False
        return number, self._remember(number, port)

    def end(self, number: int) -> None:
        """Ends a connection, and forgets it."""
        self.taps[number].end()
        self.forget(number)

    def forget(self, number: int) -> None:
        """Does not watch a connection any more."""
        tap = self.taps.pop(number, None)
        if tap is not None:
            tap.close()

    def close(self) -> None:
        """Forgets all of them."""
        for number in list(self.taps):
            self.forget(number)

    def _remember(self, number: int, port: int) -> bool:
        try:
            tap = Tap(number)
        except OSError:
            return False  # it has left already
        if tap.port() != port:
            tap.close()
            return False
        self.taps[number] = tap
        return True
