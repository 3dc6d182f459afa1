"""A core that keeps a recording of itself: the sans-IO half of the flight recorder.

`RecordedCore` has the face that a driver uses. It never raises what its core would
not: whatever goes wrong with the recording ends the recording for a while, and is told.

What it costs: an entry is a tuple in a list, which is encoded as a whole when a block
is closed; what left is encoded and hashed. An image (`image.py`) stalls the peer while
it is made, for some 20 µs a task that the core remembers. So segments are long where
images are large.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from mesh.core.image import freeze, stand_in
from mesh.core.outward import Outward
from mesh.core.peer import PeerCore
from mesh.core.recording import FIRST_LINK, Chain, Image, Opening
from mesh.core.records import StepRecord
from protocols.blobs.commands import ChunkRead
from protocols.errors import MeshError
from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant, Now
from protocols.wire import encode

KEYRING, ENTROPY = "keyring", "entropy"
"""The names of what is injected into an image."""
BLOCK_BYTES = 64 * 1024
"""A block is closed when it holds so much."""
BLOCK_NS = 20 * MILLISECOND_NS
"""A block is closed by the first step that ends so long after the block before."""
SEGMENTS = 8
"""A segment's steps take this part of the recording's limit, where images are small."""
STEPS_PER_IMAGE = 16
"""A segment's steps take this many times the bytes of its image, up to half of the limit."""
IMAGE_SHARE = 4
"""A core whose image is more than this part of the recording's limit is not recorded."""
RESUME_NS = 60 * SECOND_NS
"""A recording that stopped is begun anew after so long."""
_SUBMITTED, _RECEIVED, _WOKEN, _RECORDED, _TOOK, _SIGNED, _DREW, _ASKED = range(8)
"""The tags of `recording.Entry`."""


class Sink(Protocol):
    """Where blocks go. Never raises and never waits."""

    @property
    def failure(self) -> str:
        """Why it takes no more; "" while it does."""

    def begin(self, name: str, payloads: tuple[bytes, bytes], most: int) -> None:
        """Begins a segment with its opening and its image; after a failure, tries again.

        Args:
            name: names the segment; later ones sort after it.
            payloads: its first two blocks.
            most: about how many bytes it will take.
        """

    def append(self, payload: bytes) -> None:
        """Takes the next block of the segment."""


