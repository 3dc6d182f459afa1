"""What an auction tells the other machines, agents and people."""

import msgspec


class BidSummary(msgspec.Struct, frozen=True):
    """One bid of a cleared lot, as `mesh why` shows it."""

    bidder: bytes
    units: int
    first_completion_us: int
    first_cost: int
    confidence: int
    multiplier: int
    slots_won: int
    outcome: str
    """``won``, ``lost``, ``declined: reason``, ``silent`` (no commit) or ``unrevealed``."""


class SlotsWon(msgspec.Struct, frozen=True, tag="auction.slots-won"):
    """Issuer: slots of a lot are this peer's to fill until released or lost.

    `slots` come on top of what the same lot gave before (forfeits of others pass slots on).
    """

    lot: str
    skill: str
    version: str
    bidder: bytes
    slots: int
    completion_us: int
    """The bidder's claimed completion of one task, microseconds."""
    requires: tuple[str, ...] = ()
    """The labels that were asked for."""


class SlotsLost(msgspec.Struct, frozen=True, tag="auction.slots-lost"):
    """Issuer: slots are gone (forfeited, bidder gone, lease not renewed)."""

    lot: str
    skill: str
    version: str
    bidder: bytes
    slots: int
    reason: str


class LotCleared(msgspec.Struct, frozen=True, tag="auction.lot-cleared"):
    """Issuer: the whole story of a lot, for events and `mesh why`."""

    lot: str
    skill: str
    version: str
    units: int
    awarded: int
    bids: tuple[BidSummary, ...]
    opened_wall_ns: int
    cleared_wall_ns: int
    trace: str = ""


class LotFailed(msgspec.Struct, frozen=True, tag="auction.lot-failed"):
    """Issuer: nobody took anything; the auction tries again by itself after `retry_ns`."""

    lot: str
    skill: str
    version: str
    reason: str
    """``no-candidate``, ``no-bid`` or ``no-capacity``."""
    retry_ns: int


class SlotsGranted(msgspec.Struct, frozen=True, tag="auction.slots-granted"):
    """Bidder: this issuer may assign to so many slots of the lot. The count is absolute.

    `slots` 0 ends the grant (released, lease expired, issuer gone). `version` is what
    is hosted here, also where the lot asked for any.
    """

    lot: str
    issuer: bytes
    skill: str
    version: str
    slots: int


class SlotsRecalled(msgspec.Struct, frozen=True, tag="auction.slots-recalled"):
    """Issuer: so many slots of a lot are to be given back as their tasks end; others wait."""

    lot: str
    skill: str
    version: str
    bidder: bytes
    slots: int
