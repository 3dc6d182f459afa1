"""Strategy ``board``, the worker's side: a peer with a free place claims what others offer.

It waits a random while first, the longer the busier it is, and sees meanwhile whether
others have claimed all that is wanted; so a claim is mostly the only one. It has no
right to anything: what it gets, its custodian decides, and sends (`offering.py`).

Invariants:
    claims-within-offers: no more is claimed than was free here, nor than the offer left open;
        offers and claimers are bounded.
"""

import random

from protocols.machine import Now
from protocols.tasks.catalogue import Catalogue
from protocols.tasks.commands import ClaimSeen, OfferGone, OfferSeen
from protocols.tasks.events import PlacesClaimed
from protocols.tasks.hosting import Occupancy
from protocols.tasks.messages import Assign
from protocols.tasks.offering import PLACES_LIMIT
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import (
    CLAIMERS_LIMIT,
    NEVER,
    OFFER_KEPT_NS,
    OFFERS_LIMIT,
    TaskParameters,
)
from protocols.tasks.worker import Worker

BUSIEST = 3
"""A busy peer waits up to 1 + so many times as long as an idle one."""


class _Offer:
    """What one custodian offers of one skill."""

    def __init__(self, seen: OfferSeen, now: int) -> None:
        self.seen = seen
        self.seen_at = now
        self.claims: dict[bytes, int] = {}
        """Places by claimer, in all, under the offer's number."""
        self.due = NEVER
        self.reserved = 0
        self.reserved_until = 0

    @property
    def left(self) -> int:
        """Places that nobody has claimed yet, as far as this peer sees."""
        return self.seen.units - sum(self.claims.values())


def key_of(seen: OfferSeen) -> tuple[str, str]:
    """Skill and version."""
    return seen.skill, seen.version


class Claiming:
    """The offers that this peer sees, and its claims."""

    def __init__(
        self,
        me: bytes,
        parameters: TaskParameters,
        catalogue: Catalogue,
        worker: Worker,
        outbox: Outbox,
        rng: random.Random,
    ) -> None:
        self._me = me
        self._parameters = parameters
        self._catalogue = catalogue
        self._worker = worker
        self._outbox = outbox
        self._rng = rng
        self._offers: dict[tuple[bytes, str], _Offer] = {}
        self._is_changed = False
        self._occupancy: tuple[Occupancy, ...] = ()
        """As it was at the last look."""
        self._look_at = NEVER
        """When a reservation ends."""

    # What is seen.

    def offered(self, command: OfferSeen, now: Now) -> None:
        """A custodian's mark, new or changed. One of a skill that is not hosted here is none."""
        key = (command.custodian, command.tag)
        if not any((one.skill, one.version) == key_of(command) for one in self._worker.occupancy):
            self._offers.pop(key, None)
            return
        self._is_changed = True
        mono = now.monotonic_ns
        offer = self._offers.get(key)
        if offer is None or offer.seen.number != command.number:
            self._offers.pop(key, None)
            if len(self._offers) >= OFFERS_LIMIT:
                del self._offers[next(iter(self._offers))]
            self._offers[key] = _Offer(command, mono)
            return
        offer.seen, offer.seen_at = command, mono
        # It has decided on what was claimed before: what has not come by now does not come.
        offer.reserved = 0

    def gone(self, command: OfferGone) -> None:
        """A custodian offers nothing any more."""
        self._offers.pop((command.custodian, command.tag), None)

    def claimed(self, command: ClaimSeen) -> None:
        """A peer has claimed something; this one's own, after a restart."""
        offer = self._offers.get((command.custodian, command.tag))
        if offer is None or offer.seen.number != command.number:
            return
        if not 0 < command.places <= PLACES_LIMIT:
            return
        if command.claimer in offer.claims or len(offer.claims) < CLAIMERS_LIMIT:
            self._is_changed = True
            before = offer.claims.get(command.claimer, 0)
            offer.claims[command.claimer] = max(before, command.places)

    def peer_down(self, peer: bytes) -> None:
        """A member is gone, and nobody needs work of what it offered."""
        for key in [key for key in self._offers if key[0] == peer]:
            del self._offers[key]

    def assigned(self, link: bytes, message: Assign) -> None:
        """Jobs came: what was reserved for them is taken."""
        for (custodian, _), offer in self._offers.items():
            seen = offer.seen
            if custodian == link and key_of(seen) == (message.skill, message.version):
                self._is_changed = True
                offer.reserved = max(0, offer.reserved - len(message.jobs))

    # What is claimed.

    def look(self, now: int) -> None:
        """Plans claims for what is free here and open there."""
        if not self._offers:
            return
        occupancy = self._worker.occupancy
        if not self._is_changed and occupancy == self._occupancy and now < self._look_at:
            return
        self._is_changed, self._occupancy = False, occupancy
        self._look_at = NEVER
        old = [key for key, o in self._offers.items() if now - o.seen_at >= OFFER_KEPT_NS]
        for key in old:
            del self._offers[key]
        spread_ns = self._parameters.claim_spread_ns
        for offer in self._offers.values():
            if offer.reserved and offer.reserved_until > now:
                self._look_at = min(self._look_at, offer.reserved_until)
            if offer.left <= 0 or self._free(offer, now) <= 0:
                offer.due = NEVER
            elif offer.due == NEVER:
                offer.due = now + self._rng.randrange(spread_ns * (1 + self._busyness(offer)))

    def wake(self, now: int) -> None:
        """Claims what is due."""
        for (custodian, tag), offer in self._offers.items():
            if offer.due > now:
                continue
            offer.due = NEVER
            self._is_changed = True
            count = min(self._free(offer, now), offer.left)
            if count > 0:
                places = offer.claims.get(self._me, 0) + count
                offer.claims[self._me] = places
                offer.reserved = count
                offer.reserved_until = now + self._parameters.claim_patience_ns
                load_ms = self._catalogue.load_of(self._me)
                number = offer.seen.number
                claim = PlacesClaimed(custodian, tag, self._me, number, places, load_ms)
                self._outbox.emit(claim)

    def _free(self, offer: _Offer, now: int) -> int:
        """Places for tasks of an offer that nothing runs in, waits for or is reserved for."""
        seen = offer.seen
        if self._worker.is_draining or self._me in seen.avoid:
            return 0
        slots, busy = self._occupied(*key_of(seen))
        if busy >= slots:
            return 0
        if self._me not in self._catalogue.able(seen.skill, seen.version, seen.requires):
            return 0
        reserved = sum(
            other.reserved
            for other in self._offers.values()
            if other.reserved_until > now and key_of(other.seen) == key_of(seen)
        )
        return slots - busy - reserved

    def _busyness(self, offer: _Offer) -> int:
        slots, busy = self._occupied(*key_of(offer.seen))
        return min(BUSIEST, BUSIEST * busy // max(1, slots))

    def _occupied(self, skill: str, version: str) -> tuple[int, int]:
        for each in self._worker.occupancy:
            if (each.skill, each.version) == (skill, version):
                return each.slots, each.running + each.waiting
        return 0, 0

    def deadline(self) -> int:
        """When `wake` is wanted, or a look: where a reservation ends."""
        least = self._look_at if self._offers else NEVER
        for offer in self._offers.values():
            if offer.due < least:
                least = offer.due
        return least

    def check(self) -> None:
        """Asserts the bounds."""
        assert len(self._offers) <= OFFERS_LIMIT, "claims-within-offers: too many offers"
        for offer in self._offers.values():
            assert len(offer.claims) <= CLAIMERS_LIMIT + 1, "claims-within-offers: claimers"
