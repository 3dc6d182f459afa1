"""What can be tuned of an auction, and the limits that cannot."""

import msgspec

from protocols.auction.messages import BIDDERS_PER_LOT_LIMIT, UNITS_PER_BID_LIMIT
from protocols.errors import ConfigurationError
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.wire import MESSAGE_LIMIT

BIDS_PER_ISSUER_LIMIT = 16
"""Open bids (with reservations) towards one issuer; beyond, `too-many-lots`."""
BIDS_LIMIT = 256
"""Open bids in all."""
REMEMBERED_BIDS_LIMIT = 1024
"""Open and recently closed bids; the oldest closed ones are forgotten first."""
SEEN_UNITS_LIMIT = 1024
"""Units of others' schedules that one bid remembers until its award."""
GRANTS_LIMIT = 4096
"""Lots whose slots a bidder provides at one time."""
WAITING_LIMIT = 512
"""Issuers that were told `busy` and will be told of a vacancy."""
VACANCIES_PER_STEP = 8
CLAIM_NS = 100 * MILLISECOND_NS
"""How long slots that were given back are kept for whom they were called back."""
AVOID_NS = SECOND_NS
"""How long after a `Seek` the peers that it avoids are not invited, while others are there."""
WAITED_NS = 3 * SECOND_NS
"""An issuer that was turned away and does not ask again for so long waits no more."""
TENURE_NS = 250 * MILLISECOND_NS
"""How long an issuer is turned away before others, or tasks without slots, make room for it."""
DEMANDS_LIMIT = 1024
"""Skills sought at one time."""
LOTS_LIMIT = 1024
"""Lots open, or awarded and not settled."""
CANDIDATES_LIMIT = 4096
BARRED_LIMIT = 4096
"""Peers that may not be invited for some skill; beyond, they are invited."""
PRICES_LIMIT = 1024
"""Skills whose agents ask a price of their own."""
HISTORY_LIMIT = 1024
"""Stories of awarded lots that are kept, and survive a restart."""
FAILED_HISTORY_LIMIT = 64
"""Stories of lots without award that are kept in memory."""
STANDINGS_LIMIT = 4096

WINDOW_MOST_NS = SECOND_NS
"""The longest window that a bidder honours."""
LEASE_LEAST_NS = 100 * MILLISECOND_NS
LEASE_MOST_NS = 60 * SECOND_NS
"""The shortest and longest lease that a bidder honours."""
RESERVATION_SLACK_NS = 250 * MILLISECOND_NS
"""How long beyond both windows a bid waits for its award."""
AFTERLIFE_NS = SECOND_NS
"""How long a bid that was decided is remembered."""
ESTIMATE_UNKNOWN_US = 1_000
"""What a task is taken to last when nobody has said or seen anything."""

UNIT_BYTES_MOST = 24
LINE_BYTES_MOST = 160
"""Encoded sizes: one unit of a schedule; one bidder's share of an award beside its units."""


class AuctionParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of an auction; see the table in docs/protocols/auction.md."""

    candidates: int = 8
    units_per_lot: int = UNITS_PER_BID_LIMIT
    window_ns: int = 50 * MILLISECOND_NS
    reveal_window_ns: int = 50 * MILLISECOND_NS
    lease_ns: int = 3 * SECOND_NS
    retry_first_ns: int = 20 * MILLISECOND_NS
    retry_most_ns: int = SECOND_NS
    link_us: int = 500
    """What the way to another peer and back is taken to cost a task."""
    pair_us: int = 4_000
    """A single slot for tasks that last no longer is not worth more than one other bidder."""
    vacancy_pause_ns: int = 5 * MILLISECOND_NS
    award_retry_ns: int = 250 * MILLISECOND_NS

    def __post_init__(self) -> None:
        """Refuses what cannot work.

        Raises:
            ConfigurationError: a number is out of its range, and the message says which.
        """
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"auction.{name} must be above zero")
        if self.candidates > BIDDERS_PER_LOT_LIMIT:
            raise ConfigurationError(f"auction.candidates is above {BIDDERS_PER_LOT_LIMIT}")
        if self.units_per_lot > UNITS_PER_BID_LIMIT:
            raise ConfigurationError(f"auction.units_per_lot is above {UNITS_PER_BID_LIMIT}")
        if max(self.window_ns, self.reveal_window_ns) > WINDOW_MOST_NS:
            raise ConfigurationError("auction windows are above the second that bidders honour")
        if not LEASE_LEAST_NS <= self.lease_ns <= LEASE_MOST_NS:
            raise ConfigurationError("auction.lease_ns is outside 0.1 to 60 s")
        line = LINE_BYTES_MOST + self.units_per_lot * UNIT_BYTES_MOST
        if self.candidates * line > MESSAGE_LIMIT:
            raise ConfigurationError(
                "auction.candidates × auction.units_per_lot make awards over the message limit"
            )
