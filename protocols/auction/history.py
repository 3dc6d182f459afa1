"""The stories of past lots, for `mesh why`: bounded, and awards survive a restart."""

from collections.abc import Iterator

from protocols.auction.events import LotCleared
from protocols.auction.parameters import FAILED_HISTORY_LIMIT, HISTORY_LIMIT


class History:
    """Awarded lots and, apart, lots that came to nothing: those must not push out the others."""

    def __init__(self) -> None:
        self._awarded: dict[str, LotCleared] = {}
        self._failed: dict[str, LotCleared] = {}

    def __len__(self) -> int:
        return len(self._awarded) + len(self._failed)

    def put(self, story: LotCleared) -> None:
        """Adds a story, or replaces the same lot's in place."""
        if story.awarded or story.lot in self._awarded:
            shelf, limit = self._awarded, HISTORY_LIMIT
        else:
            shelf, limit = self._failed, FAILED_HISTORY_LIMIT
        if story.lot not in shelf and len(shelf) >= limit:
            del shelf[next(iter(shelf))]
        shelf[story.lot] = story

    def get(self, lot: str) -> LotCleared | None:
        """The story of a lot, or None if it is unknown or forgotten."""
        return self._awarded.get(lot) or self._failed.get(lot)

    def awarded(self) -> Iterator[LotCleared]:
        """The stories that last, oldest first."""
        return iter(self._awarded.values())

    def recent(self) -> Iterator[LotCleared]:
        """All stories, those without award first, each kind oldest first."""
        yield from self._failed.values()
        yield from self._awarded.values()

    def check(self) -> None:
        """Asserts the limits."""
        assert len(self._awarded) <= HISTORY_LIMIT, "bounded-auction-tables: history"
        assert len(self._failed) <= FAILED_HISTORY_LIMIT, "bounded-auction-tables: failed history"
