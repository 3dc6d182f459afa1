"""What a bidder remembers of a lot, and of slots that it granted."""

import enum

from protocols.auction.messages import Invite, Opened, Sealed, Unit
from protocols.auction.parameters import SEEN_UNITS_LIMIT
from protocols.auction.sealing import commitment, opens
from protocols.auction.supply import Host


class BidPhase(enum.Enum):
    """Sealed, opened, or decided one way or the other."""

    COMMITTED = enum.auto()
    REVEALED = enum.auto()
    SETTLED = enum.auto()


class Bid:
    """One bid of this peer.

    Attributes:
        reserved: slots set aside for it until it is decided.
        awarded: the most that any award of the lot gave; never falls.
        book: the commitments as the issuer published them, None before.
        seen: what others revealed here, by bidder, up to `SEEN_UNITS_LIMIT` units in all.
    """

    __slots__ = (
        "_me",
        "awarded",
        "book",
        "commitment",
        "host",
        "invite",
        "invited",
        "issuer",
        "nonce",
        "phase",
        "reserved",
        "schedule",
        "seen",
        "seen_units",
    )

    def __init__(
        self,
        me: bytes,
        issuer: bytes,
        invite: Invite,
        host: Host,
        schedule: tuple[Unit, ...],
        nonce: bytes,
    ) -> None:
        self.issuer = issuer
        self.invite = invite
        self.invited = frozenset(candidate.peer for candidate in invite.candidates)
        self.host = host
        self.schedule = schedule
        self.nonce = nonce
        self._me = me
        self.commitment = commitment(invite.lot, me, nonce, schedule)
        self.phase = BidPhase.COMMITTED
        self.reserved = len(schedule)
        self.awarded = 0
        self.book: tuple[Sealed, ...] | None = None
        self.seen: dict[bytes, Opened] = {}
        self.seen_units = 0

    @property
    def lot(self) -> str:
        """The lot's name."""
        return self.invite.lot

    @property
    def is_open(self) -> bool:
        """Whether the bid still waits to be decided."""
        return self.phase is not BidPhase.SETTLED

    @property
    def is_pair(self) -> bool:
        """Whether nobody bids but the issuer of the lot and this peer, which is not the issuer."""
        return self.issuer != self._me and self.invited <= {self.issuer, self._me}

    def pair_book(self) -> tuple[Sealed, ...]:
        """What the book of a pair must be: both commitments, or this one alone."""
        lines = [Sealed(self._me, self.commitment)]
        if self.invite.seal:
            lines.append(Sealed(self.issuer, self.invite.seal))
        return tuple(sorted(lines, key=lambda line: line.bidder))

    def is_candidate(self, peer: bytes) -> bool:
        """Whether the peer was invited too."""
        return peer in self.invited

    def see(self, opened: Opened) -> None:
        """Remembers another bidder's reveal, unverified: the first one, while there is room."""
        if opened.bidder in self.seen or not self.is_candidate(opened.bidder):
            return
        if self.seen_units + len(opened.schedule) <= SEEN_UNITS_LIMIT:
            self.seen[opened.bidder] = opened
            self.seen_units += len(opened.schedule)

    def leaves_out(self, opened: tuple[Opened, ...]) -> bool:
        """Whether a reveal that was seen here, and fits the book, is missing."""
        present = {bid.bidder for bid in opened}
        missing = [line for line in self.book or () if line.bidder not in present]
        return any(
            line.bidder in self.seen and opens(self.lot, line.commitment, self.seen[line.bidder])
            for line in missing
        )


class Grant:
    """Slots of one lot that an issuer may fill, under a lease."""

    __slots__ = ("host", "issuer", "lease_ns", "lot", "slots")

    def __init__(self, lot: str, issuer: bytes, host: Host, lease_ns: int) -> None:
        self.lot = lot
        self.issuer = issuer
        self.host = host
        self.lease_ns = lease_ns
        self.slots = 0
