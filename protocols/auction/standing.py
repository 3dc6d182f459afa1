"""Local reputation: what a peer's words have been worth to this one.

Nothing here is gossiped, and nothing is for ever: each kept promise takes a
lapse back, and a new boot starts clean.
"""

from protocols.auction.clearing import MILLION
from protocols.auction.parameters import STANDINGS_LIMIT
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant

RATIO_LEAST = MILLION // 2
RATIO_MOST = 4 * MILLION
RATIO_WEIGHT = 8
"""An observation moves the ratio by one part in so many."""
LAPSES_LIMIT = 8
SHUN_FIRST_NS = 50 * MILLISECOND_NS
SHUN_MOST_NS = 5 * SECOND_NS


class Standing:
    """What is remembered of one peer.

    Attributes:
        ratio: actual over claimed duration, millionths.
        lapses: promises not kept, less those kept since.
        shunned_until: passed over before this instant, while there are others.
        omissions: awards of its that left out a reveal which was seen here. Loss
            looks the same, so they are shown, and have no consequence.
    """

    __slots__ = ("lapses", "omissions", "ratio", "shunned_until")

    def __init__(self) -> None:
        self.ratio = MILLION
        self.lapses = 0
        self.shunned_until: Instant | None = None
        self.omissions = 0

    @property
    def multiplier(self) -> int:
        """What this peer's claims are multiplied by, millionths."""
        return self.ratio * (4 + self.lapses) // 4

    def shunned(self, now: Instant) -> bool:
        """Whether the peer is to be passed over."""
        return self.shunned_until is not None and now < self.shunned_until


class Standings:
    """The standing of every peer that has one; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._of: dict[bytes, Standing] = {}
        self._neutral = Standing()

    def __len__(self) -> int:
        return len(self._of)

    def of(self, peer: bytes) -> Standing:
        """The standing of a peer, to read."""
        return self._of.get(peer, self._neutral)

    def lapse(self, peer: bytes, now: Instant) -> None:
        """The peer did not do what it had undertaken."""
        standing = self._own(peer)
        pause = min(SHUN_FIRST_NS << standing.lapses, SHUN_MOST_NS)
        standing.lapses = min(standing.lapses + 1, LAPSES_LIMIT)
        standing.shunned_until = now + pause

    def keep(self, peer: bytes) -> None:
        """The peer did what it had undertaken."""
        standing = self._of.get(peer)
        if standing is not None:
            standing.lapses = max(0, standing.lapses - 1)
            standing.shunned_until = None

    def answer(self, peer: bytes) -> None:
        """The peer is there after all, if late: it may be asked again."""
        standing = self._of.get(peer)
        if standing is not None:
            standing.shunned_until = None

    def omit(self, peer: bytes) -> None:
        """An award of the peer's left out a reveal that was seen here."""
        self._own(peer).omissions += 1

    def observe(self, peer: bytes, claimed_us: int, actual_us: int) -> None:
        """A task took so long where so much had been claimed."""
        if claimed_us <= 0 or actual_us < 0:
            return
        standing = self._own(peer)
        seen = min(max(actual_us * MILLION // claimed_us, RATIO_LEAST), RATIO_MOST)
        standing.ratio += (seen - standing.ratio) // RATIO_WEIGHT
        assert RATIO_LEAST <= standing.ratio <= RATIO_MOST, "a mean stays among its terms"

    def renew(self, peer: bytes) -> None:
        """The peer has a new boot: its lapses are forgiven, its speed is remembered."""
        standing = self._of.get(peer)
        if standing is not None:
            standing.lapses = 0
            standing.shunned_until = None

    def _own(self, peer: bytes) -> Standing:
        standing = self._of.get(peer)
        if standing is None:
            if len(self._of) >= STANDINGS_LIMIT:
                del self._of[next(iter(self._of))]
            standing = self._of[peer] = Standing()
        return standing
