"""Strategy ``board``, the custodian's side: work is offered by a mark, and claimed by marks.

See docs/protocols/tasks.md, "Claimed from the blackboard". A desk has one offer: it says
under a number how many places are wanted in all; claims under that number say how many
each peer has claimed in all. So both only grow, what is lost or doubled on the way does
no harm, and a new number begins anew where nothing has come of the last one.

    nothing waits ──task──► posted ──a claim──► deciding ──claim_window_ns──► tasks go out
                              ▲  └─repost_ns─► posted under a new number         │
                              └────────────── more waits than was asked for ◄────┘

Invariant: a claimed place takes one task, and is gone (`slots-add-up`).
"""

import hashlib
import random
from collections.abc import Callable, Iterator

from protocols.tasks.breakers import CLOSED, HALF_OPEN, Breakers
from protocols.tasks.catalogue import Catalogue
from protocols.tasks.claims import Claim, winners
from protocols.tasks.commands import ClaimSeen
from protocols.tasks.dispatch import Desk, Key, Slots
from protocols.tasks.events import ClaimsDecided, OfferPosted
from protocols.tasks.parameters import NEVER, OFFER_UNITS_LIMIT, TaskParameters
from protocols.tasks.task import Task

NUMBER_BITS = 48
PLACES_LIMIT = 2**40
"""Places that are claimed under one number: far above what anybody has."""


class OfferedDesk(Desk):
    """One skill's line for this strategy, and its offer."""

    def __init__(
        self,
        key: Key,
        me: bytes,
        parameters: TaskParameters,
        breakers: Breakers,
        catalogue: Catalogue,
        rng: random.Random,
        tell: Callable[[ClaimsDecided], None],
    ) -> None:
        """Takes whom this is for, and `tell`, which hears of decisions before tasks go out."""
        super().__init__(key, parameters.target_us, breakers)
        self._me = me
        self._parameters = parameters
        self._catalogue = catalogue
        self._rng = rng
        self.tag = tag_of(key)
        self.number = 0
        self.units = 0
        """Places asked for under the number, in all."""
        self._claims: dict[bytes, Claim] = {}
        """By claimer, what it claimed under the number in all; hosts alone, so bounded."""
        self._settled: dict[bytes, int] = {}
        """How many of those places were decided on, given or not."""
        self._decide_at = NEVER
        self._repost_at = NEVER
        self._pause_ns = parameters.repost_ns
        self._decisions = 0
        self._tell = tell

    # Claims come, and are decided on.

    def claimed(self, claim: ClaimSeen, now: int) -> None:
        """A mark of somebody who has places."""
        if claim.number != self.number or not 0 < claim.places <= PLACES_LIMIT:
            return
        hosts = self._catalogue.able(self.skill, self.version, self.requires)
        if claim.claimer not in hosts or claim.places <= self._places(claim.claimer):
            return
        load_ms = max(0, claim.load_ms)
        self._claims[claim.claimer] = Claim(claim.claimer, claim.places, load_ms)
        if self._decide_at == NEVER:
            self._decide_at = now + self._parameters.claim_window_ns
        if all(self._places(host) > self._settled.get(host, 0) for host in hosts):
            self._decide_at = now
        self._look_again(self._decide_at)

    def _places(self, peer: bytes) -> int:
        claim = self._claims.get(peer)
        return claim.places if claim is not None else 0

    def _decide(self, now: int) -> None:
        self._decide_at = NEVER
        self._decisions += 1
        lot = f"board-{self.tag[:8]}-{self.number:x}-{self._decisions}"
        claims: list[Claim] = []
        for peer, claim in self._claims.items():
            fresh = claim.places - self._settled.get(peer, 0)
            self._settled[peer] = claim.places
            if fresh > 0:
                claims.append(Claim(peer, min(fresh, self._allowed(peer)), claim.load_ms))
        won = winners(lot, claims, min(self._waiting, OFFER_UNITS_LIMIT))
        for peer, places in won.items():
            self.hold(lot, peer, places, 0)
        if won:
            self._pause_ns = self._parameters.repost_ns
            self._repost_at = now + self._pause_ns
        told = tuple((*claim, won.get(claim.peer, 0)) for claim in claims)
        self._tell(ClaimsDecided(lot, self.skill, self.version, told))

    def _allowed(self, peer: bytes) -> int:
        """What a peer may be given at once: one task where it has to prove itself."""
        breaker = self.breaker_of(peer)
        if breaker.state == CLOSED:
            return OFFER_UNITS_LIMIT
        busy = any(slots.peer == peer and slots.running for slots in self.slots.values())
        return 1 if breaker.state == HALF_OPEN and not busy else 0

    # Binding.

    def fill(self, now: int) -> Iterator[tuple[Slots, list[Task]]]:
        """Yields tasks for those that claimed places; the caller binds them before going on."""
        self.again_at = NEVER
        self.avoiding = 0
        self.spend()
        if self._decide_at <= now:
            self._decide(now)
        for slots in list(self.slots.values()):
            tasks = self._take(slots, slots.count - len(slots.running), now)
            if tasks:
                yield slots, tasks
        self.spend()

    def _is_worth(self, slots: Slots, now: int) -> bool:
        """Whoever claims is free now; nobody is waited for."""
        return True

    def spend(self) -> None:
        """Places whose task has ended, or that no task came for, are no more."""
        for slots in list(self.slots.values()):
            idle = slots.count - len(slots.running)
            if idle > 0:
                self.drop(slots, idle)

    # The offer.

    def offer(self, now: int) -> OfferPosted | None:
        """The mark to leave now, or None where the last one says it; and when to look again."""
        self.spend()
        wanted = min(self._waiting, OFFER_UNITS_LIMIT)
        if not wanted:
            # Nothing is left for those that claimed and were not decided on.
            self._settled.update((peer, claim.places) for peer, claim in self._claims.items())
        settled = sum(self._settled.values())
        is_open = self.units - settled
        posted = None
        if not wanted:
            self._decide_at = self._repost_at = NEVER
            if is_open > 0:
                self.units = settled  # so nobody claims any more
                posted = self._mark(now)
        elif not self.number or self._repost_at <= now:
            self._begin(wanted, now)
            posted = self._mark(now)
        elif is_open <= 0 or wanted > 2 * is_open:
            self.units = settled + wanted
            self._repost_at = now + self._pause_ns
            posted = self._mark(now)
        elif self._repost_at == NEVER:
            self._repost_at = now + self._pause_ns
        self._look_again(min(self._decide_at, self._repost_at))
        return posted

    @property
    def _waiting(self) -> int:
        """Tasks that may go out: children alone, where too many are parked."""
        return self.line.children if self.is_saturated else len(self.line)

    def _begin(self, units: int, now: int) -> None:
        """A new number: what was claimed under the last one is void."""
        self.number = self._rng.getrandbits(NUMBER_BITS) or 1
        self.units = units
        self._claims.clear()
        self._settled.clear()
        self._decide_at = NEVER
        self._repost_at = now + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, self._parameters.repost_most_ns)

    def _mark(self, now: int) -> OfferPosted:
        avoid = self.avoided(now)
        return OfferPosted(
            self._me, self.tag, self.skill, self.version, self.requires,
            self.number, self.units, avoid,
        )  # fmt: skip


def tag_of(key: Key) -> str:
    """The name of a desk's offer, the same after a restart."""
    state = hashlib.blake2b(digest_size=8, person=b"mesh offer")
    for text in (key[0], key[1], *key[3]):
        state.update(len(text.encode()).to_bytes(4, "big") + text.encode())
    return state.hexdigest()
