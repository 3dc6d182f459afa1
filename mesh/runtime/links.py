"""Outgoing links: one connection to each peer that there is something to say to.

    idle --transmit--> dialling --handshake--> up --quiet for a while--> idle
                          |  ^                  |
                    failed|  |backoff           |broke: tell the core, dial once at once
                          v  |                  v
                         resting             dialling

A link opens with its first message. While it is not up, messages wait in a
bounded queue in which the oldest make room; sending is at most once, and every
protocol repeats what matters. Each connection has a fresh random epoch, and
frames are made at the moment they are sent, so that a frame never carries the
epoch of a connection that broke.

What the core hears: `LinkOpened` once the handshake is complete, `LinkClosed`
when a connection broke, and `LinkClosed(refused=True)` when nobody listens at
the peer's door any more.
"""

import random
from collections import deque
from collections.abc import Callable

import msgspec
import trio
import zmq

from mesh.core.commands import LinkClosed, LinkOpened
from mesh.core.framing import FrameWriter
from mesh.runtime.dialling import Connection, DialFailed, Dialler, Failure
from mesh.runtime.monitor import LinkEvent
from mesh.runtime.sockets import descriptor
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant, Now

QUEUE_MESSAGES_LIMIT = 4096
QUEUE_BYTES_LIMIT = 8 * 1024 * 1024
STALE_AFTER_NS = 5 * SECOND_NS
"""What waited longer is dropped: whoever sent it has sent it again by now."""
IDLE_AFTER_NS = 60 * SECOND_NS
LINKS_LIMIT = 4096
DIALS_AT_A_TIME = 16
BACKOFF_FIRST_NS = 50 * MILLISECOND_NS
BACKOFF_LIMIT_NS = 2 * SECOND_NS
FULL_RETRY_S = 0.005
"""How long a full socket is left alone when it does not say itself that it has room."""
FRAMES_PER_TURN = 64
BYTES_PER_TURN = 512 * 1024
STOP_LINGER_MS = 500
EPOCH_BITS = 62
NOBLOCK = int(zmq.NOBLOCK)


class LinkCounters(msgspec.Struct):
    """What happened on all links since the start."""

    opened: int = 0
    broken: int = 0
    refused: int = 0
    failed: int = 0
    """Attempts to dial that came to nothing, refused ones included."""
    frames: int = 0
    bytes: int = 0
    dropped: int = 0
    """Messages that were pushed out of a full queue, or grew stale in it."""


