"""The slots that an issuer holds: won, and neither released nor lost."""

from collections.abc import Iterator

from protocols.auction.lots import Key


class Holding:
    """Slots of one lot at one bidder.

    Attributes:
        is_accepted: the bidder has confirmed them.
        owed: those of them that are to be given back when their tasks end.
    """

    __slots__ = ("bidder", "is_accepted", "key", "lot", "owed", "slots")

    def __init__(self, lot: str, bidder: bytes, key: Key) -> None:
        self.lot = lot
        self.bidder = bidder
        self.key = key
        self.slots = 0
        self.owed = 0
        self.is_accepted = False


class Holdings:
    """All slots held, and their sums by skill."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, bytes], Holding] = {}
        self._sums: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Holding]:
        return iter(tuple(self._held.values()))

    def get(self, lot: str, bidder: bytes) -> Holding | None:
        """What is held of a lot at a bidder, or None."""
        return self._held.get((lot, bidder))

    def of(self, bidder: bytes) -> list[Holding]:
        """All that is held at a bidder."""
        return [holding for holding in self._held.values() if holding.bidder == bidder]

    def sum(self, key: Key) -> int:
        """How many slots are held for a demand."""
        return self._sums.get(key, 0)

    def owed(self, key: Key) -> int:
        """How many of those held for a demand are to be given back."""
        return sum(holding.owed for holding in self._held.values() if holding.key == key)

    def add(self, lot: str, bidder: bytes, key: Key, slots: int) -> Holding:
        """Slots were won; their bidder has to confirm them."""
        assert slots > 0, "only slots that were won are held"
        holding = self._held.get((lot, bidder))
        if holding is None:
            holding = self._held[(lot, bidder)] = Holding(lot, bidder, key)
        holding.slots += slots
        holding.is_accepted = False
        self._sums[key] = self._sums.get(key, 0) + slots
        return holding

    def take(self, holding: Holding, slots: int) -> None:
        """Slots are held no more."""
        assert 0 < slots <= holding.slots, "only slots that are held are taken away"
        holding.slots -= slots
        holding.owed = max(0, holding.owed - slots)
        if not holding.slots:
            del self._held[(holding.lot, holding.bidder)]
        self._sums[holding.key] -= slots
        if not self._sums[holding.key]:
            del self._sums[holding.key]

    def check(self) -> None:
        """Asserts that the sums are sums."""
        sums: dict[Key, int] = {}
        for (lot, bidder), holding in self._held.items():
            assert holding.slots > 0, "held-slots-add-up: an empty holding is kept"
            assert 0 <= holding.owed <= holding.slots, "held-slots-add-up: more is owed than held"
            assert (holding.lot, holding.bidder) == (lot, bidder), "held-slots-add-up: misfiled"
            sums[holding.key] = sums.get(holding.key, 0) + holding.slots
        assert sums == self._sums, "held-slots-add-up: the sum by skill is wrong"
