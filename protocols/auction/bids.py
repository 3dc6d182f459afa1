"""What a bidder remembers of a lot, and of slots that it granted."""

import enum

from protocols.auction.messages import Invite, Opened, Sealed, Unit
from protocols.auction.sealing import commitment
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
        seen: what others revealed here, as commitments, by bidder.
    """

    __slots__ = (
        "awarded",
        "book",
        "commitment",
        "host",
        "invite",
        "issuer",
        "nonce",
        "phase",
        "reserved",
        "schedule",
        "seen",
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
        self.host = host
        self.schedule = schedule
        self.nonce = nonce
        self.commitment = commitment(invite.lot, me, nonce, schedule)
        self.phase = BidPhase.COMMITTED
        self.reserved = len(schedule)
        self.awarded = 0
        self.book: tuple[Sealed, ...] | None = None
        self.seen: dict[bytes, bytes] = {}

    @property
    def lot(self) -> str:
        """The lot's name."""
        return self.invite.lot

    @property
    def is_open(self) -> bool:
        """Whether the bid still waits to be decided."""
        return self.phase is not BidPhase.SETTLED

    def is_candidate(self, peer: bytes) -> bool:
        """Whether the peer was invited too."""
        return any(candidate.peer == peer for candidate in self.invite.candidates)

    def leaves_out(self, opened: tuple[Opened, ...]) -> bool:
        """Whether a reveal that was seen here, and fits the book, is missing."""
        if self.book is None:
            return False
        present = {bid.bidder for bid in opened}
        return any(
            line.bidder not in present and self.seen.get(line.bidder) == line.commitment
            for line in self.book
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