class Outbox:
    """Messages that wait for a link, oldest first; bounded in number and bytes."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Instant, bytes]] = deque()
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, messages: tuple[bytes, ...], now: Instant) -> int:
        """Queues messages; returns how many old ones had to go."""
        dropped = 0
        for message in messages:
            self._waiting.append((now, message))
            self._bytes += len(message)
        while len(self._waiting) > QUEUE_MESSAGES_LIMIT or self._bytes > QUEUE_BYTES_LIMIT:
            self._pop()
            dropped += 1
        return dropped

    def drop_stale(self, now: Instant) -> int:
        """Drops what has waited too long; returns how many."""
        dropped = 0
        while self._waiting and now - self._waiting[0][0] > STALE_AFTER_NS:
            self._pop()
            dropped += 1
        return dropped

    def take(self) -> list[bytes]:
        """The oldest messages, about as many as fit a frame."""
        taken: list[bytes] = []
        size = 0
        while self._waiting and size < BYTES_PER_TURN:
            message = self._pop()
            size += len(message)
            taken.append(message)
        return taken

    def _pop(self) -> bytes:
        _, message = self._waiting.popleft()
        self._bytes -= len(message)
        return message


class Link:
    """What is kept for one peer while there is a link, or the wish for one."""

    def __init__(self, peer: bytes) -> None:
        self.peer = peer
        self.outbox = Outbox()
        self.frames: deque[bytes] = deque()
        """Frames of the present connection that found the socket full."""
        self.connection: Connection | None = None
        self.writer: FrameWriter | None = None
        self.shown = b""
        """The credential with which the other's door was asked last."""
        self.used_at: Instant = 0
        self.last_failure = ""
        self.has_backlog = trio.Event()
        self.scope = trio.CancelScope()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits."""
        return not self.outbox and not self.frames


class Links:
    """All outgoing links of one peer."""

    def __init__(
        self,
        dialler: Dialler,
        submit: Callable[[msgspec.Struct], None],
        now: Callable[[], Now],
        rng: random.Random,
        idle_after_ns: int = IDLE_AFTER_NS,
    ) -> None:
        """Takes its ways out.

        Args:
            dialler: opens connections.
            submit: takes `LinkOpened` and `LinkClosed`.
            now: reads the clock.
            rng: draws epochs and spreads backoffs.
            idle_after_ns: after how long without a message a link is closed.
        """
        self.counters = LinkCounters()
        self._dialler = dialler
        self._submit = submit
        self._now = now
        self._rng = rng
        self._idle_after_ns = idle_after_ns
        self._links: dict[bytes, Link] = {}
        self._revoked: dict[bytes, None] = {}
        self._dials = trio.CapacityLimiter(DIALS_AT_A_TIME)
        self._quietened = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None
        self._stopping = False

    async def run(self) -> None:
        """Tends the links until cancelled or stopped."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._dialler.watch.run)
                for link in self._links.values():
                    nursery.start_soon(self._tend, link)
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._stopping = True

    def transmit(self, peer: bytes, messages: tuple[bytes, ...]) -> None:
        """Sends messages to a peer at most once, in order, opening a link where there is none."""
        link = self._links.get(peer)
        if link is None:
            if self._stopping or peer in self._revoked or len(self._links) >= LINKS_LIMIT:
                self.counters.dropped += len(messages)
                return
            link = self._links[peer] = Link(peer)
            if self._nursery is not None:
                self._nursery.start_soon(self._tend, link)
        now = link.used_at = self._now().monotonic_ns
        if link.connection is None or not link.is_quiet:
            self.counters.dropped += link.outbox.put(messages, now)
            link.has_backlog.set()
            return
        assert link.writer is not None, "a connection without a writer"
        link.frames.extend(link.writer.frames(messages))
        self._push(link)
        if link.frames:
            link.has_backlog.set()

    def revoke(self, peer: bytes) -> None:
        """Closes the link to a peer, and opens none again."""
        self._revoked[peer] = None
        self.hang_up(peer)

    def hang_up(self, peer: bytes) -> None:
        """Closes the link to a peer; the next message to it dials anew."""
        link = self._links.pop(peer, None)
        if link is not None:
            link.scope.cancel()

    def shown(self) -> dict[bytes, bytes]:
        """The credentials that the links rest on, by whom they go to."""
        return {peer: link.shown for peer, link in self._links.items() if link.shown}

    def up(self) -> tuple[bytes, ...]:
        """The peers that a link to is up."""
        return tuple(peer for peer, link in self._links.items() if link.connection is not None)

    def last_failure(self, peer: bytes) -> str:
        """Why the last attempt to reach a peer failed; empty when it did not."""
        link = self._links.get(peer)
        return "" if link is None else link.last_failure

    async def stop(self, patience_s: float) -> None:
        """Takes nothing new, lets queues empty for a while, then closes every link."""
        self._stopping = True
        with trio.move_on_after(patience_s):
            while any(link.connection and not link.is_quiet for link in self._links.values()):
                await self._quietened.park()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # The life of one link.

    async def _tend(self, link: Link) -> None:
        failures = 0
        with link.scope:
            while True:
                try:
                    async with self._dials:
                        link.shown = self._dialler.credential()
                        connection = await self._dialler.dial(link.peer)
                    failures = 0
                    if not await self._use(link, connection):
                        break
                    # Cheaper and surer than a whole dial, and what others wait to hear.
                    await self._dialler.refuse_if_gone(link.peer)
                except DialFailed as failed:
                    failures += 1
                    self._note_failure(link, failed)
                    await trio.sleep(self._backoff_s(failures))
                    self.counters.dropped += link.outbox.drop_stale(self._now().monotonic_ns)
                    if link.is_quiet:
                        break
        if self._links.get(link.peer) is link:
            del self._links[link.peer]

    async def _use(self, link: Link, connection: Connection) -> bool:
        """Sends over a connection; True when it broke, False when it was idle."""
        try:
            epoch = self._rng.getrandbits(EPOCH_BITS)
            link.writer = FrameWriter(epoch)
            link.connection = connection
            link.used_at = self._now().monotonic_ns
            link.last_failure = ""
            self.counters.opened += 1
            self.counters.dropped += link.outbox.drop_stale(link.used_at)
            self._submit(LinkOpened(link.peer, epoch))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, link)
                broke = await self._until_over(link, connection)
                nursery.cancel_scope.cancel()
        finally:
            link.connection = link.writer = None
            link.frames.clear()
            self._quietened.unpark_all()
            # What was said last to a peer that is revoked is that it is.
            is_farewell = self._stopping or link.peer in self._revoked
            connection.close(STOP_LINGER_MS if is_farewell else 0)
        if broke:
            self.counters.broken += 1
            self._submit(LinkClosed(link.peer, refused=False))
        return broke

    async def _until_over(self, link: Link, connection: Connection) -> bool:
        while True:
            left_ns = link.used_at + self._idle_after_ns - self._now().monotonic_ns
            if left_ns <= 0 and link.is_quiet:
                return False
            with trio.move_on_after(max(left_ns, MILLISECOND_NS) / SECOND_NS):
                if await connection.monitor.next() is not LinkEvent.READY:
                    return True

    async def _pump(self, link: Link) -> None:
        """Sends what did not leave at once."""
        assert link.connection is not None and link.writer is not None
        socket = link.connection.socket
        while True:
            if link.is_quiet:
                self._quietened.unpark_all()
                link.has_backlog = trio.Event()
                await link.has_backlog.wait()
            if not link.frames:
                link.frames.extend(link.writer.frames(link.outbox.take()))
            if self._push(link):
                await trio.lowlevel.checkpoint()
                continue
            with trio.move_on_after(FULL_RETRY_S):
                await trio.lowlevel.wait_readable(descriptor(socket))
            socket.getsockopt(zmq.EVENTS)

    def _push(self, link: Link) -> bool:
        """Hands frames to the socket; False when it is full."""
        assert link.connection is not None
        send, frames, counters = link.connection.socket.send, link.frames, self.counters
        for _ in range(min(FRAMES_PER_TURN, len(frames))):
            try:
                send(frames[0], NOBLOCK)
            except zmq.Again:
                return False
            counters.frames += 1
            counters.bytes += len(frames.popleft())
        return True

    def _note_failure(self, link: Link, failed: DialFailed) -> None:
        self.counters.failed += 1
        link.last_failure = failed.reason
        if failed.failure is Failure.REFUSED:
            self.counters.refused += 1
            self._submit(LinkClosed(link.peer, refused=True))

    def _backoff_s(self, failures: int) -> float:
        backoff_ns = min(BACKOFF_LIMIT_NS, BACKOFF_FIRST_NS << min(failures - 1, 16))
        return backoff_ns * self._rng.uniform(0.5, 1.0) / SECOND_NS
