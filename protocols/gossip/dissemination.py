"""The queue of rumours: each is sent on a bounded number of times, least sent first.

SWIM section 4.1: lambda * log(n) transmissions make it near certain that an
epidemic reaches everybody. A new rumour leaves at once; the rest of its
transmissions follow at intervals, and an empty queue causes no wake-up.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from protocols.gossip.outbox import Outbox
from protocols.gossip.parameters import BATCH_BYTES_LIMIT, RUMOURS_LIMIT, GossipParameters
from protocols.machine import Instant
from protocols.wire import Signed

ENVELOPE_OVERHEAD_BYTES = 140

Key = tuple[bytes, bytes]
"""(subject, accuser), with an empty accuser for the subject's own record; or a statement's id."""


@dataclass(slots=True)
class Rumour:
    """One signed message on its way through the mesh."""

    key: Key
    envelope: Signed
    source: bytes
    order: int
    sent: int = 0

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.envelope.body) + ENVELOPE_OVERHEAD_BYTES


class Dissemination:
    """Rumours to pass on, and when."""

    def __init__(
        self,
        parameters: GossipParameters,
        rng: random.Random,
        outbox: Outbox,
        alive: Callable[[], tuple[bytes, ...]],
    ) -> None:
        self._parameters = parameters
        self._rng = rng
        self._outbox = outbox
        self._alive = alive
        self._rumours: dict[Key, Rumour] = {}
        self._ring: list[bytes] = []
        self._ring_of: tuple[bytes, ...] = ()
        self._order = 0
        self._last_at: Instant = -parameters.eager_interval_ns
        self._next_at: Instant | None = None

    def __len__(self) -> int:
        return len(self._rumours)

    def add_record(self, subject: bytes, envelope: Signed, source: bytes, now: Instant) -> None:
        """A member's newest record; displaces the older one, and accusations of it."""
        for key in [key for key in self._rumours if key[0] == subject]:
            del self._rumours[key]
        self._add(Rumour((subject, b""), envelope, source, self._order), now)

    def add_accusation(
        self, suspect: bytes, accuser: bytes, envelope: Signed, source: bytes, now: Instant
    ) -> None:
        """An accusation of a member's present incarnation."""
        self._add(Rumour((suspect, accuser), envelope, source, self._order), now)

    def add_statement(self, name: bytes, envelope: Signed, source: bytes, now: Instant) -> None:
        """What an authority stated; its id is no peer's, so nothing displaces it."""
        self._add(Rumour((name, b""), envelope, source, self._order), now)

    def drop_member(self, subject: bytes) -> None:
        """Forgets all that is said of somebody who is no member any more."""
        for key in [key for key in self._rumours if key[0] == subject]:
            del self._rumours[key]

    def drop_accusations(self, suspect: bytes) -> None:
        """Forgets what is obsolete: the suspect answered."""
        for key in [key for key in self._rumours if key[0] == suspect and key[1]]:
            del self._rumours[key]

    def _add(self, rumour: Rumour, now: Instant) -> None:
        self._order += 1
        if len(self._rumours) >= RUMOURS_LIMIT and rumour.key not in self._rumours:
            most_sent = max(self._rumours.values(), key=lambda r: (r.sent, -r.order))
            del self._rumours[most_sent.key]
        self._rumours[rumour.key] = rumour
        soon = max(now, self._last_at + self._parameters.eager_interval_ns)
        self._next_at = soon if self._next_at is None else min(self._next_at, soon)

    def deadline(self) -> Instant | None:
        """When the next batch is due; None when there is nothing to say."""
        return self._next_at

    def flush(self, now: Instant) -> None:
        """Sends the next batch, when it is due."""
        if self._next_at is None or now < self._next_at:
            return
        if not self._alive():
            self._rumours.clear()
            self._next_at = None
            return
        limit = self._parameters.retransmissions(len(self._alive()) + 1)
        self._last_at = now
        for target in self._targets():
            size = 0
            for rumour in sorted(self._rumours.values(), key=lambda r: (r.sent, -r.order)):
                if size > 0 and size + rumour.size > BATCH_BYTES_LIMIT:
                    break
                rumour.sent += 1
                if rumour.sent >= limit:
                    del self._rumours[rumour.key]
                if rumour.source == target or rumour.key == (target, b""):
                    continue  # it knows; counted, so that a rumour nobody lacks ends too
                size += rumour.size
                self._outbox.send(target, rumour.envelope)
        self._next_at = now + self._parameters.rumour_interval_ns if self._rumours else None

    def _targets(self) -> Iterator[bytes]:
        """The next few live members of a shuffled ring; so a small mesh is covered soon."""
        alive = self._alive()
        if alive is not self._ring_of:
            self._ring_of = alive
            self._ring.clear()  # a ring without the newest members would leave them out for long
        for _ in range(min(self._parameters.fan_out, len(alive))):
            if not self._ring:
                self._ring = list(alive)
                self._rng.shuffle(self._ring)
            yield self._ring.pop()

    def check(self) -> None:
        """Asserts that rumours are bounded."""
        assert len(self._rumours) <= RUMOURS_LIMIT, "gossip-rumours-bounded"
