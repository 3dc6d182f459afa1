"""Keeps the door clear: ends connections that stay too long or say too much.

Whoever knows a peer's CURVE key may connect to its door, and may begin a message
that never ends (see `taps`). A hello takes milliseconds and a few kilobytes, so
a connection that goes on is ended.
"""

import trio

from mesh.runtime.sockets import Socket, Sockets
from mesh.runtime.taps import Visits

CONNECTIONS_LIMIT = 128
"""Connections at the door at a time; the oldest makes room."""
LIFETIME_S = 10.0
BYTES_LIMIT = 128 * 1024
LOOK_EVERY_S = 0.1


class Doorman:
    """Watches the connections of one bound socket.

    Attributes:
        ended: connections that were ended.
    """

    def __init__(self, sockets: Sockets, watched: Socket, lifetime_s: float = LIFETIME_S) -> None:
        """Watches from now on; made before the socket is bound."""
        self.ended = 0
        self._visits = Visits(sockets, watched)
        self._lifetime_s = lifetime_s
        self._since: dict[int, float] = {}
        self._somebody = trio.Event()

    async def run(self, port: int) -> None:
        """Watches the connections to this port until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_around)
                while True:
                    number, has_come = await self._visits.next(port)
                    self._since.pop(number, None)
                    if has_come:
                        self._since[number] = trio.current_time()
                        if len(self._since) > CONNECTIONS_LIMIT:
                            self._end(next(iter(self._since)))
                        self._somebody.set()
        finally:
            self._visits.close()

    async def _look_around(self) -> None:
        while True:
            await self._somebody.wait()
            await trio.sleep(LOOK_EVERY_S)
            now = trio.current_time()
            for number, since in list(self._since.items()):
                said = self._visits.taps[number].received()
                if now - since > self._lifetime_s or said > BYTES_LIMIT:
                    self._end(number)
            if not self._since:
                self._somebody = trio.Event()

    def _end(self, number: int) -> None:
        self.ended += 1
        del self._since[number]
        self._visits.end(number)
