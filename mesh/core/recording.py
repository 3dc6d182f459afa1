"""The flight recorder's format: what a core was told, entry by entry.

A core is a function of its inputs, and of what its injected sign and entropy calls
answered. A recording holds both, so that `simulations/reexecute.py` can do it all
again. A recording is a row of *segments*, one file each; a segment is a row of
blocks, each behind its length and a checksum:

    Opening, Image, Steps, Steps, …

The image is the core's whole memory (`image.py`) as the segment begins, so that a
segment can be replayed without those before it. `Steps` holds whole steps and a link
of a hash chain over all that the core wrote and sent: a replay that comes to the same
link did the same things. A recording that was closed in order ends with an opening
and an image alone, which is the state that it came to.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator

import msgspec

from mesh.core.commands import Announce, LinkClosed, LinkOpened
from mesh.core.outward import Outward
from mesh.core.records import StepRecord
from mesh.core.routing import COMMANDS
from protocols.errors import MeshError
from protocols.wire import encode

MAGIC = b"MESHREC\n"
"""Every segment begins with it."""
FORMAT = 1
HEAD_BYTES = 8
LINK_BYTES = 16
FIRST_LINK = bytes(LINK_BYTES)


# What a recording holds.


class Submitted(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A command was submitted; it may have been refused."""

    monotonic_ns: int
    wall_ns: int
    kind: str
    command: msgspec.Raw


class Received(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """A frame came from an authenticated peer."""

    monotonic_ns: int
    wall_ns: int
    link: bytes
    frame: bytes


class Woken(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The core was woken."""

    monotonic_ns: int
    wall_ns: int


class Recorded(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The core's records up to this one were taken, and confirmed as durable."""

    number: int


class Took(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """What was ready to leave was taken."""


class Signed(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A signature, made in the step before this entry."""

    data: bytes


class Drew(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Secret bytes, drawn in the step before this entry."""

    data: bytes


class Asked(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """The core was asked for its deadline, and dropped what it found outdated on the way."""


Entry = Submitted | Received | Woken | Recorded | Took | Signed | Drew | Asked


class Opening(msgspec.Struct, frozen=True, array_like=True, tag="opening"):
    """How a segment begins."""

    format: int
    release: str
    python: str
    name: str
    peer: bytes
    root: bytes
    boot: int
    segment: int
    monotonic_ns: int
    wall_ns: int
    link: bytes
    """The newest link of the chain before this segment."""


class Image(msgspec.Struct, frozen=True, array_like=True, tag="image"):
    """The core's memory as the segment begins; see `image.py`."""

    data: bytes


class Steps(msgspec.Struct, frozen=True, array_like=True, tag="steps"):
    """Whole steps, and the link of the chain that they lead to."""

    link: bytes
    entries: tuple[Entry, ...]


Block = Opening | Image | Steps


class RecordingDamaged(MeshError):
    """A recording that does not read; says where, and why."""


_decode = msgspec.msgpack.Decoder(Block).decode

_COMMANDS: tuple[type[msgspec.Struct], ...] = (*COMMANDS, Announce, LinkOpened, LinkClosed)
KINDS = {kind.__name__: kind for kind in _COMMANDS}
"""The commands that a recording may name."""


def framed(index: int, payload: bytes) -> bytes:
    """A block as it is written: length, checksum, payload. `index` counts within its segment."""
    checksum = zlib.crc32(payload, index)
    return len(payload).to_bytes(4, "big") + checksum.to_bytes(4, "big") + payload


def read_blocks(data: memoryview) -> Iterator[Block]:
    """The blocks of a segment. A last one that is not whole ends it: its writer was killed.

    Raises:
        RecordingDamaged: this is no recording, or a block of it is damaged.
    """
    if bytes(data[: len(MAGIC)]) != MAGIC[: len(data)]:
        raise RecordingDamaged("it is not a recording of a peer")
    at, index = len(MAGIC), 0
    while len(data) - at >= HEAD_BYTES:
        size, checksum = (int.from_bytes(data[at + n : at + n + 4], "big") for n in (0, 4))
        payload = data[at + HEAD_BYTES : at + HEAD_BYTES + size]
        if len(payload) < size:
            return
        where = f"block {index} at byte {at}"
        if zlib.crc32(payload, index) != checksum:
            raise RecordingDamaged(f"{where} is damaged: its checksum is wrong")
        try:
            block = _decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise RecordingDamaged(f"{where} does not decode: {error}") from None
        if index == 0 and not isinstance(block, Opening):
            raise RecordingDamaged(f"{where} is no opening")
        if isinstance(block, Opening) and block.format != FORMAT:
            raise RecordingDamaged(
                f"it has format {block.format}, and this release reads {FORMAT}: use the release "
                f"that recorded it, {block.release}"
            )
        yield block
        at, index = at + HEAD_BYTES + size, index + 1


class Chain:
    """The hash chain over all that a core writes and sends."""

    def __init__(self, link: bytes) -> None:
        """Goes on from a link."""
        self._hash = hashlib.blake2b(link, digest_size=LINK_BYTES)
        self.link = link

    def wrote(self, records: Iterable[StepRecord]) -> None:
        """These records are durable."""
        for record in records:
            self._hash.update(record.data)

    def sent(self, outward: list[Outward]) -> None:
        """All this left."""
        self._hash.update(encode(outward))

    def close(self) -> bytes:
        """Makes the next link, and gives it."""
        self.link = self._hash.digest()
        self._hash = hashlib.blake2b(self.link, digest_size=LINK_BYTES)
        return self.link
