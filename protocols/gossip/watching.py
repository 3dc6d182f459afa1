"""Watches: many pings of one peer in a short time, to be sure that it does not answer.

All watches share one tick, so that ten doubtful peers cause no more wake-ups
than one. A watch of a suspect that stays unanswered slows down to one ping per
probe interval.
"""

from dataclasses import dataclass

from protocols.gossip.awareness import LocalHealth
from protocols.gossip.parameters import GossipParameters
from protocols.gossip.pinger import Pinger
from protocols.gossip.roster import Roster
from protocols.machine import Instant

PATIENCE = 3, 2
"""How much longer others watch before they accuse, so that observers come first."""
REMINDER_PINGS = 4
"""Every so many pings a suspect is sent its accusation again."""


@dataclass(slots=True)
class Watch:
    """Pings of one peer since `begun_at`, all with one nonce: any ack to it ends the watch."""

    peer: bytes
    nonce: int
    begun_at: Instant
    pings: int = 0


class Watches:
    """The watches under way, at most one per member."""

    def __init__(
        self,
        parameters: GossipParameters,
        health: LocalHealth,
        pinger: Pinger,
        roster: Roster,
    ) -> None:
        self._parameters = parameters
        self._health = health
        self._pinger = pinger
        self._roster = roster
        self._watches: dict[bytes, Watch] = {}
        self._tick_at: Instant | None = None

    def __len__(self) -> int:
        return len(self._watches)

    def __contains__(self, peer: bytes) -> bool:
        return peer in self._watches

    def peers(self) -> list[bytes]:
        """Who is watched, in the order of beginning."""
        return list(self._watches)

    def begin(self, peer: bytes, now: Instant) -> None:
        """Watches a present member from now on, unless it is being watched."""
        if peer in self._watches or self._roster.present(peer) is None:
            return
        watch = Watch(peer, self._pinger.nonce(), now)
        self._watches[peer] = watch
        self._ping(watch)
        if self._tick_at is None:
            self._tick_at = now + self._health.scale(self._parameters.watch_interval_ns)

    def answered(self, peer: bytes, nonce: int) -> bool:
        """Ends the watch that an ack belongs to."""
        watch = self._watches.get(peer)
        if watch is None or watch.nonce != nonce:
            return False
        del self._watches[peer]
        return True

    def end(self, peer: bytes) -> None:
        """There is no reason to watch any more."""
        self._watches.pop(peer, None)

    def begin_anew(self, now: Instant) -> None:
        """What was not heard so far proves nothing: this peer was not listening."""
        for peer in self.peers():
            del self._watches[peer]
            self.begin(peer, now)

    def lasted(self, peer: bytes, pings: int, now: Instant) -> bool:
        """Whether a watch has gone unanswered through so many pings, at the full spread."""
        watch = self._watches.get(peer)
        if watch is None or watch.pings < pings:
            return False
        spread = self._health.scale(self._parameters.watch_interval_ns) * pings
        return now - watch.begun_at >= spread

    def patience_pings(self) -> int:
        """After how many pings a peer that is no observer may accuse."""
        return self._parameters.watch_pings * PATIENCE[0] // PATIENCE[1]

    def deadline(self) -> Instant | None:
        """The next tick, while any watch is rapid."""
        return self._tick_at

    def tick(self, now: Instant) -> bool:
        """Pings all that are watched rapidly, when due; True when it was."""
        if self._tick_at is None or now < self._tick_at:
            return False
        limit = self.patience_pings()
        rapid = False
        for watch in list(self._watches.values()):
            if self._roster.present(watch.peer) is None:
                del self._watches[watch.peer]
            elif not self.lasted(watch.peer, limit, now):
                self._ping(watch)
                rapid = True
        interval = self._health.scale(self._parameters.watch_interval_ns)
        self._tick_at = now + interval if rapid else None
        return True

    def remind(self) -> None:
        """One ping each for those that are no longer watched rapidly; each probe interval."""
        if self._tick_at is None:
            for watch in self._watches.values():
                self._ping(watch)

    def _ping(self, watch: Watch) -> None:
        member = self._roster.present(watch.peer)
        if member is None:
            return
        suspected = member.suspicion is not None and self._parameters.buddy
        self._pinger.ping(watch.peer, watch.nonce, suspected)
        if suspected and watch.pings % REMINDER_PINGS == 0:
            self._pinger.tell(watch.peer, member.accusations[0])
        watch.pings += 1

    def check(self) -> None:
        """Asserts that only present members are watched."""
        assert len(self._watches) <= len(self._roster.members), "gossip-watches-bounded"
