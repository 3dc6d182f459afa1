"""Chains: what is kept of each writer's segments, and what shows that a writer forked.

Per chain: how far it is known, the segments of which some op is still kept, and the
newest header, which stays even when none of its ops does. An honest writer signs one
header for a number, and each names the hash of the one before; two headers of one
chain that overlap, or meet without one naming the other, are a fork, and prove it.

Invariants:
    board-one-segment-per-number: the segments kept of a chain do not overlap, unless its
        writer forked.
    board-prefix-grows: see `vectors`.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator

from protocols.blackboard.segments import (
    NO_HEADER,
    Header,
    Segment,
    SignedHeader,
    decode_header,
    header_hash,
)
from protocols.blackboard.vectors import Chain, Spans
from protocols.errors import Malformed


class Claim:
    """A stretch that somebody left out, until the op that supersedes it is applied here."""

    __slots__ = ("by", "first", "last")

    def __init__(self, first: int, last: int, by: tuple[bytes, int, int]) -> None:
        self.first = first
        self.last = last
        self.by = by


class ChainState:
    """One writer's generation, as far as it is known here."""

    __slots__ = ("_firsts", "claims", "head", "head_header", "known", "segments", "told")

    def __init__(self) -> None:
        self.known = Spans()
        """The numbers that are applied, or superseded by what is applied."""
        self.told = self.known
        """Those, and the ones that are said to be superseded by what may come still.

        The same object, while there are none of them.
        """
        self.segments: dict[int, list[Segment]] = {}
        """Segments with ops that are kept, by the first number; several after a fork."""
        self._firsts: list[int] = []
        self.head: SignedHeader | None = None
        self.head_header: Header | None = None
        self.claims: list[Claim] = []

    def from_number(self, sequence: int) -> Iterator[Segment]:
        """The segments that hold something from this number on, in order."""
        start = max(0, bisect_right(self._firsts, sequence) - 1)
        for at in range(start, len(self._firsts)):
            for segment in self.segments[self._firsts[at]]:
                if segment.header.last >= sequence:
                    yield segment

    def holding(self, sequence: int) -> Iterator[Segment]:
        """The segments that keep the op of this number; several after a fork."""
        for first in self._near(sequence):
            for segment in self.segments[first]:
                if sequence - first in segment.ops:
                    yield segment

    def _near(self, sequence: int) -> list[int]:
        at = bisect_right(self._firsts, sequence)
        found = []
        while at > 0:
            at -= 1
            first = self._firsts[at]
            found.append(first)
            # Segments have a greatest length, and without a fork do not overlap.
            if first + max(each.header.count for each in self.segments[first]) <= sequence:
                break
        return found

    def same(self, segment: Segment) -> Segment | None:
        """The segment of this very header, where something of it is kept."""
        for each in self.segments.get(segment.header.first, ()):
            if each.signed.body == segment.signed.body:
                return each
        return None

    def insert(self, segment: Segment) -> None:
        """Keeps a segment."""
        beside = self.segments.setdefault(segment.header.first, [])
        if not beside:
            insort(self._firsts, segment.header.first)
        beside.append(segment)

    def remove(self, segment: Segment) -> None:
        """Nothing of it is kept any more."""
        first = segment.header.first
        beside = self.segments[first]
        beside.remove(segment)
        if not beside:
            del self.segments[first]
            del self._firsts[bisect_left(self._firsts, first)]

    def saw(self, header: Header, signed: SignedHeader) -> None:
        """Remembers the newest header."""
        if self.head_header is None or header.last > self.head_header.last:
            self.head, self.head_header = signed, header

    def contradiction(self, segment: Segment) -> SignedHeader | None:
        """A header that is known of this chain, and that goes not with this one."""
        header, signed = segment.header, segment.signed
        known: list[tuple[Header, SignedHeader]] = []
        if self.head is not None and self.head_header is not None:
            known.append((self.head_header, self.head))
        at = bisect_right(self._firsts, header.last + 1)
        while at > 0:
            at -= 1
            beside = self.segments[self._firsts[at]]
            known += [(each.header, each.signed) for each in beside]
            if all(each.header.last < header.first for each in beside):
                break
        for other, other_signed in known:
            if other_signed.body != signed.body and is_fork(header, signed, other, other_signed):
                return other_signed
        return None


def is_fork(one: Header, signed_one: SignedHeader, other: Header, signed: SignedHeader) -> bool:
    """Whether no honest writer signs both of two different headers."""
    if one.chain != other.chain or signed_one.body == signed.body:
        return False
    if one.first <= other.last and other.first <= one.last:
        return True
    if one.last + 1 == other.first:
        return other.previous != header_hash(signed_one)
    if other.last + 1 == one.first:
        return one.previous != header_hash(signed)
    return False


def read_fork(one: SignedHeader, other: SignedHeader) -> tuple[Header, Header]:
    """The headers of an alleged fork; their signatures are not looked at.

    Raises:
        Malformed: they prove nothing.
    """
    first, second = decode_header(one.body), decode_header(other.body)
    if not is_fork(first, one, second, other):
        raise Malformed("two headers that one honest writer may have signed")
    return first, second


def begins_well(header: Header) -> bool:
    """Whether it names a header before it exactly where there is one."""
    return (header.first == 1) == (header.previous == NO_HEADER)


class Chains:
    """All chains."""

    def __init__(self) -> None:
        self.states: dict[Chain, ChainState] = {}
        self.generations: dict[bytes, int] = {}
        """How many chains each writer has."""

    def get(self, chain: Chain) -> ChainState | None:
        """What is known of a chain."""
        return self.states.get(chain)

    def make(self, chain: Chain) -> ChainState:
        """What is known of a chain; new where nothing is."""
        state = self.states.get(chain)
        if state is None:
            state = self.states[chain] = ChainState()
            self.generations[chain[0]] = self.generations.get(chain[0], 0) + 1
        return state

    def known(self) -> dict[Chain, Spans]:
        """All that is known of each chain."""
        return {chain: state.known for chain, state in self.states.items()}

    def prefixes(self) -> dict[Chain, int]:
        """How far each chain is known without a gap."""
        return {chain: state.known.prefix for chain, state in self.states.items()}

    def knows(self, writer: bytes, generation: int, sequence: int) -> bool:
        """Whether an op is applied, or superseded by one that is."""
        state = self.states.get((writer, generation))
        return state is not None and sequence in state.known

    def segments(self) -> Iterator[Segment]:
        """Every segment that is kept."""
        for state in self.states.values():
            for beside in state.segments.values():
                yield from beside

    def drop(self, chain: Chain, sequence: int, encoded: bytes) -> None:
        """An op is kept no more. Its bytes tell it from another branch's."""
        state = self.states.get(chain)
        if state is None:
            return
        for segment in list(state.holding(sequence)):
            if segment.ops[sequence - segment.header.first] == encoded:
                segment.drop(sequence)
                if not segment.ops:
                    state.remove(segment)

    def check(self) -> None:
        """Asserts the invariants that need no writer's word."""
        for state in self.states.values():
            for first, beside in state.segments.items():
                for segment in beside:
                    assert segment.ops, "board-tree-is-whole: a segment without ops"
                    assert segment.header.first == first, "board-tree-is-whole: a wrong place"
                    segment.check()
