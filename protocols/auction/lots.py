"""What an issuer knows of one lot, and what `mesh why` will show of it."""

import enum

from protocols.auction.events import BidSummary, LotCleared
from protocols.auction.messages import Award, Candidate, Invite, Opened, Sealed
from protocols.machine import Now

WON, LOST, SILENT, UNREVEALED, DECLINED = "won", "lost", "silent", "unrevealed", "declined: "


Key = tuple[str, str, tuple[str, ...]]
"""A demand: skill, version, required labels."""


class Phase(enum.Enum):
    """Where a lot stands; see the picture in docs/protocols/auction.md."""

    COMMITTING = enum.auto()
    REVEALING = enum.auto()
    AWARDED = enum.auto()


class Demand:
    """How many slots of one skill are wanted, and the lot that is open for them.

    Attributes:
        key: (skill, version, required labels); version "" for any.
        failures: lots in a row that fell short.
        retry_at: no lot is opened before this instant; None if one may be.
        last_attempt: when the last lot ended.
        has_vacancy: a bidder announced room while the lot was open.
        avoid: not invited before `avoid_until`, as long as others host the skill.
    """

    __slots__ = (
        "avoid",
        "avoid_until",
        "estimate_us",
        "failures",
        "has_vacancy",
        "key",
        "last_attempt",
        "lot",
        "retry_at",
        "trace",
        "units",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.units = 0
        self.estimate_us = 0
        self.trace = ""
        self.lot: Lot | None = None
        self.failures = 0
        self.retry_at: int | None = None
        self.last_attempt = 0
        self.has_vacancy = False
        self.avoid: tuple[bytes, ...] = ()
        self.avoid_until = 0

    @property
    def skill(self) -> tuple[str, str]:
        """What is sought: (skill, version)."""
        return self.key[:2]

    @property
    def requires(self) -> tuple[str, ...]:
        """The labels that a bidder must have."""
        return self.key[2]


class Lot:
    """One lot, from its invitation until every winner has answered.

    Attributes:
        commitments, declines, opened: by bidder, in order of arrival.
        mismatched: bidders whose reveal did not match.
        winners: slots awarded by bidder; never falls, whatever is lost later.
        unanswered: winners whose `Accept` is awaited.
        limits: how many units count of bidders that forfeited some.
        unasked: in a pair, the other bidder until the issuer's own bid is sealed.
        is_pair: nobody bids but the issuer and one other, or one of the two.
    """

    __slots__ = (
        "award",
        "commitments",
        "declines",
        "expires_at",
        "invite",
        "invited",
        "is_pair",
        "key",
        "limits",
        "mismatched",
        "opened",
        "opened_wall_ns",
        "phase",
        "sealed",
        "trace",
        "unanswered",
        "unasked",
        "winners",
    )

    def __init__(self, me: bytes, invite: Invite, key: Key, trace: str, now: Now) -> None:
        self.unasked: tuple[bytes, ...] = ()
        self.put(me, invite)
        self.key = key
        self.trace = trace
        self.opened_wall_ns = now.wall_ns
        self.phase = Phase.COMMITTING
        self.commitments: dict[bytes, bytes] = {}
        self.declines: dict[bytes, str] = {}
        self.sealed: tuple[Sealed, ...] = ()
        self.opened: dict[bytes, Opened] = {}
        self.mismatched: dict[bytes, None] = {}
        self.winners: dict[bytes, int] = {}
        self.unanswered: dict[bytes, None] = {}
        self.limits: dict[bytes, int] = {}
        self.award: Award | None = None
        self.expires_at = 0

    def put(self, me: bytes, invite: Invite) -> None:
        """Takes the invitation, or the one that replaces it before others were asked."""
        self.invite = invite
        self.invited = frozenset(candidate.peer for candidate in invite.candidates)
        others = tuple(c.peer for c in invite.candidates if c.peer != me)
        self.is_pair = len(others) <= 1
        self.unasked = others if self.is_pair and me in self.invited else ()

    @property
    def id(self) -> str:
        """The lot's name."""
        return self.invite.lot

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Who was invited."""
        return self.invite.candidates

    def is_invited(self, peer: bytes) -> bool:
        """Whether the peer is a candidate of this lot."""
        return peer in self.invited

    def all_answered(self) -> bool:
        """Whether nobody is left to wait for before the book."""
        return len(self.commitments) + len(self.declines) == len(self.candidates)

    def all_revealed(self) -> bool:
        """Whether nobody is left to wait for before clearing."""
        return len(self.opened) + len(self.mismatched) == len(self.sealed)

    def story(self, now: Now) -> LotCleared:
        """The whole story of the lot so far: what the latest award says."""
        winners = () if self.award is None else self.award.winners
        won = {winner.bidder: winner.slots for winner in winners}
        return LotCleared(
            self.id,
            self.invite.skill,
            self.invite.version,
            self.invite.units,
            sum(won.values()),
            tuple(
                self._summary(candidate, won.get(candidate.peer, 0))
                for candidate in self.candidates
            ),
            self.opened_wall_ns,
            now.wall_ns,
            self.trace,
        )

    def _summary(self, candidate: Candidate, won: int) -> BidSummary:
        peer = candidate.peer
        bid = self.opened.get(peer)
        if peer in self.declines:
            outcome = DECLINED + self.declines[peer]
        elif peer not in self.commitments:
            outcome = SILENT
        elif bid is None:
            outcome = UNREVEALED
        else:
            outcome = WON if won else LOST
        if bid is None or not bid.schedule:
            return BidSummary(peer, 0, 0, 0, 0, candidate.multiplier, won, outcome)
        first = bid.schedule[0]
        return BidSummary(
            peer,
            len(bid.schedule),
            first.completion_us,
            first.cost,
            first.confidence,
            candidate.multiplier,
            won,
            outcome,
        )
