"""What issuers and bidders say to each other. Nothing here is signed: CURVE names the sender."""

from typing import Annotated

import msgspec

from protocols.wire import CountField, Message, NameField, PeerIdField

BIDDERS_PER_LOT_LIMIT = 64
UNITS_PER_BID_LIMIT = 256
REASON_LIMIT = 256

LotId = Annotated[str, msgspec.Meta(max_length=64)]
HashField = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Unit(msgspec.Struct, frozen=True, array_like=True):
    """One step of a supply schedule: what the next unit would cost.

    `completion_us`: when the first task in this slot would be done, microseconds from now.
    `cost`: in millionths of the mesh's unit of account. `confidence`: in millionths.
    """

    completion_us: CountField
    cost: CountField
    confidence: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


Schedule = Annotated[tuple[Unit, ...], msgspec.Meta(max_length=UNITS_PER_BID_LIMIT)]


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """A peer invited to a lot, with the multiplier its bids carry (millionths; 1_000_000 = 1)."""

    peer: PeerIdField
    multiplier: CountField
    delay_us: CountField = 0
    """The way to this peer and back, as the issuer has it; 0 for itself."""


class Invite(Message, frozen=True, array_like=True, tag="auction.invite"):
    """An issuer opens a lot. Candidates, multipliers and tie-break seed are fixed here."""

    lot: LotId
    skill: NameField
    version: Annotated[str, msgspec.Meta(max_length=32)]
    units: CountField
    estimate_us: CountField
    window_us: CountField
    lease_us: CountField
    seed: HashField
    candidates: Annotated[tuple[Candidate, ...], msgspec.Meta(max_length=BIDDERS_PER_LOT_LIMIT)]
    held: CountField = 0
    """How many slots of the skill the issuer holds already, at whomever."""
    seal: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
    """In a pair, the issuer's own commitment; empty where it does not bid."""


class Commit(Message, frozen=True, array_like=True, tag="auction.commit"):
    """A bidder's sealed bid: H(lot, bidder, nonce, schedule)."""

    lot: LotId
    commitment: HashField


class Decline(Message, frozen=True, array_like=True, tag="auction.decline"):
    """A bidder has no capacity, or does not host the skill."""

    lot: LotId
    reason: Annotated[str, msgspec.Meta(max_length=REASON_LIMIT)]
    retry_us: CountField = 0
    """When asking again may help, microseconds from now; 0 where the bidder cannot tell."""


class Sealed(msgspec.Struct, frozen=True, array_like=True):
    """One line of a book: who committed to what."""

    bidder: PeerIdField
    commitment: HashField


class Book(Message, frozen=True, array_like=True, tag="auction.book"):
    """The window is closed: all commitments, to all candidates."""

    lot: LotId
    sealed: Annotated[tuple[Sealed, ...], msgspec.Meta(max_length=BIDDERS_PER_LOT_LIMIT)]


class Reveal(Message, frozen=True, array_like=True, tag="auction.reveal"):
    """A bidder opens its bid, to the issuer and every other bidder of the book."""

    lot: LotId
    nonce: HashField
    schedule: Schedule


class Opened(msgspec.Struct, frozen=True, array_like=True):
    """A reveal as an award carries it."""

    bidder: PeerIdField
    nonce: HashField
    schedule: Schedule


class Winner(msgspec.Struct, frozen=True, array_like=True):
    """How many slots a bidder won."""

    bidder: PeerIdField
    slots: CountField


class Award(Message, frozen=True, array_like=True, tag="auction.award"):
    """The outcome, with all that is needed to compute it again."""

    lot: LotId
    sealed: Annotated[tuple[Sealed, ...], msgspec.Meta(max_length=BIDDERS_PER_LOT_LIMIT)]
    opened: Annotated[tuple[Opened, ...], msgspec.Meta(max_length=BIDDERS_PER_LOT_LIMIT)]
    winners: Annotated[tuple[Winner, ...], msgspec.Meta(max_length=BIDDERS_PER_LOT_LIMIT)]
    limits: Annotated[tuple[Winner, ...], msgspec.Meta(max_length=BIDDERS_PER_LOT_LIMIT)] = ()
    """Bidders that forfeited slots: no more units of their schedules count than these."""


class Accept(Message, frozen=True, array_like=True, tag="auction.accept"):
    """A winner recomputed the clearing, agrees, and holds its slots ready."""

    lot: LotId


class Forfeit(Message, frozen=True, array_like=True, tag="auction.forfeit"):
    """A winner cannot (or will not) provide some of its slots; they go to the next bid."""

    lot: LotId
    slots: CountField
    reason: Annotated[str, msgspec.Meta(max_length=REASON_LIMIT)]
    kept: CountField = 0
    """How many slots of the lot the bidder still provides: absolute, so repetition is harmless."""


class Renew(Message, frozen=True, array_like=True, tag="auction.renew"):
    """The issuer still holds these many slots of the lot; the lease starts again."""

    lot: LotId
    slots: CountField


class Release(Message, frozen=True, array_like=True, tag="auction.release"):
    """The issuer gives slots back, or does not need a bid."""

    lot: LotId
    slots: CountField
    kept: CountField = 0
    """How many slots of the lot the issuer still holds: absolute, so repetition is harmless."""


class Vacancy(Message, frozen=True, array_like=True, tag="auction.vacancy"):
    """A bidder that declined this issuer for want of room has room again."""

    skill: NameField
    version: Annotated[str, msgspec.Meta(max_length=32)]
    slots: CountField


class Recall(Message, frozen=True, array_like=True, tag="auction.recall"):
    """A bidder wants slots of a lot back, as tasks end: another issuer has waited for long."""

    lot: LotId
    slots: CountField
    held: CountField
    """How many slots of the skill the one that waits holds."""


KINDS = (
    Invite,
    Commit,
    Decline,
    Book,
    Reveal,
    Award,
    Accept,
    Forfeit,
    Renew,
    Release,
    Vacancy,
    Recall,
)
