"""Keeps the house from filling with messages that never end (see `taps`).

Admitted peers stay connected and may say a lot, so what counts is what a
connection has brought *since the last message of it that was whole*. No frame is
longer than the socket lets pass; whoever brings twice as much, and the house has
meanwhile taken every whole message that there was, is in the middle of one that
no honest peer sends. Its connection is ended, and ZeroMQ drops what it held.

A look measures; who is in doubt is judged by that measure once the house has run
dry after it, and if it heard nothing whole from there. So a peer that was slow to
read, or stopped for a while, ends nobody's connection for it.
"""

from collections.abc import Callable

import msgspec
import trio

from mesh.runtime.sockets import Socket, Sockets
from mesh.runtime.taps import Tap, Visits

UNFINISHED_TOTAL_LIMIT = 64 * 1024 * 1024
"""Bytes of unfinished messages over all connections; the largest goes first."""
LOOK_EVERY_S = 0.2


class _Account(msgspec.Struct):
    """One connection's bytes.

    Attributes:
        whole: bytes taken by the time its last whole message was heard, at least.
        pending: bytes taken since then, at the last look.
    """

    whole: int = 0
    pending: int = 0


class Steward:
    """Watches the connections of one bound socket.

    Attributes:
        ended: connections that were ended.
        heard: ZeroMQ's descriptors of connections that whole messages came from
            since the last look; the house adds to it, nobody goes through it.
        taken: whole messages that the house took.
    """

    def __init__(
        self, sockets: Sockets, watched: Socket, frame_limit: int, rouse: Callable[[], None]
    ) -> None:
        """Watches from now on; made before the socket is bound.

        Args:
            sockets: where the monitor's socket is made.
            watched: the bound socket.
            frame_limit: the longest part that the socket lets pass.
            rouse: makes the house look for messages, and say so if there is none.
        """
        self.ended = 0
        self.heard: set[object] = set()
        self.taken = 0
        self._limit = 2 * frame_limit
        self._rouse = rouse
        self._visits = Visits(sockets, watched)
        self._accounts: dict[int, _Account] = {}
        self._somebody = trio.Event()
        self._all_heard = trio.Event()
        self._taken_before = 0

    def batch_ended(self, is_dry: bool) -> None:
        """The house has taken some messages, and `heard` says whose.

        All that were whole before a measure have been heard once the house ran dry
        after it, or took more messages than there are connections: ZeroMQ serves these
        in turn, so one of each has been among them.

        Args:
            is_dry: whether there were no more.
        """
        if is_dry or self.taken - self._taken_before > len(self._accounts):
            self._all_heard.set()

    def end(self, number: object) -> None:
        """Ends a connection that said what no honest peer says, if it is still there.

        Args:
            number: ZeroMQ's descriptor of it. Had it been given to a newcomer meanwhile,
                that one would have to dial again.
        """
        if isinstance(number, int) and self._accounts.pop(number, None) is not None:
            self.ended += 1
            self._visits.end(number)

    async def run(self, port: int) -> None:
        """Watches the connections to this port until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._look_around)
                while True:
                    number, has_come = await self._visits.next(port)
                    self._accounts.pop(number, None)
                    if has_come:
                        self._accounts[number] = _Account()
                        self._somebody.set()
        finally:
            self._visits.close()

    async def _look_around(self) -> None:
        while True:
            await self._somebody.wait()
            await trio.sleep(LOOK_EVERY_S)
            if self._measure():
                await self._until_all_whole_ones_are_heard()
                self._judge()
            if not self._accounts:
                self._somebody = trio.Event()

    def _measure(self) -> bool:
        """Notes what is pending; whether that gives rise to doubt."""
        for number, account in self._accounts.items():
            taken = self._taken(self._visits.taps[number], account)
            if number in self.heard:
                account.whole = taken
            account.pending = taken - account.whole
        self.heard.clear()
        pending = [account.pending for account in self._accounts.values()]
        return max(pending, default=0) > self._limit or sum(pending) > UNFINISHED_TOTAL_LIMIT

    async def _until_all_whole_ones_are_heard(self) -> None:
        self._taken_before, self._all_heard = self.taken, trio.Event()
        self._rouse()
        await self._all_heard.wait()

    def _judge(self) -> None:
        """Ends who is in the middle of too much, by the last measure."""
        unfinished = [
            (account.pending, number)
            for number, account in self._accounts.items()
            if number not in self.heard
        ]
        total = sum(pending for pending, _ in unfinished)
        for pending, number in sorted(unfinished, reverse=True):
            if pending <= self._limit and total <= UNFINISHED_TOTAL_LIMIT:
                break
            total -= pending
            self.end(number)

    def _taken(self, tap: Tap, account: _Account) -> int:
        """Bytes that ZeroMQ took, or a little more where that does not matter."""
        received = tap.received()
        if received - account.whole <= self._limit:
            return received
        return tap.taken()
