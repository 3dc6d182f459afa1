"""Meeting the mesh: whom a peer that knows no live member turns to, and when."""

import random
from collections.abc import Iterable

from protocols.gossip.commands import Contact
from protocols.gossip.parameters import CONTACTS_LIMIT, GossipParameters
from protocols.machine import Instant

ACQUAINTANCES_AT_ONCE = 8


class Joining:
    """Contacts, and the time of the next attempt while this peer is alone."""

    def __init__(self, parameters: GossipParameters, rng: random.Random) -> None:
        self._parameters = parameters
        self._rng = rng
        self.contacts: dict[bytes, Contact] = {}
        self.wanted = False
        self._try_at: Instant | None = None
        self._wait_ns = parameters.join_retry_ns

    def add(self, contacts: Iterable[Contact]) -> None:
        """Keeps contacts; the newest ones where there are too many."""
        for contact in contacts:
            self.contacts.pop(contact.peer, None)
            self.contacts[contact.peer] = contact
        for peer in list(self.contacts)[: max(0, len(self.contacts) - CONTACTS_LIMIT)]:
            del self.contacts[peer]

    def forget(self, peer: bytes) -> None:
        """It is not to be turned to any more."""
        self.contacts.pop(peer, None)

    def begin(self, now: Instant) -> None:
        """Tries at once."""
        self.wanted = True
        self._try_at = now
        self._wait_ns = self._parameters.join_retry_ns

    def settle(self, alone: bool, someone: bool, now: Instant) -> None:
        """Stops trying while any member is live, and begins again when none is."""
        if not alone or not someone or not self.wanted:
            self._try_at = None
        elif self._try_at is None:
            self._wait_ns = self._parameters.join_retry_ns
            self._try_at = now + self._wait_ns

    def deadline(self) -> Instant | None:
        """The next attempt."""
        return self._try_at

    def attempt(self, acquaintances: Iterable[bytes], now: Instant) -> list[bytes]:
        """Whom to turn to now; empty when no attempt is due."""
        if self._try_at is None or now < self._try_at:
            return []
        self._try_at = now + self._wait_ns
        self._wait_ns = min(self._wait_ns * 2, self._parameters.join_retry_limit_ns)
        others = [peer for peer in acquaintances if peer not in self.contacts]
        some = self._rng.sample(others, min(ACQUAINTANCES_AT_ONCE, len(others)))
        return [*self.contacts, *some]

    def check(self) -> None:
        """Asserts that contacts are bounded."""
        assert len(self.contacts) <= CONTACTS_LIMIT, "gossip-contacts-bounded"
