"""Segments: what a writer signs at once, whole or in part.

One signature covers a header: writer, generation, the numbers of its ops, the hash of
the header before, and the Merkle root of the ops' hashes. A *part* is a header with
some of the ops and the hashes that stand for the others: what a peer keeps once some of
them are superseded, what it relays, and what anybody can verify alone.

Invariants:
    board-op-is-signed: an op that is kept is under a root that its writer signed.
    board-tree-is-whole: see `merkle`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from protocols.blackboard.merkle import HASH_BYTES, LEAVES_LIMIT, PrunedTree, root_from, root_of
from protocols.errors import Malformed
from protocols.identity import Keyring
from protocols.wire import PeerIdField, SignatureField, encode

SEGMENT_DOMAIN = "board.segment"
HEADER_LIMIT = 256
SEGMENT_BYTES_LIMIT = 4 * 1024 * 1024
"""Bytes of the ops of one segment: one message, and one step of whoever takes it."""
NO_HEADER = bytes(HASH_BYTES)

HashField = Annotated[bytes, msgspec.Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
SequenceField = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
GenerationField = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Header(msgspec.Struct, frozen=True, array_like=True, tag="board.segment", gc=False):
    """What a writer signs: ops `first` to `first + count - 1` of one of its generations."""

    writer: PeerIdField
    generation: GenerationField
    first: SequenceField
    count: Annotated[int, msgspec.Meta(ge=1, le=LEAVES_LIMIT)]
    previous: HashField
    """The hash of the header before in this generation; zeros in its first."""
    root: HashField

    @property
    def last(self) -> int:
        """The number of its last op."""
        return self.first + self.count - 1

    @property
    def chain(self) -> tuple[bytes, int]:
        """Writer and generation."""
        return self.writer, self.generation


class SignedHeader(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A header as it was signed. The bytes are kept and relayed, never encoded again."""

    body: Annotated[bytes, msgspec.Meta(max_length=HEADER_LIMIT)]
    signature: SignatureField


class SegmentPart(msgspec.Struct, frozen=True, array_like=True):
    """A header and some of its ops.

    `at` are the places of the ops within the segment; empty where all are there.
    `hashes` are those of the pruned subtrees, one after the other (`merkle`).
    """

    header: SignedHeader
    ops: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(max_length=LEAVES_LIMIT)]
    at: Annotated[tuple[int, ...], msgspec.Meta(max_length=LEAVES_LIMIT)] = ()
    hashes: Annotated[bytes, msgspec.Meta(max_length=LEAVES_LIMIT * HASH_BYTES)] = b""


_header_decoder = msgspec.msgpack.Decoder(Header)


def op_hash(op: bytes | msgspec.Raw) -> bytes:
    """The identity of an op: the hash of its bytes."""
    return hashlib.blake2b(op, digest_size=HASH_BYTES).digest()


def header_hash(signed: SignedHeader) -> bytes:
    """What the next header names as `previous`."""
    return hashlib.blake2b(signed.body, digest_size=HASH_BYTES, person=b"board-header").digest()


def decode_header(body: bytes) -> Header:
    """What was signed.

    Raises:
        Malformed: it is no header.
    """
    try:
        return _header_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a segment's header: {error}") from None


def is_signed(keyring: Keyring, header: Header, signed: SignedHeader) -> bool:
    """Whether the writer signed it."""
    return keyring.verify(SEGMENT_DOMAIN, header.writer, signed.body, signed.signature)


def write_segment(
    keyring: Keyring, generation: int, first: int, previous: bytes, ops: list[bytes]
) -> "Segment":
    """Signs new ops."""
    ids = [op_hash(op) for op in ops]
    header = Header(keyring.peer, generation, first, len(ops), previous, root_of(ids))
    body = encode(header)
    signed = SignedHeader(body, keyring.sign(SEGMENT_DOMAIN, body))
    held = dict(enumerate(ops))
    return Segment(header, signed, held, PrunedTree(len(ops), held, ()))


def read_part(part: SegmentPart) -> "Segment":
    """What a part shows, its root worked out. The signature is not looked at.

    Raises:
        Malformed: it does not fit together.
    """
    header = decode_header(part.header.body)
    places = part.at or range(header.count)
    if len(part.ops) != len(places):
        raise Malformed("a segment whose ops are not where it says")
    held = {at: bytes(op) for at, op in zip(places, part.ops, strict=True)}
    if len(held) != len(places) or any(not 0 <= at < header.count for at in held):
        raise Malformed("a segment with an op twice, or out of its range")
    if len(part.hashes) % HASH_BYTES:
        raise Malformed("a segment with half a hash")
    hashes = [part.hashes[i : i + HASH_BYTES] for i in range(0, len(part.hashes), HASH_BYTES)]
    leaves = {at: op_hash(op) for at, op in held.items()}
    if root_from(header.count, leaves, hashes) != header.root:
        raise Malformed("a segment whose ops are not those that were signed")
    return Segment(header, part.header, held, PrunedTree(header.count, held, hashes))


class Segment:
    """A part as it is kept: the ops that are live, or still held back, and the rest's hashes."""

    __slots__ = ("_tree", "header", "ops", "signed")

    def __init__(
        self, header: Header, signed: SignedHeader, ops: dict[int, bytes], tree: PrunedTree
    ) -> None:
        self.header = header
        self.signed = signed
        self.ops = ops
        """Encoded ops by their place in the segment."""
        self._tree = tree

    @property
    def hashes(self) -> int:
        """How many hashes it keeps for what it does not."""
        return self._tree.size

    def drop(self, sequence: int) -> None:
        """An op is wanted no more."""
        at = sequence - self.header.first
        op = self.ops.pop(at, None)
        if op is not None:
            self._tree.drop(at, op_hash(op))

    def merge(self, other: "Segment", wanted: Iterable[int]) -> None:
        """Takes ops, by their numbers, from another part of the same segment."""
        first = self.header.first
        chosen = dict.fromkeys(sequence - first for sequence in wanted)
        for at in chosen:
            place = self._tree.covers(at)
            if place is None:
                continue
            level, position = place
            inside = [each for each in other.ops if each >> level == position]
            apart = {each: op_hash(other.ops[each]) for each in inside if each not in chosen}
            self._tree.refine(place, other._tree, apart)  # noqa: SLF001  # of this class
            for each in inside:
                if each in chosen:
                    self.ops[each] = other.ops[each]

    def part(self, wanted: Mapping[int, None] | None = None) -> SegmentPart:
        """All that is kept, or only the ops with these numbers, as it travels."""
        if wanted is not None:
            first = self.header.first
            apart = [at for at in self.ops if at + first not in wanted]
            if apart:
                copy = self.copy()
                for at in apart:
                    copy.drop(at + first)
                return copy.part()
        places = sorted(self.ops)
        ops = tuple(msgspec.Raw(self.ops[at]) for at in places)
        if len(places) == self.header.count:
            return SegmentPart(self.signed, ops)
        return SegmentPart(self.signed, ops, tuple(places), b"".join(self._tree.hashes()))

    def copy(self) -> "Segment":
        """One that can be pruned further without this one."""
        tree = PrunedTree(self.header.count, self.ops, self._tree.hashes())
        return Segment(self.header, self.signed, dict(self.ops), tree)

    def check(self) -> None:
        """Asserts that its hashes are those of what it does not hold."""
        self._tree.check(self.header.count, self.ops)
