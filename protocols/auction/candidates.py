"""Whom an issuer may invite, and whom it does."""

import random

from protocols.auction.parameters import BARRED_LIMIT, CANDIDATES_LIMIT
from protocols.auction.standing import Standings
from protocols.machine import Instant


class Member:
    """One candidate: its boot, skills and labels, and a hint of its load in milliseconds."""

    __slots__ = ("boot", "labels", "load", "skills")

    def __init__(
        self, boot: int, skills: tuple[tuple[str, str], ...], labels: tuple[str, ...]
    ) -> None:
        self.boot = boot
        self.skills = skills
        self.labels = frozenset(labels)
        self.load = 0


class Candidates:
    """The members that host skills, found by (skill, version) and by (skill, "")."""

    def __init__(self, me: bytes, rng: random.Random) -> None:
        self.me = me
        self.own_labels: frozenset[str] = frozenset()
        self._rng = rng
        self._members: dict[bytes, Member] = {}
        self._hosts: dict[tuple[str, str], dict[bytes, None]] = {}
        self._barred: dict[tuple[str, str], dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._members)

    def boot(self, peer: bytes) -> int | None:
        """The boot under which the peer is known, or None."""
        member = self._members.get(peer)
        return None if member is None else member.boot

    def skills(self, peer: bytes) -> tuple[tuple[str, str], ...]:
        """What the peer is known to host."""
        member = self._members.get(peer)
        return () if member is None else member.skills

    def labels(self, peer: bytes) -> frozenset[str]:
        """What work the peer is known to be fit for, beside its skills."""
        if peer == self.me:
            return self.own_labels
        member = self._members.get(peer)
        return frozenset() if member is None else member.labels

    def has(self, peer: bytes, requires: tuple[str, ...]) -> bool:
        """Whether a peer, perhaps the issuer itself, has all of these labels."""
        return not requires or self.labels(peer).issuperset(requires)

    def put(
        self,
        peer: bytes,
        boot: int,
        skills: tuple[tuple[str, str], ...],
        labels: tuple[str, ...] = (),
    ) -> bool:
        """Adds or replaces a member; False if the table is full."""
        known = self._members.get(peer)
        if known is None and len(self._members) >= CANDIDATES_LIMIT:
            return False
        load = 0 if known is None else known.load
        self.remove(peer)
        member = self._members[peer] = Member(boot, skills, labels)
        member.load = load
        for skill, version in skills:
            self._hosts.setdefault((skill, version), {})[peer] = None
            self._hosts.setdefault((skill, ""), {})[peer] = None
        return True

    def remove(self, peer: bytes) -> None:
        """Forgets a member."""
        member = self._members.pop(peer, None)
        if member is None:
            return
        for skill, version in member.skills:
            for key in ((skill, version), (skill, "")):
                hosts = self._hosts.get(key)
                if hosts is not None:
                    hosts.pop(peer, None)
                    if not hosts:
                        del self._hosts[key]

    def loaded(self, peer: bytes, load: int) -> None:
        """Takes a hint of how loaded a member is."""
        member = self._members.get(peer)
        if member is not None:
            member.load = load

    def hosts(self, key: tuple[str, str], peer: bytes) -> bool:
        """Whether the peer is known to host the skill."""
        return peer in self._hosts.get(key, ())

    def bar(self, key: tuple[str, str], peer: bytes, is_barred: bool) -> None:
        """A peer, perhaps the issuer itself, may not be chosen for a skill, or may again."""
        barred = self._barred.setdefault(key, {})
        barred.pop(peer, None)
        if is_barred and sum(map(len, self._barred.values())) < BARRED_LIMIT:
            barred[peer] = None
        if not barred:
            del self._barred[key]

    def is_barred(self, key: tuple[str, str], peer: bytes) -> bool:
        """Whether a peer may not be chosen for a skill."""
        return peer in self._barred.get(key, ())

    def choose(
        self,
        key: tuple[str, str],
        count: int,
        standings: Standings,
        now: Instant,
        avoid: tuple[bytes, ...] = (),
        requires: tuple[str, ...] = (),
    ) -> list[bytes]:
        """At most `count` hosts of the skill that have the labels, the less loaded more likely.

        All of them if they are few; else the less loaded of two at random, again and
        again (power of two choices). Shunned peers only where nobody else is left;
        those to `avoid`, and those that are barred, not at all.
        """
        barred = self._barred.get(key, {})
        hosts = self._hosts.get(key, ())
        known = [peer for peer in hosts if peer not in avoid and peer not in barred]
        if requires:
            known = [peer for peer in known if self.has(peer, requires)]
        pool = [peer for peer in known if not standings.of(peer).shunned(now)]
        if not pool:
            pool = known
        if len(pool) <= count:
            return pool
        chosen = []
        for _ in range(count):
            first, second = self._rng.sample(range(len(pool)), 2)
            if self._weight(pool[second], standings) < self._weight(pool[first], standings):
                first = second
            chosen.append(pool[first])
            pool[first] = pool[-1]
            pool.pop()
        return chosen

    def _weight(self, peer: bytes, standings: Standings) -> tuple[int, int]:
        return standings.of(peer).lapses, self._members[peer].load

    def check(self) -> None:
        """Asserts the limit."""
        assert len(self._members) <= CANDIDATES_LIMIT, "bounded-auction-tables: candidates"
        barred = sum(map(len, self._barred.values()))
        assert barred <= BARRED_LIMIT, "bounded-auction-tables: barred candidates"
