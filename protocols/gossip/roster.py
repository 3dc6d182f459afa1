"""The roster: every member that this peer knows, and in which state.

Invariants (see `check`): the highest incarnation of a member wins and never
goes back; a suspicion is there exactly while a member is suspect; a dead
member stays dead at its incarnation until it is forgotten.
"""

import enum

from protocols.gossip.events import CredentialRenewed, MemberDown, MemberSuspected, MemberUp
from protocols.gossip.member import Member, State
from protocols.gossip.messages import MemberRecord
from protocols.gossip.observers import observers_of
from protocols.gossip.outbox import Outbox
from protocols.gossip.parameters import (
    ACQUAINTANCES_LIMIT,
    EVIDENCE_LIMIT,
    MEMBERS_LIMIT,
    GossipParameters,
)
from protocols.gossip.records import AcquaintanceLost, AcquaintanceMade
from protocols.gossip.suspicion import Suspicion
from protocols.machine import Instant
from protocols.trust import REVOKED, Trust
from protocols.wire import Signed


class Merge(enum.Enum):
    """What a record told the roster."""

    NEWER = "newer"
    KNOWN = "known"
    STALE = "stale"
    NO_ROOM = "no room"


class Roster:
    """Members by id, oneself excluded, in the order in which they were met."""

    def __init__(
        self, me: bytes, parameters: GossipParameters, outbox: Outbox, trust: Trust
    ) -> None:
        self.me = me
        self.members: dict[bytes, Member] = {}
        self.acquaintances: dict[bytes, Signed] = {}
        """What is on disk of other members: their records, by id."""
        self._suspects: dict[bytes, Member] = {}
        self._doors: dict[bytes, str] = {}
        self.trust = trust
        """Who is revoked, and is no member."""
        self._parameters = parameters
        self._outbox = outbox
        self._alive: tuple[bytes, ...] | None = ()
        self._observers: dict[bytes, tuple[bytes, ...]] = {}

    # Questions

    def alive(self) -> tuple[bytes, ...]:
        """Alive and suspect members, sorted."""
        if self._alive is None:
            self._alive = tuple(sorted(p for p, member in self.members.items() if member.present))
        return self._alive

    def population(self) -> int:
        """Alive and suspect members, and oneself."""
        return len(self.alive()) + 1

    def present(self, peer: bytes) -> Member | None:
        """The member, if it is alive or suspect."""
        member = self.members.get(peer)
        return member if member is not None and member.present else None

    def observers(self, suspect: bytes) -> tuple[bytes, ...]:
        """Who watches `suspect`, as far as this peer knows; it may be one of them."""
        known = self._observers.get(suspect)
        if known is None:
            everyone = (self.me, *self.alive())
            known = observers_of(suspect, everyone, self._parameters.observers)
            self._observers[suspect] = known
        return known

    def suspects(self) -> tuple[Member, ...]:
        """The members under suspicion."""
        return tuple(self._suspects.values()) if self._suspects else ()

    def lost(self) -> tuple[Member, ...]:
        """The members that are dead or have left."""
        if len(self.alive()) == len(self.members):
            return ()
        return tuple(member for member in self.members.values() if not member.present)

    def is_suspect(self, peer: bytes) -> bool:
        """Whether a member is under suspicion."""
        return peer in self._suspects

    def is_refused(self, record: MemberRecord) -> bool:
        """Whether what a record rests on was revoked."""
        trust = self.trust
        return record.peer in trust.outcasts or trust.refusal(record.credential) is not None

    # Changes

    def merge(self, record: MemberRecord, envelope: Signed, now: Instant) -> Merge:
        """Takes a verified record of another peer; the highest incarnation wins."""
        member = self.members.get(record.peer)
        if member is None:
            return self._meet(record, envelope, now)
        if record.incarnation < member.incarnation:
            return Merge.STALE
        # Two records of one incarnation come from a restored backup or from a liar;
        # all peers settle on the same one, and its subject will announce a higher.
        same = record.incarnation == member.incarnation
        if same and (envelope.body <= member.envelope.body or not member.present):
            return Merge.KNOWN
        self._update(member, record, envelope, now)
        return Merge.NEWER

    def _meet(self, record: MemberRecord, envelope: Signed, now: Instant) -> Merge:
        if len(self.members) >= MEMBERS_LIMIT and not self._forget_oldest_lost():
            return Merge.NO_ROOM
        state = State.LEFT if record.leaving else State.ALIVE
        member = Member(record, envelope, state, now)
        self.members[record.peer] = member
        self._changed()
        if state is State.ALIVE:
            self._remember(member)
            self._emit_up(member)
        return Merge.NEWER

    def _update(self, member: Member, record: MemberRecord, envelope: Signed, now: Instant) -> None:
        assert record.incarnation >= member.incarnation, "gossip-incarnation-grows"
        before, was = member.record, member.state
        member.record, member.envelope = record, envelope
        member.suspicion, member.evidence = None, ()
        self._suspects.pop(record.peer, None)
        member.state = State.LEFT if record.leaving else State.ALIVE
        if member.state is not was:
            member.changed_at = now
            self._changed()
        if member.state is State.LEFT:
            self.forget_acquaintance(record.peer)
            if was in (State.ALIVE, State.SUSPECT):
                down = MemberDown(record.peer, record.name, record.incarnation, "left")
                self._outbox.emit(down)
            return
        self._remember(member)
        if before.credential != record.credential:
            self._outbox.emit(CredentialRenewed(record.peer, record.credential))
        if was is not State.ALIVE or _described(before) != _described(record):
            self._emit_up(member)

    def suspect(self, member: Member, suspicion: Suspicion, now: Instant) -> None:
        """A live member is under suspicion from now on."""
        assert member.state is State.ALIVE, "gossip-suspect-was-alive"
        member.state, member.suspicion, member.changed_at = State.SUSPECT, suspicion, now
        self._suspects[member.peer] = member
        record = member.record
        self._outbox.emit(MemberSuspected(record.peer, record.name, record.incarnation))

    def acquit(self, member: Member, now: Instant) -> None:
        """A suspect answered us while others could not tell us more."""
        assert member.state is State.SUSPECT, "gossip-acquitted-was-suspect"
        member.state, member.suspicion, member.changed_at = State.ALIVE, None, now
        del self._suspects[member.peer]
        self._emit_up(member)

    def bury(self, member: Member, confirmations: int, retry_at: Instant, now: Instant) -> None:
        """A suspect is dead."""
        assert member.suspicion is not None, "gossip-dead-was-suspect"
        member.evidence = member.suspicion.envelopes[:EVIDENCE_LIMIT]
        member.state, member.suspicion, member.changed_at = State.DEAD, None, now
        del self._suspects[member.peer]
        member.retry_at, member.retry_after_ns = retry_at, self._parameters.lost_retry_ns
        self._changed()
        record = member.record
        self._outbox.emit(
            MemberDown(record.peer, record.name, record.incarnation, "dead", confirmations)
        )

    def expel(self, member: Member) -> None:
        """A member was revoked: it is as if it had never been met."""
        was_present = member.present
        del self.members[member.peer]
        self._suspects.pop(member.peer, None)
        self._observers.pop(member.peer, None)
        self._changed()
        self.forget_acquaintance(member.peer)
        if was_present:
            record = member.record
            self._outbox.emit(MemberDown(record.peer, record.name, record.incarnation, REVOKED))

    def forget_old(self, now: Instant) -> None:
        """Drops members that have been dead or gone for long enough."""
        old = now - self._parameters.forget_after_ns
        for member in self.lost():
            if member.changed_at <= old:
                del self.members[member.peer]
                self._observers.pop(member.peer, None)
                self.forget_acquaintance(member.peer)

    def _forget_oldest_lost(self) -> bool:
        lost = self.lost()
        if not lost:
            return False
        oldest = min(lost, key=lambda member: (member.changed_at, member.peer))
        del self.members[oldest.peer]
        self._observers.pop(oldest.peer, None)
        self.forget_acquaintance(oldest.peer)
        return True

    def _changed(self) -> None:
        self._alive = None
        self._observers.clear()

    def _emit_up(self, member: Member) -> None:
        record = member.record
        self._outbox.emit(
            MemberUp(
                record.peer,
                record.name,
                record.door,
                record.incarnation,
                record.boot,
                record.skills,
                record.labels,
            )
        )

    # Acquaintances: what is on disk

    def _remember(self, member: Member) -> None:
        peer, door = member.peer, member.record.door
        if self._doors.get(peer) == door:
            return
        if peer not in self.acquaintances and len(self.acquaintances) >= ACQUAINTANCES_LIMIT:
            return
        self._doors[peer] = door
        self.acquaintances[peer] = member.envelope
        self._outbox.persist(AcquaintanceMade(member.envelope))

    def restore_acquaintance(self, record: MemberRecord, envelope: Signed) -> None:
        """Takes back what was on disk. It is no member before it is met again."""
        self._doors[record.peer] = record.door
        self.acquaintances[record.peer] = envelope

    def forget_acquaintance(self, peer: bytes, restoring: bool = False) -> None:
        """Drops what is on disk of a peer."""
        if self.acquaintances.pop(peer, None) is not None:
            del self._doors[peer]
            if not restoring:
                self._outbox.persist(AcquaintanceLost(peer))

    def check(self) -> None:
        """Asserts the roster's invariants."""
        assert self.me not in self.members, "gossip-not-a-member-of-oneself"
        assert len(self.members) <= MEMBERS_LIMIT, "gossip-members-bounded"
        assert len(self.acquaintances) <= ACQUAINTANCES_LIMIT, "gossip-acquaintances-bounded"
        for peer, member in self.members.items():
            suspected = member.state is State.SUSPECT
            assert suspected == (peer in self._suspects), "gossip-suspicion-while-suspect"
            assert suspected == (member.suspicion is not None), "gossip-suspicion-while-suspect"
            if member.suspicion is not None:
                accusers = member.suspicion.accusers
                assert accusers, "gossip-suspect-has-accuser"
                assert peer not in accusers, "gossip-nobody-accuses-itself"
                assert len(accusers) == len(dict.fromkeys(accusers)), "gossip-accuser-counts-once"
            assert member.state is not State.DEAD or member.evidence, "gossip-dead-has-evidence"
            assert member.envelope.author == peer == member.record.peer, "gossip-record-by-subject"


def _described(record: MemberRecord) -> tuple[object, ...]:
    return (record.name, record.door, record.boot, record.skills, record.labels)
