"""What happens to an outgoing connection, told by ZeroMQ's socket monitor.

Seen with libzmq 4.3.5 and no automatic reconnection:

==========================  =======================================
what happened               events
==========================  =======================================
refused, or timed out       CLOSED (never CONNECTED)
a full CURVE handshake      CONNECTED, HANDSHAKE_SUCCEEDED
ZAP said no                 CONNECTED, HANDSHAKE_FAILED_AUTH, DISCONNECTED
wrong server key, or mute   CONNECTED, HANDSHAKE_FAILED_NO_DETAIL, DISCONNECTED
the process was killed      DISCONNECTED at once
the process was stopped     DISCONNECTED when a heartbeat went unanswered
==========================  =======================================
"""

import contextlib
import enum

import zmq
from zmq.utils.monitor import parse_monitor_message

from mesh.runtime.sockets import Socket, Sockets, until_readable
from mesh.runtime.taps import Tap

_EVENTS = (
    zmq.EVENT_CONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class LinkEvent(enum.Enum):
    """One turn in the life of a connection."""

    READY = "the handshake is complete"
    DENIED = "the other side does not admit this key"
    UNCONNECTED = "no connection came about"
    LOST = "the connection broke"


_MEANING = {
    int(zmq.EVENT_HANDSHAKE_SUCCEEDED): LinkEvent.READY,
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): LinkEvent.DENIED,
    int(zmq.EVENT_CLOSED): LinkEvent.UNCONNECTED,
    int(zmq.EVENT_DISCONNECTED): LinkEvent.LOST,
}


class Monitor:
    """Watches one socket; made before it connects, closed before the socket is.

    Attributes:
        tap: the TCP connection, once there is one.
    """

    def __init__(self, sockets: Sockets, watched: Socket) -> None:
        self.tap: Tap | None = None
        self._sockets = sockets
        self._watched = watched
        self._events = sockets.monitor(watched, _EVENTS)

    async def next(self) -> LinkEvent:
        """Waits for the next event."""
        while True:
            await until_readable(self._events)
            message = parse_monitor_message(self._events.recv_multipart(zmq.NOBLOCK))
            if message["event"] == zmq.EVENT_CONNECTED:
                self._connected(int(message["value"]))
            meaning = _MEANING.get(int(message["event"]))
            if meaning is not None:
                return meaning

    def close(self) -> None:
        """Stops watching."""
        if self.tap is not None:
            self.tap.close()
        self._watched.disable_monitor()
        self._sockets.close(self._events)

    def _connected(self, number: int) -> None:
        assert self.tap is None, "a socket connects once"
        with contextlib.suppress(OSError):  # broken already, and told with the next event
            self.tap = Tap(number)
