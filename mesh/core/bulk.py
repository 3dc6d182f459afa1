"""Messages too long for a frame: chunks under absolute credit, so that they delay nothing.

A session is one run of chunk positions between two peers; it begins anew when
a link opens or when credit stalls. Within a session every chunk has an
absolute position, and the receiver's credit says up to which position it has
taken bytes in. The sender keeps at most `WINDOW` bytes beyond that. A message
that lost a chunk is dropped as a whole: sending is at most once, and each
protocol sends again what matters.
"""

from collections import deque
from typing import Annotated

import msgspec

from protocols.machine import SECOND_NS, Instant
from protocols.wire import BULK_LIMIT, CountField, Message

CHUNK_BYTES = 64 * 1024 - 256
WINDOW = 1024 * 1024
CREDIT_STEP = 256 * 1024
OUTGOING_LIMIT = 64 * 1024 * 1024
"""Bytes that wait for one peer; a message beyond it is dropped."""
STALL_NS = 3 * SECOND_NS
STALLED_SESSIONS_LIMIT = 3
"""After so many stalled sessions in a row what waits is dropped: nobody takes it."""


class Chunk(Message, frozen=True, array_like=True, tag="core.chunk"):
    """A piece of a long message. `left` is how many bytes of the message follow it."""

    session: CountField
    position: CountField
    offset: CountField
    left: CountField
    data: Annotated[bytes, msgspec.Meta(max_length=CHUNK_BYTES)]


class Credit(Message, frozen=True, array_like=True, tag="core.credit"):
    """Every byte of the session up to `position` has been taken in."""

    session: CountField
    position: CountField


class Outgoing:
    """The sending side, for one peer.

    Attributes:
        session: the number of the present run of positions.
        stalls_at: when credit will have been awaited too long, or None.
    """

    def __init__(self, session: int) -> None:
        self.session = session
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._offset = 0
        self._sent = 0
        self._credited = 0
        self._stalls = 0
        self.stalls_at: Instant | None = None

    def offer(self, message: bytes) -> bool:
        """Queues one encoded message; False where the queue is full and it was dropped."""
        if self._waiting_bytes + len(message) > OUTGOING_LIMIT:
            return False
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        return True

    def chunks(self, now: Instant) -> list[Chunk]:
        """The chunks that may leave now."""
        made: list[Chunk] = []
        while self._waiting and self._sent - self._credited < WINDOW:
            message = self._waiting[0]
            piece = message[self._offset : self._offset + CHUNK_BYTES]
            left = len(message) - self._offset - len(piece)
            made.append(Chunk(self.session, self._sent, self._offset, left, piece))
            self._sent += len(piece)
            self._offset += len(piece)
            if left == 0:
                self._waiting.popleft()
                self._waiting_bytes -= len(message)
                self._offset = 0
        if made or self.stalls_at is None:
            self.stalls_at = now + STALL_NS if self._waiting else None
        return made

    def credit(self, credit: Credit, now: Instant) -> None:
        """Takes the receiver's word; a wrong session or an impossible position is ignored."""
        if credit.session != self.session or not self._credited < credit.position <= self._sent:
            return
        self._credited = credit.position
        self._stalls = 0
        self.stalls_at = now + STALL_NS if self._waiting else None

    def restart(self) -> None:
        """Begins a new session; the message under way starts again from its first byte."""
        self.session += 1
        self._offset = self._sent = self._credited = 0
        self.stalls_at = None

    def stall(self) -> None:
        """No credit for too long: a new session, or, at the limit, drop what waits."""
        self._stalls += 1
        if self._stalls >= STALLED_SESSIONS_LIMIT:
            self.clear()
        self.restart()

    def clear(self) -> None:
        """Drops what waits."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self._stalls = 0
        self._offset = 0
        self.stalls_at = None


class Incoming:
    """The receiving side, for one peer: one message under way at a time, in order."""

    def __init__(self) -> None:
        self._session = -1
        self._position = 0
        self._credited = 0
        # One buffer: a list of pieces would cost a liar's one-byte chunks 50 bytes each.
        self._whole = bytearray()
        self._broken = True

    def take(self, chunk: Chunk) -> tuple[bytes | None, Credit | None]:
        """Takes one chunk: the whole message where this was its end, and credit when due."""
        if chunk.session < self._session:
            return None, None
        if chunk.session > self._session:
            self._session = chunk.session
            self._position = self._credited = 0
            self._drop()
        if chunk.position < self._position:
            return None, None
        if chunk.offset == 0:
            self._drop()
            self._broken = False
        elif chunk.position != self._position or chunk.offset != len(self._whole):
            self._broken = True
        self._position = chunk.position + len(chunk.data)
        whole = None
        if not self._broken:
            if len(self._whole) + len(chunk.data) + chunk.left > BULK_LIMIT:
                self._drop()
            else:
                self._whole += chunk.data
                if chunk.left == 0:
                    whole = bytes(self._whole)
                    self._drop()
        credit = None
        if self._position - self._credited >= CREDIT_STEP or chunk.left == 0:
            self._credited = self._position
            credit = Credit(self._session, self._position)
        return whole, credit

    def _drop(self) -> None:
        self._whole = bytearray()
        self._broken = True


KINDS = (Chunk, Credit)
