"""Version vectors: how far each writer is known, and which numbers beyond that.

Per chain (a writer and one of its generations) a peer knows a *prefix*, every op up to
which it has applied or knows to be superseded by one that it has applied, and spans of
further numbers that came out of order. A vector tells both: where a writer's disk lost
an op that nobody else had, the gap stays, and what comes after it must spread all the same.

Invariants:
    board-prefix-grows: a prefix never goes back, whatever is dropped: so nothing that
        was superseded once is ever taken again.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from protocols.blackboard.segments import GenerationField, SequenceField
from protocols.errors import Malformed
from protocols.wire import CountField, PeerIdField, encode

Chain = tuple[bytes, int]
"""A writer, and one of its generations."""

CHAINS_LIMIT = 8192
"""Chains of a vector, of all writers together."""
SPANS_LIMIT = 256
"""Spans of one chain beyond its prefix that a vector tells of; what is known in more pieces is
known all the same, and told when gaps before it have closed."""


Span = tuple[SequenceField, SequenceField]


class Reach(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far one chain is known."""

    writer: PeerIdField
    generation: GenerationField
    prefix: CountField
    beyond: Annotated[tuple[Span, ...], msgspec.Meta(max_length=SPANS_LIMIT)] = ()


Vector = Annotated[tuple[Reach, ...], msgspec.Meta(max_length=CHAINS_LIMIT)]

_decoder = msgspec.msgpack.Decoder(Vector)


def vector_of(prefixes: Mapping[Chain, int]) -> tuple[Reach, ...]:
    """Prefixes as they travel, in their order."""
    return tuple(
        Reach(writer, generation, prefixes[writer, generation])
        for writer, generation in sorted(prefixes)
        if prefixes[writer, generation]
    )


def prefixes_of(vector: Iterable[Reach]) -> dict[Chain, int]:
    """What a vector says, by chain."""
    return {(each.writer, each.generation): each.prefix for each in vector}


def reaches_of(known: Mapping[Chain, "Spans"]) -> tuple[Reach, ...]:
    """What is known, as it travels, in the order of chains; see `Spans.told`."""
    return tuple(
        Reach(*chain, known[chain].prefix, known[chain].told)
        for chain in sorted(known)
        if known[chain].last
    )


def is_all_told(known: Mapping[Chain, "Spans"]) -> bool:
    """Whether a vector says all that is known."""
    return not any(spans.is_full for spans in known.values())


def lacks(mine: Mapping[Chain, "Spans"], theirs: Reach) -> bool:
    """Whether somebody knows numbers of a chain that are not known here."""
    known = mine.get((theirs.writer, theirs.generation))
    if known is None:
        return bool(theirs.prefix or theirs.beyond)
    if theirs.prefix > known.prefix and known.missing(1, theirs.prefix):
        return True
    return any(known.missing(first, last) for first, last in theirs.beyond)


def encode_vector(prefixes: Mapping[Chain, int]) -> bytes:
    """An opaque cursor, the same at every peer that knows as much."""
    return encode(vector_of(prefixes))


def decode_vector(data: bytes) -> dict[Chain, int]:
    """The reverse.

    Raises:
        Malformed: it is none.
    """
    try:
        return prefixes_of(_decoder.decode(data))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a version vector: {error}") from None


def covers(mine: Mapping[Chain, int], theirs: Mapping[Chain, int]) -> bool:
    """Whether one vector knows all that another does."""
    return all(mine.get(chain, 0) >= prefix for chain, prefix in theirs.items())


def least(vectors: Iterable[Mapping[Chain, int]]) -> dict[Chain, int]:
    """What all of some vectors know; nothing for none."""
    found: dict[Chain, int] | None = None
    for vector in vectors:
        if found is None:
            found = dict(vector)
        else:
            found = {
                chain: min(prefix, vector[chain])
                for chain, prefix in found.items()
                if chain in vector
            }
    return found or {}


class Spans:
    """A growing set of numbers from 1: a prefix, and spans beyond it."""

    __slots__ = ("_firsts", "_lasts", "prefix")

    def __init__(self, prefix: int = 0) -> None:
        self.prefix = prefix
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def __contains__(self, number: int) -> bool:
        if number <= self.prefix:
            return True
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    @property
    def last(self) -> int:
        """The greatest number within."""
        return self._lasts[-1] if self._lasts else self.prefix

    @property
    def is_full(self) -> bool:
        """Whether there are as many spans as a vector tells of, or more."""
        return len(self._firsts) >= SPANS_LIMIT

    @property
    def beyond(self) -> list[tuple[int, int]]:
        """The spans beyond the prefix."""
        return list(zip(self._firsts, self._lasts, strict=True))

    @property
    def told(self) -> tuple[tuple[int, int], ...]:
        """The first of them, as many as a vector tells of: others may send what is known here."""
        return tuple(zip(self._firsts[:SPANS_LIMIT], self._lasts[:SPANS_LIMIT], strict=True))

    def adjoins(self, first: int) -> bool:
        """Whether a span from here on lengthens one that there is."""
        return first <= self.prefix + 1 or first - 1 in self or first in self

    @staticmethod
    def of(reach: Reach) -> "Spans":
        """Those that a vector tells of a chain."""
        made = Spans(reach.prefix)
        for first, last in reach.beyond:
            if first <= last:
                made.add(first, last)
        return made

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """All spans, that of the prefix first."""
        return [(1, self.prefix), *self.beyond] if self.prefix else self.beyond

    def copy(self) -> "Spans":
        """Another one, of the same numbers."""
        made = Spans(self.prefix)
        made._firsts, made._lasts = list(self._firsts), list(self._lasts)
        return made

    def add(self, first: int, last: int) -> None:
        """Takes the numbers from `first` to `last`."""
        if first <= self.prefix + 1:
            if last > self.prefix:
                self.prefix = last
            while self._firsts and self._firsts[0] <= self.prefix + 1:
                self.prefix = max(self.prefix, self._lasts[0])
                del self._firsts[0], self._lasts[0]
            return
        low = bisect_right(self._lasts, first - 2)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The spans between two numbers, both counted, that are not within."""
        found = []
        at = max(first, self.prefix + 1)
        for low, high in zip(self._firsts, self._lasts, strict=True):
            if high < at:
                continue
            if low > last:
                break
            if low > at:
                found.append((at, low - 1))
            at = high + 1
        if at <= last:
            found.append((at, last))
        return found
