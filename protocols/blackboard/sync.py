"""What one peer tells another of what it has: vectors, and the stretches that are beyond one.

A *delta* describes stretches of chains: of every op in them it holds the op, or says
which live op supersedes it. Memory is that of live data, so for a stretch that is left
out the live op is named that supersedes most of the chain; whoever is told takes the
stretch as known only once that op is applied there, and has seen a context that reaches
as far. What a lie could hide shows when digests are compared (`healing`).
"""

from collections.abc import Iterator, Mapping

from protocols.blackboard.chains import ChainState
from protocols.blackboard.messages import Delta, Described, Dot, Omitted, Position
from protocols.blackboard.parameters import CLAIMS_LIMIT, DELTA_BYTES, DELTA_PARTS_LIMIT
from protocols.blackboard.segments import SegmentPart
from protocols.blackboard.store import Store
from protocols.blackboard.vectors import Chain

PART_BYTES = 300
"""About what a part takes beside its ops."""


def delta_of(store: Store, session: int, positions: tuple[Position, ...]) -> Delta:
    """As much as fits of what is known here beyond some positions."""
    writing = _Writing(store)
    for each in positions:
        state = store.chains.get((each.writer, each.generation))
        if state is not None and state.known.prefix > each.after:
            writing.describe((each.writer, each.generation), state, each.after)
        if writing.is_full:
            break
    return Delta(session, tuple(writing.parts), tuple(writing.described), writing.is_full)


def positions_beyond(
    mine: Mapping[Chain, int], theirs: Mapping[Chain, int]
) -> tuple[Position, ...]:
    """From where on a peer that knows so much can tell something new."""
    return tuple(
        Position(writer, generation, mine.get((writer, generation), 0))
        for (writer, generation), prefix in theirs.items()
        if prefix > mine.get((writer, generation), 0)
    )


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

    def describe(self, chain: Chain, state: ChainState, after: int) -> None:
        """Adds what follows `after`, in order, until it is full."""
        known = state.known.prefix
        at = after
        omitted: list[Omitted] = []
        for numbers, part, size in self._parts(state, after, known):
            for number in numbers:
                if number > at + 1:
                    self._omit(chain, omitted, at + 1, number - 1)
                at = max(at, number)
            self.parts.append(part)
            self._bytes += size
            if self.is_full:
                self._end(chain, after, at, omitted)
                return
        if known > at:
            self._omit(chain, omitted, at + 1, known)
        self._end(chain, after, max(at, known), omitted)

    def _parts(
        self, state: ChainState, after: int, known: int
    ) -> Iterator[tuple[list[int], SegmentPart, int]]:
        for segment in state.from_number(after + 1):
            first = segment.header.first
            numbers = [first + at for at in sorted(segment.ops)]
            wanted = [number for number in numbers if after < number <= known]
            if wanted:
                size = PART_BYTES + sum(len(segment.ops[each - first]) for each in wanted)
                yield wanted, segment.part(dict.fromkeys(wanted)), size

    def _omit(self, chain: Chain, omitted: list[Omitted], first: int, last: int) -> None:
        """Accounts for a stretch that is left out."""
        by = self._store.superseder(chain, last)
        omitted.append(Omitted(first, last, None if by is None else Dot(*by)))
        self._claims += 1

    def _end(self, chain: Chain, after: int, at: int, omitted: list[Omitted]) -> None:
        if at > after:
            self.described.append(Described(*chain, after + 1, at, tuple(omitted)))
