"""What a blackboard writes to its disk. A restart offers it all to an empty store again."""

import msgspec

from protocols.blackboard.segments import SegmentPart, SignedHeader
from protocols.blackboard.vectors import Reach


class WriterKnown(msgspec.Struct, frozen=True, array_like=True, tag="board.writer"):
    """A writer's credential, so that what it wrote can be shown to whoever joins later."""

    credential: bytes


class GenerationBegun(msgspec.Struct, frozen=True, array_like=True, tag="board.generation"):
    """This peer writes under this number from now on."""

    generation: int


class SegmentKept(msgspec.Struct, frozen=True, array_like=True, tag="board.segment"):
    """Ops that were not here before, with what proves them."""

    part: SegmentPart


class SpanPassed(msgspec.Struct, frozen=True, array_like=True, tag="board.passed"):
    """Ops that never came and are superseded by what did."""

    writer: bytes
    generation: int
    first: int
    last: int


class ChainKept(msgspec.Struct, frozen=True, array_like=True, tag="board.chain"):
    """How far a chain is known: in snapshots."""

    writer: bytes
    generation: int
    prefix: int
    beyond: tuple[tuple[int, int], ...]
    head: SignedHeader | None
    reach: int = 0
    by: tuple[bytes, int, int] | None = None


class ForkKept(msgspec.Struct, frozen=True, array_like=True, tag="board.fork"):
    """Evidence that a writer forked."""

    one: SignedHeader
    other: SignedHeader


class FloorKept(msgspec.Struct, frozen=True, array_like=True, tag="board.floor"):
    """Tombstones up to here were dropped."""

    floor: tuple[Reach, ...]


class OpsDropped(msgspec.Struct, frozen=True, array_like=True, tag="board.dropped"):
    """Ops that were dropped because this peer was reset, or they were collected."""

    ops: tuple[tuple[bytes, int, int, bytes], ...]
    """Writer, generation, sequence, and the hash."""


class FrontierHeard(msgspec.Struct, frozen=True, array_like=True, tag="board.frontier"):
    """A member's newest statement of what it has."""

    body: bytes
    signature: bytes
    wall_ms: int


class FrontierForgotten(msgspec.Struct, frozen=True, array_like=True, tag="board.left"):
    """A member left; nothing waits for it any more."""

    peer: bytes


RECORDS: tuple[type[msgspec.Struct], ...] = (
    WriterKnown, GenerationBegun, SegmentKept, SpanPassed, ChainKept, ForkKept, FloorKept,
    OpsDropped, FrontierHeard, FrontierForgotten,
)  # fmt: skip
