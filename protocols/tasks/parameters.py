"""What can be tuned of the tasks protocol, and the limits that cannot."""

import msgspec

from protocols.errors import ConfigurationError
from protocols.machine import MILLISECOND_NS, SECOND_NS

NEVER = 1 << 62
"""A monotonic instant that does not come."""

TERM = 1
"""The term of every token, as long as a task has one custodian for life."""
LOOKUPS_LIMIT = 1024
"""Questions to other peers that wait for an answer."""
PARKED_SUBMISSIONS_LIMIT = 64
"""Submissions that wait for a skill's spec."""
SPECS_LIMIT = 4096
MEMBERS_LIMIT = 4096
GRANTS_LIMIT = 8192
JOBS_PER_CUSTODIAN_LIMIT = 8192
"""Attempts that a worker holds for one custodian, as many as fit into one `Beat`."""
JOBS_BYTES_LIMIT = 256 * 1024 * 1024
"""Inputs that a worker holds for all custodians together."""
CHUNK_LIMIT = 256
"""Jobs shorter than a millisecond that are handed to the agents at once, per skill."""
RECENT_LIMIT = 4096
"""Acknowledged outcomes that a worker remembers, to answer a repeated `Assign`."""
RECENT_VALUE_LIMIT = 16 * 1024
MESSAGE_BYTES = 48 * 1024
"""Jobs and outcomes are packed into messages of about this size, which travel whole."""
HISTORY_LIMIT = 64
"""Attempts shown in a `TaskView`, the newest."""
CHILDREN_LIMIT = 256
"""Children shown in a `TaskView`."""
LISTED_LIMIT = 1000
"""Tasks in one `TasksListed`."""
DIRECT_QUEUE_PER_SLOT, DIRECT_QUEUE_SPARE = 4, 16
"""A worker holds at most 4 × slots + 16 jobs of a skill that came without a lot."""
OFFERS_LIMIT = 1024
"""Offers on the blackboard that a peer looks at; the oldest make room."""
CLAIMERS_LIMIT = 4096
OFFER_UNITS_LIMIT = 256
"""Places that one offer asks for beyond those that were claimed."""
OFFER_KEPT_NS = 15 * SECOND_NS
"""Offers and claims end so long after they were written last: those of the dead do, too."""
PARKED_PER_SLOT, PARKED_SPARE = 4, 16
"""Parked tasks of a skill beyond which its custodian binds nothing but children."""


class TaskParameters(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the tasks protocol; see the table in docs/protocols/tasks.md."""

    pending_tasks: int = 100_000
    pending_bytes: int = 256 * 1024 * 1024
    batch_tasks: int = 16_384
    depth: int = 32
    units: int = 2048
    target_us: int = 4_000
    idle_ns: int = 200 * MILLISECOND_NS
    retry_first_ns: int = 50 * MILLISECOND_NS
    retry_most_ns: int = 5 * SECOND_NS
    avoid_ns: int = 500 * MILLISECOND_NS
    losses: int = 10
    poison_ns: int = 2 * SECOND_NS
    beat_ns: int = SECOND_NS
    silent_beats: int = 3
    grace_ns: int = 2 * SECOND_NS
    resend_first_ns: int = SECOND_NS
    resend_most_ns: int = 8 * SECOND_NS
    results_kept: int = 100_000
    results_bytes: int = 256 * 1024 * 1024
    results_age_ns: int = 24 * 3600 * SECOND_NS
    lookup_ns: int = 2 * SECOND_NS
    describe_ns: int = 2 * SECOND_NS
    describe_again_ns: int = 250 * MILLISECOND_NS
    direct_patience_ns: int = 30 * SECOND_NS
    settled_tasks: int = 20_000
    settled_bytes: int = 256 * 1024 * 1024
    settled_age_ns: int = 3600 * SECOND_NS
    dead_tasks: int = 10_000
    dead_bytes: int = 64 * 1024 * 1024
    dead_age_ns: int = 7 * 24 * 3600 * SECOND_NS
    observe_ns: int = 50 * MILLISECOND_NS
    load_ns: int = 200 * MILLISECOND_NS
    claim_window_ns: int = 2 * MILLISECOND_NS
    claim_spread_ns: int = 4 * MILLISECOND_NS
    claim_patience_ns: int = 100 * MILLISECOND_NS
    repost_ns: int = 250 * MILLISECOND_NS
    repost_most_ns: int = 4 * SECOND_NS

    def __post_init__(self) -> None:
        """Refuses what cannot work.

        Raises:
            ConfigurationError: a number is not above zero.
        """
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"tasks.{name} must be above zero")
