"""How often an elector is shown, or asked, the same."""

from protocols.machine import MILLISECOND_NS, Instant, Now
from protocols.voting.roll import Roll

REPLY_NS = 100 * MILLISECOND_NS


class Replies:
    """What was said to whom, and when last; to electors alone, so there are few."""

    def __init__(self) -> None:
        """Begins with nothing said."""
        self._said: dict[tuple[bytes, str], Instant] = {}

    def may(self, to: bytes, what: str, roll: Roll | None, now: Now) -> bool:
        """Whether to say it to a peer now; it counts as said."""
        before = self._said.get((to, what))
        if before is not None and now.monotonic_ns < before + REPLY_NS:
            return False
        if roll is None or to not in roll.electors:
            return False
        self._said[(to, what)] = now.monotonic_ns
        return True
