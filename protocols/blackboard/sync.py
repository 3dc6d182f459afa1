"""What one peer tells another of what it has: vectors, and the stretches that are beyond one.

A *delta* describes stretches of chains: of every op in them it holds the op, or says
which live op supersedes it. Memory is that of live data, so for a stretch that is left
out the live op is named that supersedes most of the chain; whoever is told takes the
stretch as known only once that op is applied there, and has seen a context that reaches
as far. What a lie could hide shows when digests are compared (`healing`).
"""

from collections.abc import Iterator

from protocols.blackboard.chains import ChainState
from protocols.blackboard.messages import Delta, Described, Dot, Omitted
from protocols.blackboard.parameters import CLAIMS_LIMIT, DELTA_BYTES, DELTA_PARTS_LIMIT
from protocols.blackboard.segments import SegmentPart
from protocols.blackboard.store import Store
from protocols.blackboard.vectors import Chain, Reach, Spans

PART_BYTES = 300
"""About what a part takes beside its ops."""


def delta_of(store: Store, session: int, have: tuple[Reach, ...]) -> Delta:
    """As much as fits of what is known here of some chains, and not there."""
    writing = _Writing(store)
    for each in have:
        state = store.chains.get((each.writer, each.generation))
        if state is None:
            continue
        theirs = Spans.of(each)
        for stretch in state.known.stretches:
            for first, last in theirs.missing(*stretch):
                if writing.is_full:
                    break
                writing.describe((each.writer, each.generation), state, first, last)
    return Delta(session, tuple(writing.parts), tuple(writing.described), writing.is_full)


class _Writing:
    """One delta being put together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.parts: list[SegmentPart] = []
        self.described: list[Described] = []
        self._bytes = 0
        self._claims = 0

    @property
    def is_full(self) -> bool:
        return (
            self._bytes >= DELTA_BYTES
            or len(self.parts) >= DELTA_PARTS_LIMIT
            or self._claims >= CLAIMS_LIMIT // 2
        )

    def describe(self, chain: Chain, state: ChainState, first: int, last: int) -> None:
        """Adds a stretch, in order, until it is full."""
        at = first - 1
        omitted: list[Omitted] = []
        for numbers, part, size in self._parts(state, first, last):
            for number in numbers:
                if number > at + 1:
                    self._omit(chain, omitted, at + 1, number - 1)
                at = max(at, number)
            self.parts.append(part)
            self._bytes += size
            if self.is_full:
                self.described.append(Described(*chain, first, at, tuple(omitted)))
                return
        if last > at:
            self._omit(chain, omitted, at + 1, last)
        self.described.append(Described(*chain, first, last, tuple(omitted)))

    def _parts(
        self, state: ChainState, low: int, high: int
    ) -> Iterator[tuple[list[int], SegmentPart, int]]:
        for segment in state.from_number(low):
            first = segment.header.first
            if first > high:
                return
            numbers = [first + at for at in sorted(segment.ops)]
            wanted = [number for number in numbers if low <= number <= high]
            if wanted:
                size = PART_BYTES + sum(len(segment.ops[each - first]) for each in wanted)
                yield wanted, segment.part(dict.fromkeys(wanted)), size

    def _omit(self, chain: Chain, omitted: list[Omitted], first: int, last: int) -> None:
        """Accounts for a stretch that is left out."""
        by = self._store.superseder(chain, last)
        omitted.append(Omitted(first, last, None if by is None else Dot(*by)))
        self._claims += 1
