"""Local reputation: what a peer's words have been worth to this one.

Nothing here is gossiped, and nothing is for ever: each kept promise takes a
lapse back, and a new boot starts clean.
"""

from protocols.auction.clearing import MILLION
from protocols.auction.parameters import STANDINGS_LIMIT
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant

Skill = tuple[str, str]
"""Name and version."""
RATIO_LEAST = MILLION // 2
RATIO_MOST = 4 * MILLION
RATIO_WEIGHT = 8
"""An observation moves the ratio by one part in so many."""
RATIOS_LIMIT = 64
"""Skills of one peer whose ratio is remembered; the one least lately seen makes room."""
LAPSES_LIMIT = 8
SHUN_FIRST_NS = 50 * MILLISECOND_NS
SHUN_MOST_NS = 5 * SECOND_NS


class Standing:
    """What is remembered of one peer.

    Attributes:
        ratios: actual over claimed duration by skill and version, millionths. A peer may be
            quick at one and slow at another, and says so of each.
        lapses: promises not kept, less those kept since.
        shunned_until: passed over before this instant, while there are others.
        omissions: awards of its that left out a reveal which was seen here. Loss
            looks the same, so they are shown, and have no consequence.
    """

    __slots__ = ("lapses", "omissions", "ratios", "shunned_until")

    def __init__(self) -> None:
        self.ratios: dict[Skill, int] = {}
        self.lapses = 0
        self.shunned_until: Instant | None = None
        self.omissions = 0

    def multiplier(self, skill: Skill) -> int:
        """What this peer's claims for a skill are multiplied by, millionths."""
        return self.ratios.get(skill, MILLION) * (4 + self.lapses) // 4

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

    def observe(self, peer: bytes, skill: Skill, claimed_us: int, actual_us: int) -> None:
        """A task took so long where so much had been claimed."""
        if claimed_us <= 0 or actual_us < 0:
            return
        standing = self._own(peer)
        seen = min(max(actual_us * MILLION // claimed_us, RATIO_LEAST), RATIO_MOST)
        ratio = standing.ratios.pop(skill, MILLION)
        ratio += (seen - ratio) // RATIO_WEIGHT
        assert RATIO_LEAST <= ratio <= RATIO_MOST, "a mean stays among its terms"
        if len(standing.ratios) >= RATIOS_LIMIT:
            del standing.ratios[next(iter(standing.ratios))]
        standing.ratios[skill] = ratio

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
