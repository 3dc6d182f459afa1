"""SWIM's probe: one member an interval, directly, then through helpers (section 3.1)."""

import random
from dataclasses import dataclass, field

from protocols.gossip.awareness import LocalHealth
from protocols.gossip.messages import Nack, PingRequest
from protocols.gossip.outbox import Outbox
from protocols.gossip.parameters import RELAYS_LIMIT, GossipParameters
from protocols.gossip.pinger import Pinger
from protocols.gossip.roster import Roster
from protocols.machine import Instant

NACK_PERCENT = 80
"""A helper says nack after this share of the probe timeout (Lifeguard IV-A)."""


@dataclass(slots=True)
class Probe:
    """The probe under way. `indirect_at` is None once helpers have been asked."""

    target: bytes
    nonce: int
    indirect_at: Instant | None
    helpers: tuple[bytes, ...] = ()
    nacked: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Relay:
    """A probe made for another peer."""

    requester: bytes
    nonce: int
    target: bytes
    nack_at: Instant


class Prober:
    """The ring of members to probe, the probe under way, and probes made for others."""

    def __init__(
        self,
        parameters: GossipParameters,
        rng: random.Random,
        health: LocalHealth,
        pinger: Pinger,
        roster: Roster,
        outbox: Outbox,
    ) -> None:
        self._parameters = parameters
        self._rng = rng
        self._health = health
        self._pinger = pinger
        self._roster = roster
        self._outbox = outbox
        self._ring: list[bytes] = []
        self._first: list[bytes] = []
        self._probe: Probe | None = None
        self._relays: dict[int, Relay] = {}
        self._next_at: Instant | None = None

    def start(self, now: Instant) -> None:
        """Begins to probe, at a random moment within the first interval."""
        if self._next_at is None:
            self._next_at = now + self._rng.randrange(self._parameters.probe_interval_ns)

    def add(self, peer: bytes) -> None:
        """A member is new, or back: it takes a random place in the ring (SWIM section 4.3)."""
        self._ring.insert(self._rng.randrange(len(self._ring) + 1), peer)

    def stop(self) -> None:
        """No more probes."""
        self._next_at = None
        self.discard()

    def discard(self) -> None:
        """Forgets what is in flight: its silence proves nothing."""
        self._probe = None
        self._relays.clear()

    def put_first(self, peer: bytes) -> None:
        """Probes a member next."""
        if peer not in self._first:
            self._first.append(peer)

    def deadline(self) -> Instant | None:
        """The next interval, timeout or nack."""
        least = self._next_at
        indirect_at = self._probe.indirect_at if self._probe is not None else None
        if indirect_at is not None and (least is None or indirect_at < least):
            least = indirect_at
        for relay in self._relays.values():
            least = relay.nack_at if least is None else min(least, relay.nack_at)
        return least

    # The probe

    def interval_ended(self, now: Instant) -> bool:
        """Whether it is time for the next probe."""
        return self._next_at is not None and now >= self._next_at

    def next_probe(self, now: Instant) -> bytes | None:
        """Ends the interval and begins the next; returns the member whose probe failed."""
        failed = None
        if self._probe is not None:
            failed = self._probe.target
            self._take_failure(self._probe)
        self._next_at = now + self._health.scale(self._parameters.probe_interval_ns)
        self._probe = None
        target = self._next_target()
        if target is not None:
            self._begin(target, now)
        return failed

    def _take_failure(self, probe: Probe) -> None:
        """Helpers that do not even say nack are a sign that the fault is mine (Lifeguard IV-A).

        That a suspect stays silent is no such sign.
        """
        member = self._roster.present(probe.target)
        if probe.helpers:
            self._health.apply(len(probe.helpers) - len(probe.nacked))
        elif member is not None and member.suspicion is None:
            self._health.apply(1)

    def _begin(self, target: bytes, now: Instant) -> None:
        nonce = self._pinger.nonce()
        timeout = self._health.scale(self._parameters.probe_timeout_ns)
        self._probe = Probe(target, nonce, now + timeout)
        self._pinger.ping(target, nonce, self._suspected(target))

    def _next_target(self) -> bytes | None:
        while self._first:
            peer = self._first.pop(0)
            if self._roster.present(peer) is not None:
                return peer
        for _ in range(2):
            while self._ring:
                peer = self._ring.pop()
                if self._roster.present(peer) is not None:
                    return peer
            self._ring = list(self._roster.alive())
            self._rng.shuffle(self._ring)
        return None

    def timed_out(self, now: Instant) -> bytes | None:
        """Asks helpers once the probe timeout has passed; returns the silent target then."""
        probe = self._probe
        if probe is None or probe.indirect_at is None or now < probe.indirect_at:
            return None
        probe.indirect_at = None
        if self._roster.present(probe.target) is None:
            return None
        probe.helpers = self.ask_helpers(probe.target, probe.nonce)
        return probe.target

    def ask_helpers(self, target: bytes, nonce: int) -> tuple[bytes, ...]:
        """Asks a few members to probe `target`: its observers first, whose word counts."""
        wanted = self._parameters.indirect_probes
        pool: list[bytes] = []
        if self._parameters.observers_rule:
            pool = [peer for peer in self._roster.observers(target) if self._can_help(peer, target)]
            self._rng.shuffle(pool)
        if len(pool) < wanted:
            rest = [
                peer
                for peer in self._roster.alive()
                if peer not in pool and self._can_help(peer, target)
            ]
            pool += self._rng.sample(rest, min(wanted - len(pool), len(rest)))
        helpers = tuple(pool[:wanted])
        for helper in helpers:
            self._outbox.send_prompt(helper, PingRequest(nonce, target))
        return helpers

    def _can_help(self, peer: bytes, target: bytes) -> bool:
        member = self._roster.present(peer)
        return peer != target and member is not None and member.suspicion is None

    def _suspected(self, peer: bytes) -> bool:
        member = self._roster.present(peer)
        return self._parameters.buddy and member is not None and member.suspicion is not None

    # Answers

    def acked(self, link: bytes, nonce: int) -> bytes | None:
        """Takes an ack; returns the member that it shows to be alive, if it was awaited."""
        relay = self._relays.get(nonce)
        if relay is not None and link == relay.target:
            del self._relays[nonce]
            self._pinger.ack(relay.requester, relay.nonce)
            return link
        probe = self._probe
        if probe is None or probe.nonce != nonce:
            return None
        if link != probe.target and link not in probe.helpers:
            return None
        self._probe = None
        self._health.apply(-1)
        return probe.target

    def nacked(self, link: bytes, nonce: int) -> None:
        """A helper is there, but the target did not answer it."""
        probe = self._probe
        if probe is None or probe.nonce != nonce or link not in probe.helpers:
            return
        if link not in probe.nacked:
            probe.nacked.append(link)

    # Helping others

    def help(self, requester: bytes, nonce: int, target: bytes, now: Instant) -> None:
        """Probes `target` for another peer."""
        if self._roster.present(target) is None or len(self._relays) >= RELAYS_LIMIT:
            self._outbox.send_prompt(requester, Nack(nonce))
            return
        mine = self._pinger.nonce()
        nack_after = self._parameters.probe_timeout_ns * NACK_PERCENT // 100
        self._relays[mine] = Relay(requester, nonce, target, now + nack_after)
        self._pinger.ping(target, mine, self._suspected(target))

    def send_nacks(self, now: Instant) -> None:
        """Tells requesters that their targets did not answer, when due."""
        for mine, relay in list(self._relays.items()):
            if now >= relay.nack_at:
                del self._relays[mine]
                self._outbox.send_prompt(relay.requester, Nack(relay.nonce))

    def check(self) -> None:
        """Asserts that probes made for others are bounded."""
        assert len(self._relays) <= RELAYS_LIMIT, "gossip-relays-bounded"
