"""What blackboards say to each other. See docs/protocols/blackboard.md, part 2."""

from typing import Annotated

import msgspec

from protocols.blackboard.parameters import CLAIMS_LIMIT, DELTA_PARTS_LIMIT
from protocols.blackboard.segments import (
    GenerationField,
    SegmentPart,
    SequenceField,
    SignedHeader,
)
from protocols.blackboard.vectors import CHAINS_LIMIT, Vector
from protocols.credentials import CHAIN_LIMIT
from protocols.wire import CountField, Message, PeerIdField, SignatureField

WRITERS_PER_MESSAGE_LIMIT = 64
LIVE_DIGEST_BYTES = 16
SALT_BYTES = 16
FRONTIER_BODY_LIMIT = 1024 * 1024
SKETCH_BYTES_LIMIT = 256 * 1024
HASHES_BYTES_LIMIT = 1024 * 1024

LiveField = Annotated[bytes, msgspec.Meta(max_length=LIVE_DIGEST_BYTES)]
SaltField = Annotated[bytes, msgspec.Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
ChainsOfCredentials = Annotated[
    tuple[Annotated[bytes, msgspec.Meta(max_length=CHAIN_LIMIT)], ...],
    msgspec.Meta(max_length=WRITERS_PER_MESSAGE_LIMIT),
]
Parts = Annotated[tuple[SegmentPart, ...], msgspec.Meta(max_length=DELTA_PARTS_LIMIT)]
HashesField = Annotated[bytes, msgspec.Meta(max_length=HASHES_BYTES_LIMIT)]


class Dot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An op by its number. An index only: what an op is, its hash says."""

    writer: PeerIdField
    generation: GenerationField
    sequence: SequenceField


class WritersShown(Message, frozen=True, array_like=True, tag="board.writers"):
    """The credentials of writers, one's own or others'."""

    credentials: ChainsOfCredentials


class AskWriters(Message, frozen=True, array_like=True, tag="board.ask-writers"):
    """Whose credentials are these?"""

    writers: Annotated[tuple[PeerIdField, ...], msgspec.Meta(max_length=WRITERS_PER_MESSAGE_LIMIT)]


class Push(Message, frozen=True, array_like=True, tag="board.push"):
    """New segments of the sender; or of anybody, where they were missed."""

    parts: Parts
    is_ack_wanted: bool = False
    is_reconciled: bool = False
    """They are sent because their hashes were missed, whatever vectors say."""


class Stored(Message, frozen=True, array_like=True, tag="board.stored"):
    """The segment of yours that ends here is on my disk."""

    generation: GenerationField
    last: SequenceField


class AskOwn(Message, frozen=True, array_like=True, tag="board.ask-own"):
    """I have started from my disk, and wrote under this number: what do you know of it?"""

    generation: GenerationField


class Own(Message, frozen=True, array_like=True, tag="board.own"):
    """The greatest number that I have seen of yours."""

    generation: GenerationField
    last: CountField


class BoardDigest(Message, frozen=True, array_like=True, tag="board.digest"):
    """What I know. `floor`: tombstones up to here were dropped (`frontier`)."""

    vector: Vector
    floor: Vector
    live: LiveField
    """A sum over the ids of the live ops that nothing collects (`replica`)."""
    is_reply_wanted: bool = False


class Want(Message, frozen=True, array_like=True, tag="board.want"):
    """Send what you know of these chains, and I do not."""

    session: CountField
    have: Vector


class Omitted(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Ops that are left out: this one, which is live here, supersedes up to the last.

    Without one, what superseded them is collected, or they are: below the floor.
    """

    first: SequenceField
    last: SequenceField
    by: Dot | None = None


class Described(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of a chain of which every op is sent, or left out and accounted for."""

    writer: PeerIdField
    generation: GenerationField
    first: SequenceField
    last: SequenceField
    omitted: Annotated[tuple[Omitted, ...], msgspec.Meta(max_length=CLAIMS_LIMIT)]


class Delta(Message, frozen=True, array_like=True, tag="board.delta"):
    """The answer, or a part of it: `is_more` asks for another `Want`."""

    session: CountField
    parts: Parts
    described: Annotated[tuple[Described, ...], msgspec.Meta(max_length=CHAINS_LIMIT)]
    is_more: bool


class ForkShown(Message, frozen=True, array_like=True, tag="board.fork"):
    """Two headers that one honest writer never signs both: anybody can check."""

    one: SignedHeader
    other: SignedHeader


class Frontier(msgspec.Struct, frozen=True, array_like=True, tag="board.frontier"):
    """What its author has, and what it dropped for good; signed."""

    author: PeerIdField
    number: CountField
    """Grows from one statement of an author to the next."""
    vector: Vector
    floor: Vector
    live: LiveField
    """As in `BoardDigest`, at this vector."""


class FrontierShown(Message, frozen=True, array_like=True, tag="board.frontier-shown"):
    """A signed `Frontier`."""

    body: Annotated[bytes, msgspec.Meta(max_length=FRONTIER_BODY_LIMIT)]
    signature: SignatureField


class AskSketch(Message, frozen=True, array_like=True, tag="board.ask-sketch"):
    """We know the same numbers and hold different things: send coded symbols."""

    session: CountField
    salt: SaltField
    first: CountField
    count: Annotated[int, msgspec.Meta(ge=1, le=8192)]


class Sketch(Message, frozen=True, array_like=True, tag="board.sketch"):
    """Coded symbols from `first` on (`reconciliation`)."""

    session: CountField
    first: CountField
    symbols: Annotated[bytes, msgspec.Meta(max_length=SKETCH_BYTES_LIMIT)]


class AskHashes(Message, frozen=True, array_like=True, tag="board.ask-hashes"):
    """More differs than coded symbols are good for: send all hashes, after this one."""

    session: CountField
    salt: SaltField
    after: Annotated[bytes, msgspec.Meta(max_length=8)] = b""


class Hashes(Message, frozen=True, array_like=True, tag="board.hashes"):
    """Keyed hashes of live ops in their order; `is_more` asks to ask again."""

    session: CountField
    hashes: HashesField
    is_more: bool


class WantHashes(Message, frozen=True, array_like=True, tag="board.want-hashes"):
    """Send the ops with these keyed hashes."""

    session: CountField
    salt: SaltField
    hashes: HashesField


KINDS = (
    WritersShown, AskWriters, Push, Stored, AskOwn, Own, BoardDigest, Want, Delta, ForkShown,
    FrontierShown, AskSketch, Sketch, AskHashes, Hashes, WantHashes,
)  # fmt: skip
