"""What an auction writes down: the story of each award, before the award leaves."""

import msgspec

from protocols.auction.events import LotCleared


class LotRecord(msgspec.Struct, frozen=True, array_like=True, tag="auction.lot-record"):
    """The story of a lot. A later record of the same lot replaces it."""

    story: LotCleared


RECORDS = (LotRecord,)
