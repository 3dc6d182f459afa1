"""Failure detection: from a silent probe through doubt and accusation to a death.

The rule of a death (`_judge`): my own pings unanswered, and three observers'
accusations or the end of the suspicion timer. With `observers_rule` off, the
end of the timer alone (SWIM section 4.2).
"""

from protocols.gossip.awareness import LocalHealth
from protocols.gossip.dissemination import Dissemination
from protocols.gossip.member import Member
from protocols.gossip.messages import Accusation
from protocols.gossip.parameters import GossipParameters
from protocols.gossip.pinger import Pinger
from protocols.gossip.probing import Prober
from protocols.gossip.roster import Roster
from protocols.gossip.suspicion import Suspicion
from protocols.gossip.watching import Watches
from protocols.identity import Keyring
from protocols.machine import Instant
from protocols.wire import Signed, seal


class Detection:
    """Decides who does not answer, and says so."""

    def __init__(
        self,
        keyring: Keyring,
        parameters: GossipParameters,
        health: LocalHealth,
        roster: Roster,
        prober: Prober,
        watches: Watches,
        pinger: Pinger,
        rumours: Dissemination,
    ) -> None:
        self._keyring = keyring
        self._me = keyring.peer
        self._parameters = parameters
        self._health = health
        self._roster = roster
        self._prober = prober
        self._watches = watches
        self._pinger = pinger
        self._rumours = rumours
        self._heard_at: Instant | None = None

    # Time

    def deadline(self) -> Instant | None:
        """The next thing to do for probes, watches and suspicions."""
        least, tick = self._prober.deadline(), self._watches.deadline()
        if tick is not None and (least is None or tick < least):
            least = tick
        for member in self._roster.suspects():
            suspicion = member.suspicion
            if suspicion is not None and not suspicion.ended:
                least = suspicion.ends_at if least is None else min(least, suspicion.ends_at)
        return least

    def came_late(self, now: Instant) -> None:
        """This peer was not listening: whatever is in flight proves nothing."""
        self._health.apply(1)
        self._prober.discard()
        self._watches.begin_anew(now)

    def heard(self, now: Instant) -> None:
        """Somebody spoke to me. After a long silence of everybody, the silence was mine.

        Where short contacts lie between long cuts, a refutation may take until the
        contact after the next; timers that went on would end before it comes.
        """
        was_cut_off = self._silence_ns(now) > self._parameters.cut_off_after_ns
        self._heard_at = now
        if not was_cut_off or not self._parameters.lateness_rule:
            return
        self._prober.discard()
        self._watches.begin_anew(now)
        for suspect in self._roster.suspects():
            if suspect.suspicion is not None and suspect.suspicion.restart(now):
                self._set_timer(suspect)

    def _silence_ns(self, now: Instant) -> int:
        return now - self._heard_at if self._heard_at is not None else 0

    def _is_cut_off(self, now: Instant) -> bool:
        """Whether it is likelier that I am cut off than that all of so many are dead."""
        parameters = self._parameters
        return (
            parameters.lateness_rule
            and self._roster.population() > parameters.observers
            and parameters.cut_off_after_ns < self._silence_ns(now) < parameters.cut_off_limit_ns
        )

    def wake(self, now: Instant) -> bool:
        """Does what is due; True when a probe interval has begun."""
        silent = self._prober.timed_out(now)
        if silent is not None and self._is_observer_of(silent):
            self._watches.begin(silent, now)
        self._prober.send_nacks(now)
        if self._watches.tick(now):
            for peer in self._watches.peers():
                self._consider(peer, now)
        for member in self._roster.suspects():
            self._end_of_timer(member, now)
        if not self._prober.interval_ended(now):
            return False
        failed = self._prober.next_probe(now)
        if failed is not None:
            self._probe_failed(failed, now)
        self._watches.remind()
        return True

    def _is_observer_of(self, peer: bytes) -> bool:
        return self._parameters.observers_rule and self._me in self._roster.observers(peer)

    # Doubt

    def doubt(self, peer: bytes, now: Instant) -> None:
        """Somebody has a reason to think that a member is gone: see for oneself."""
        if self._parameters.observers_rule:
            self._watches.begin(peer, now)

    def link_lost(self, peer: bytes, refused: bool, now: Instant) -> None:
        """The link broke. Where its process is gone, no timeout need be waited for."""
        if self._roster.present(peer) is None:
            return
        if not refused or not self._parameters.observers_rule:
            self._prober.put_first(peer)
            return
        if peer not in self._watches:
            self._prober.ask_helpers(peer, self._pinger.nonce())
            self._watches.begin(peer, now)

    def helped(self, requester: bytes, nonce: int, target: bytes, now: Instant) -> None:
        """Another peer asks for an indirect probe; an observer also begins to watch."""
        self._prober.help(requester, nonce, target, now)
        if self._is_observer_of(target):
            self._watches.begin(target, now)

    def _probe_failed(self, peer: bytes, now: Instant) -> None:
        member = self._roster.present(peer)
        if member is None:
            return
        if self._is_observer_of(peer):
            self._watches.begin(peer, now)  # an observer's word follows its watch
        elif self._accusation_wanted(member):
            self._accuse(member, now)

    def _accusation_wanted(self, member: Member) -> bool:
        suspicion = member.suspicion
        if suspicion is None:
            return True
        if not self._parameters.dynamic_suspicion or self._me in suspicion.accusers:
            return False
        return suspicion.confirmations < self._parameters.confirmations_wanted

    def _consider(self, peer: bytes, now: Instant) -> None:
        member = self._roster.present(peer)
        if member is None:
            return
        if self._is_observer_of(peer):
            accused = member.suspicion is not None and self._me in member.suspicion.accusers
            if not accused and self._watches.lasted(peer, self._parameters.watch_pings, now):
                self._accuse(member, now)
        elif self._accusation_wanted(member) and self._watches.lasted(
            peer, self._watches.patience_pings(), now
        ):
            self._accuse(member, now)
        self._judge(member, now)

    # Accusations

    def _accuse(self, member: Member, now: Instant) -> None:
        accusation = Accusation(member.peer, member.incarnation, self._me)
        envelope = seal(self._keyring, accusation)
        if self._parameters.buddy:
            self._pinger.tell(member.peer, envelope)
        self.take_accusation(member, self._me, envelope, self._me, now)

    def take_accusation(
        self, member: Member, accuser: bytes, envelope: Signed, link: bytes, now: Instant
    ) -> None:
        """A valid accusation of a live member's present incarnation, by a live member or me."""
        is_observer = self._parameters.observers_rule and accuser in self._roster.observers(
            member.peer
        )
        suspicion = member.suspicion
        if suspicion is None:
            suspicion = Suspicion(now, now)
            suspicion.add(accuser, envelope, is_observer)
            self._roster.suspect(member, suspicion, now)
            self._set_timers()  # there is one member less that may confirm other suspicions
        elif suspicion.add(accuser, envelope, is_observer):
            self._set_timer(member)
        else:
            return
        self._rumours.add_accusation(member.peer, accuser, envelope, link, now)
        self.doubt(member.peer, now)
        self._judge(member, now)

    def _set_timers(self) -> None:
        for suspect in self._roster.suspects():
            self._set_timer(suspect)

    def _set_timer(self, member: Member) -> None:
        """Lifeguard IV-B, with K limited to the members that may still confirm."""
        suspicion = member.suspicion
        if suspicion is None:
            return
        wanted = self._parameters.confirmations_wanted
        hoped_for = suspicion.confirmations
        if hoped_for < wanted:
            accusers = suspicion.accusers
            hoped_for += 0 if self._me in accusers else 1
            for peer in self._roster.alive():
                if hoped_for >= wanted:
                    break
                other = self._roster.members[peer]
                if other.suspicion is None and peer not in accusers:
                    hoped_for += 1
        timeout = self._parameters.suspicion_timeout_ns(
            self._roster.population(), suspicion.confirmations, min(hoped_for, wanted)
        )
        suspicion.ends_at = suspicion.started_at + timeout

    # Verdicts

    def answered(self, peer: bytes, directly: bool, now: Instant) -> None:
        """A member answered a ping of mine (directly), or a helper's."""
        member = self._roster.members.get(peer)
        suspicion = member.suspicion if member is not None else None
        if member is None or suspicion is None:
            self._watches.end(peer)
            return
        if directly and self._parameters.observers_rule:
            self._watches.end(peer)
            if suspicion.ended:
                self._roster.acquit(member, now)
                self._rumours.drop_accusations(peer)

    def is_undecided(self, now: Instant) -> bool:
        """Whether a suspect does not answer me, and yet too few observers have said so."""
        return self._parameters.observers_rule and any(
            self._watches.lasted(member.peer, self._parameters.own_pings, now)
            for member in self._roster.suspects()
        )

    def _end_of_timer(self, member: Member, now: Instant) -> None:
        suspicion = member.suspicion
        if suspicion is None or suspicion.ended or now < suspicion.ends_at:
            return
        if self._is_cut_off(now):
            suspicion.ends_at = now + self._parameters.probe_interval_ns
            return
        suspicion.ended = True
        self.doubt(member.peer, now)
        self._judge(member, now)

    def _judge(self, member: Member, now: Instant) -> None:
        suspicion = member.suspicion
        if suspicion is None:
            return
        if self._parameters.observers_rule:
            if not self._watches.lasted(member.peer, self._parameters.own_pings, now):
                return
            observers = self._roster.observers(member.peer)
            count = sum(1 for accuser in suspicion.accusers if accuser in observers)
            if count >= self._parameters.accusers_needed:
                self._bury(member, count, now)
                return
        if suspicion.ended:
            self._bury(member, 0, now)

    def _bury(self, member: Member, confirmations: int, now: Instant) -> None:
        self._watches.end(member.peer)
        retry_at = now + self._parameters.lost_retry_ns
        self._roster.bury(member, confirmations, retry_at, now)
        self._set_timers()
