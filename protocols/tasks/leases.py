"""One lease on an exclusive task's key, from the custodian's first question to its end.

The ordered log grants leases; what is here is what one custodian knows of one.
"""

from typing import TYPE_CHECKING, NamedTuple

from protocols.machine import MILLISECOND_NS, SECOND_NS, Now
from protocols.tasks.messages import Outcome

if TYPE_CHECKING:
    from protocols.tasks.task import Task

LEASE_TTL_MS = 10_000
"""How long a lease lasts in log time, from when it was granted or renewed."""
LEASE_MARGIN_NS = 2 * SECOND_NS
"""So long before its lease ends by the wall clock an attempt is stopped: log time may be a second
ahead of an honest clock, and another second is for clocks that differ."""
LEASE_RENEW_NS = 3 * SECOND_NS
LEASE_AGAIN_NS = SECOND_NS
"""A question that nobody answered is asked again, and others are asked."""
HELD_FIRST_NS, HELD_MOST_NS = 100 * MILLISECOND_NS, 2 * SECOND_NS
"""How soon a key that another holds is asked for again: doubled from the first to the most."""
LEASES_LIMIT = 512
"""Keys that one custodian holds, or asks for, at once; more wait their turn."""
LAPSING_LIMIT = 1024
"""Attempts remembered whose end is not known, so that word of it frees their keys at once."""
EXCLUSIVE_LIMIT = 200
"""Characters of a key."""
LEASE_PREFIX = "tasks/"

ASKING, HELD, CONFIRMING = "asking", "held", "confirming"
ACQUIRE, RENEW, RELEASE = "acquire", "renew", "release"


class Pending(NamedTuple):
    """A result that counts if the lease turns out to have been held when it came."""

    outcome: Outcome
    link: bytes
    batch: int


class Lease:
    """What a custodian knows of one lease. Times are monotonic but for `ends_ms`, in log time."""

    __slots__ = (
        "asked_at", "due", "ends_ms", "holder", "name", "pause", "pending", "request", "state",
        "task", "token", "until", "verb", "why",
    )  # fmt: skip

    def __init__(self, name: str, holder: str, task: "Task") -> None:
        self.name = name
        self.holder = holder
        self.task = task
        self.state = ASKING
        self.token = 0
        self.ends_ms = 0
        self.until = 0
        """When an attempt under it must have stopped, by this custodian's clock."""
        self.asked_at = 0
        self.due = 0
        """When to ask: again, or for more time."""
        self.request = 0
        """The question under way; 0 where there is none."""
        self.verb = ACQUIRE
        self.pause = HELD_FIRST_NS
        self.pending: Pending | None = None
        self.why = ""

    def granted(self, token: int, ends_ms: int, now: Now) -> None:
        """The log has granted it, or more time: counted from before that was asked."""
        left_ns = ends_ms * MILLISECOND_NS - now.wall_ns
        by_wall = now.monotonic_ns + left_ns
        by_own = self.asked_at + LEASE_TTL_MS * MILLISECOND_NS
        self.token, self.ends_ms = token, ends_ms
        self.until = min(by_wall, by_own) - LEASE_MARGIN_NS
        self.due = now.monotonic_ns + LEASE_RENEW_NS
        self.request = 0


def lease_left_ns(ends_ms: int, wall_ns: int) -> int:
    """How long an attempt may still run by this wall clock, under a lease that ends then."""
    left = ends_ms * MILLISECOND_NS - wall_ns
    return min(left, LEASE_TTL_MS * MILLISECOND_NS) - LEASE_MARGIN_NS