class Tape:
    """The entries since the last block.

    Attributes:
        entries: what was recorded, as `Entry` encodes; None when nothing is recorded.
        size: about how many bytes they take.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[Any, ...]] | None = None
        self.size = 0


class RecordedKeyring:
    """Signs as another keyring does, and keeps the signatures. Keys never reach the tape."""

    def __init__(self, keyring: Keyring, tape: Tape) -> None:
        """Takes the keyring that signs."""
        self.peer = keyring.peer
        self.verify = keyring.verify
        self._sign = keyring.sign
        self._tape = tape

    def sign(self, domain: str, body: bytes) -> bytes:
        """The signature of `body` under `domain`."""
        signature = self._sign(domain, body)
        if self._tape.entries is not None:
            self._tape.entries.append((_SIGNED, signature))
        return signature

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return stand_in, (KEYRING,)


class RecordedEntropy:
    """Draws from a source of secret bytes, and keeps what was drawn."""

    def __init__(self, entropy: Callable[[int], bytes], tape: Tape) -> None:
        """Takes the source."""
        self._entropy = entropy
        self._tape = tape

    def __call__(self, size: int) -> bytes:
        """So many secret bytes."""
        data = self._entropy(size)
        if self._tape.entries is not None:
            self._tape.entries.append((_DREW, data))
        return data

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return stand_in, (ENTROPY,)


class RecordedCore:
    """A core as a driver knows it, and a tape of all that the driver tells it."""

    def __init__(
        self,
        core: PeerCore,
        tape: Tape,
        sink: Sink,
        opening: Opening,
        limit: int,
        told: Callable[[str], None],
    ) -> None:
        """Takes the core, restored and otherwise as new, and begins the first segment.

        Args:
            core: what is recorded; its keyring and entropy write to the same tape.
            tape: where they write.
            sink: where blocks go.
            opening: what each segment says of itself; its number, time and link are filled in.
            limit: bytes in all segments together.
            told: called with the reason when the recording stops early, and with "" when it
                is begun anew.
        """
        self._core = core
        self._tape = tape
        self._sink = sink
        self._opening = opening
        self._limit = limit
        self._told = told
        self._chain = Chain(FIRST_LINK)
        self._records: tuple[StepRecord, ...] = ()
        self._now = Now(opening.monotonic_ns, opening.wall_ns)
        self._is_unasked = True
        self._closed_at = opening.monotonic_ns
        self._segment_bytes = 0
        self._segment_limit = 0
        self._resumes_at: Instant = opening.monotonic_ns
        self._begin()

    # The face of the core.

    def submit(self, command: msgspec.Struct, now: Now) -> None:
        """Takes a local command; may raise Refused."""
        self._now, self._is_unasked = now, True
        entries = self._tape.entries
        if entries is not None:
            entries.append((_SUBMITTED, now[0], now[1], type(command).__name__, command))
            if isinstance(command, ChunkRead):
                self._tape.size += len(command.data)
        self._core.submit(command, now)

    def receive(self, link: bytes, frame: bytes, now: Now) -> None:
        """Takes a frame."""
        self._now, self._is_unasked = now, True
        tape = self._tape
        if tape.entries is not None:
            tape.entries.append((_RECEIVED, now[0], now[1], link, frame))
            tape.size += len(frame)
        self._core.receive(link, frame, now)

    def wake(self, now: Now) -> None:
        """Does what is due."""
        self._now, self._is_unasked = now, True
        entries = self._tape.entries
        if entries is not None:
            entries.append((_WOKEN, now[0], now[1]))
        self._core.wake(now)

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        if self._is_unasked and self._tape.entries is not None:
            self._is_unasked = False
            self._tape.entries.append((_ASKED,))
        return self._core.deadline()

    def take_records(self) -> tuple[StepRecord, ...]:
        """The records to write."""
        records = self._core.take_records()
        if records:
            self._records += records
        return records

    def recorded(self, number: int) -> None:
        """They are durable up to `number`."""
        entries = self._tape.entries
        if entries is not None:
            entries.append((_RECORDED, number))
            self._chain.wrote(self._records)
        self._records = ()
        self._core.recorded(number)

    def take_outward(self) -> list[Outward]:
        """What may leave."""
        outward = self._core.take_outward()
        tape = self._tape
        if tape.entries is not None:
            tape.entries.append((_TOOK,))
            self._guard(self._end_round, outward)
        elif self._now[0] >= self._resumes_at and self._begin():
            self._told("")
        return outward

    # The recording.

    def close(self, in_order: bool) -> None:
        """Ends the recording.

        Args:
            in_order: the core is between two steps, so that its last state can be kept;
                else a step of it raised, and a replay will raise in the same one.
        """
        if self._tape.entries is not None and self._guard(self._close_block) and in_order:
            self._guard(self._begin_segment)
        self._tape.entries = None

    def _begin(self) -> bool:
        """Begins a recording; whether that succeeded."""
        # Two numbers on: what was not recorded is missing between the two.
        number = self._opening.segment
        self._opening = msgspec.structs.replace(self._opening, segment=number + 1 if number else 0)
        self._tape.entries, self._tape.size = [], 0
        return self._guard(self._begin_segment)

    def _guard(self, action: Callable[..., None], *arguments: object) -> bool:
        """Whatever fails here ends the recording for a while, and never the peer."""
        try:
            action(*arguments)
            reason = self._sink.failure
        except Exception as error:  # noqa: BLE001  # told by `told`, whatever it is
            reason = f"{type(error).__name__}: {error}"
        if reason:
            self._tape.entries = None
            self._resumes_at = self._now[0] + RESUME_NS
            self._told(reason)
        return not reason

    def _end_round(self, outward: list[Outward]) -> None:
        if outward:
            self._chain.sent(outward)
        passed = self._now[0] - self._closed_at
        if passed >= BLOCK_NS or self._tape.size >= BLOCK_BYTES:
            self._close_block()
            if self._segment_bytes >= self._segment_limit:
                self._begin_segment()

    def _close_block(self) -> None:
        tape = self._tape
        payload = encode(("steps", self._chain.close(), tape.entries))
        tape.entries, tape.size = [], 0
        self._closed_at = self._now[0]
        self._segment_bytes += len(payload)
        self._sink.append(payload)

    def _begin_segment(self) -> None:
        image = encode(Image(freeze(self._core)))
        if len(image) > self._limit // IMAGE_SHARE:
            raise MeshError(
                f"the peer's state takes {len(image)} bytes, too many for a recording of "
                f"{self._limit}"
            )
        opening = self._opening = msgspec.structs.replace(
            self._opening,
            segment=self._opening.segment + 1,
            monotonic_ns=self._now[0],
            wall_ns=self._now[1],
            link=self._chain.link,
        )
        half = self._limit // 2 - len(image)
        self._segment_limit = min(half, max(self._limit // SEGMENTS, STEPS_PER_IMAGE * len(image)))
        self._segment_bytes = 0
        name = f"{opening.boot:06d}-{opening.segment:06d}"
        self._sink.begin(name, (encode(opening), image), len(image) + self._segment_limit)
