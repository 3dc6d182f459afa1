"""A suspicion: who accuses a member's present incarnation, and until when it may refute.

Lifeguard IV-B: the timer starts long, and shortens with each confirmation by
another member.
"""

from dataclasses import dataclass, field

from protocols.gossip.parameters import (
    OBSERVER_ACCUSATIONS_LIMIT,
    OTHER_ACCUSATIONS_LIMIT,
    RESTARTS_LIMIT,
)
from protocols.machine import Instant
from protocols.wire import Signed


@dataclass(slots=True)
class Suspicion:
    """The case against one incarnation of one member."""

    started_at: Instant
    ends_at: Instant
    ended: bool = False
    restarts: int = 0
    by_observers: dict[bytes, Signed] = field(default_factory=dict)
    by_others: dict[bytes, Signed] = field(default_factory=dict)

    def restart(self, now: Instant) -> bool:
        """Counts silence from now on; False when that was done often enough."""
        if self.ended or self.restarts >= RESTARTS_LIMIT:
            return False
        self.started_at = now
        self.restarts += 1
        return True

    def add(self, accuser: bytes, envelope: Signed, is_observer: bool) -> bool:
        """Takes an accusation; False when it says nothing new or there is no more room."""
        if accuser in self.by_observers or accuser in self.by_others:
            return False
        if is_observer and len(self.by_observers) < OBSERVER_ACCUSATIONS_LIMIT:
            self.by_observers[accuser] = envelope
            return True
        if not is_observer and len(self.by_others) < OTHER_ACCUSATIONS_LIMIT:
            self.by_others[accuser] = envelope
            return True
        return False

    @property
    def accusers(self) -> tuple[bytes, ...]:
        """Who accuses; observers first."""
        return (*self.by_observers, *self.by_others)

    @property
    def envelopes(self) -> tuple[Signed, ...]:
        """The signed accusations; observers' first."""
        return (*self.by_observers.values(), *self.by_others.values())

    @property
    def confirmations(self) -> int:
        """Accusers beyond the first."""
        return len(self.by_observers) + len(self.by_others) - 1
