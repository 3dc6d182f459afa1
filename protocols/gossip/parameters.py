"""The figures that gossip runs on, and the limits of its tables.

Durations are nanoseconds. Sources are in `docs/protocols/gossip.md`.
"""

import math

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS

MEMBERS_LIMIT = 1024
"""Members known at once, dead and left ones included: a digest of them fits one message."""
ACQUAINTANCES_LIMIT = 256
"""Members kept on disk, so that a restarted peer finds the mesh without contacts."""
CONTACTS_LIMIT = 64
RUMOURS_LIMIT = 4096
RELAYS_LIMIT = 256
"""Indirect probes that this peer makes for others at once."""
OBSERVER_ACCUSATIONS_LIMIT = 16
"""Accusations by observers kept of one suspect."""
OTHER_ACCUSATIONS_LIMIT = 8
"""Accusations by members that are not its observers, kept of one suspect."""
RESTARTS_LIMIT = 2
"""How often the timer of one suspicion begins anew because this peer had been cut off."""
EVIDENCE_LIMIT = 4
"""Accusations kept of a dead member, to tell it and others of its death."""
INCARNATION_LIMIT = 2**48
LINK_MEMORY_LIMIT = 1024
"""Links whose last digest, or last complaint, is remembered to slow down a flood."""
DELTA_BYTES_LIMIT = 256 * 1024
"""Records in the answer to one digest; the rest goes with the next."""
BATCH_BYTES_LIMIT = 32 * 1024
"""Rumours for one peer in one go."""


class GossipParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment or an experiment may change."""

    probe_interval_ns: int = SECOND_NS
    probe_timeout_ns: int = 500 * MILLISECOND_NS
    indirect_probes: int = 3

    local_health: bool = True
    local_health_limit: int = 8
    dynamic_suspicion: bool = True
    buddy: bool = True
    observers_rule: bool = True
    """Watches, accusers and one's own pings; without it the timer alone kills, as in SWIM."""
    lateness_rule: bool = True

    suspicion_multiplier: int = 3
    suspicion_maximum_multiplier: int = 6
    confirmations_wanted: int = 3

    observers: int = 8
    accusers_needed: int = 3
    watch_pings: int = 16
    """An observer's pings before it accuses; over at least a second."""
    watch_interval_ns: int = 67 * MILLISECOND_NS
    own_pings: int = 4
    """My own pings, unanswered, without which I hold nobody dead."""
    late_after_ns: int = 250 * MILLISECOND_NS
    cut_off_after_ns: int = 5 * SECOND_NS
    """A peer that heard nobody at all for so long was cut off; part of the lateness rule."""
    cut_off_limit_ns: int = 60 * SECOND_NS
    """After so long it believes that all the others are dead."""

    fan_out: int = 3
    retransmit_multiplier: int = 4
    rumour_interval_ns: int = 200 * MILLISECOND_NS
    eager_interval_ns: int = 20 * MILLISECOND_NS
    """New rumours leave at once, but batches are at least this far apart."""

    push_pull_interval_ns: int = 15 * SECOND_NS
    digest_interval_ns: int = 250 * MILLISECOND_NS
    """Digests of one peer that come faster are not answered."""
    lost_retry_ns: int = SECOND_NS
    lost_retry_limit_ns: int = 8 * SECOND_NS
    lost_retries_per_interval: int = 16
    join_retry_ns: int = 250 * MILLISECOND_NS
    join_retry_limit_ns: int = 8 * SECOND_NS
    forget_after_ns: int = 1800 * SECOND_NS

    refutation_interval_ns: int = 250 * MILLISECOND_NS
    refutation_interval_limit_ns: int = SECOND_NS
    """The interval doubles up to this while refutations follow each other."""
    refutation_calm_ns: int = 10 * SECOND_NS
    """Refutations worsen local health once in so long, whoever makes this peer refute."""
    incarnation_block: int = 64
    load_step_ms: int = 50
    """Changes of a member's load below this, and below a quarter, are not told."""

    @classmethod
    def plain_swim(cls, suspicion_multiplier: int = 5) -> "GossipParameters":
        """SWIM without Lifeguard and without our own rules, for comparison."""
        return cls(
            local_health=False,
            dynamic_suspicion=False,
            buddy=False,
            observers_rule=False,
            lateness_rule=False,
            suspicion_multiplier=suspicion_multiplier,
        )

    def retransmissions(self, population: int) -> int:
        """How often a peer sends one rumour on, among `population` members (memberlist)."""
        return self.retransmit_multiplier * max(1, math.ceil(math.log10(population + 1)))

    def suspicion_minimum_ns(self, population: int) -> int:
        """The least suspicion timeout (SWIM section 4.2; Lifeguard's alpha)."""
        scale = max(1.0, math.log10(max(1, population)))
        return int(self.suspicion_multiplier * scale * self.probe_interval_ns)

    def suspicion_timeout_ns(self, population: int, confirmations: int, hoped_for: int) -> int:
        """The suspicion timeout after `confirmations` of `hoped_for` (Lifeguard IV-B)."""
        least = self.suspicion_minimum_ns(population)
        if not self.dynamic_suspicion or hoped_for < 1:
            return least
        most = least * self.suspicion_maximum_multiplier
        share = math.log(confirmations + 1) / math.log(hoped_for + 1)
        return max(least, int(most - (most - least) * share))

    def push_pull_ns(self, population: int) -> int:
        """Time between push-pulls: doubled from the 33rd member, tripled from the 65th."""
        if population <= 32:
            return self.push_pull_interval_ns
        return self.push_pull_interval_ns * (1 + math.ceil(math.log2(population / 32)))
