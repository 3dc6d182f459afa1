"""Push-pull: two peers compare digests and send what the other lacks.

It repairs what rumours missed, brings newcomers up to date, and tells members
that are taken for dead of their death, so that the living among them refute.
"""

import random
from collections.abc import Iterable

from protocols.gossip.detection import Detection
from protocols.gossip.member import Member, State
from protocols.gossip.messages import Digest, MemberVersion
from protocols.gossip.oneself import Oneself
from protocols.gossip.outbox import Outbox
from protocols.gossip.parameters import DELTA_BYTES_LIMIT, LINK_MEMORY_LIMIT, GossipParameters
from protocols.gossip.pinger import Pinger
from protocols.gossip.roster import Roster
from protocols.machine import Instant
from protocols.wire import Signed

JITTER_PERCENT = 20


class AntiEntropy:
    """Digests, their answers, and the retrying of lost members."""

    def __init__(
        self,
        parameters: GossipParameters,
        rng: random.Random,
        roster: Roster,
        oneself: Oneself,
        detection: Detection,
        pinger: Pinger,
        outbox: Outbox,
    ) -> None:
        self._parameters = parameters
        self._rng = rng
        self._roster = roster
        self._oneself = oneself
        self._detection = detection
        self._pinger = pinger
        self._outbox = outbox
        self._answered_at: dict[tuple[str, bytes], Instant] = {}
        self._next_at: Instant | None = None

    # Asking

    def digest(self, reply_wanted: bool) -> Digest:
        """Which incarnation and state this peer holds of everybody, itself included."""
        versions = [
            MemberVersion(peer, member.incarnation, int(member.state))
            for peer, member in self._roster.members.items()
        ]
        mine = self._oneself.record
        if mine is not None:
            state = State.LEFT if mine.leaving else State.ALIVE
            versions.append(MemberVersion(mine.peer, mine.incarnation, int(state)))
        return Digest(tuple(versions), reply_wanted, tuple(self._roster.trust.statements))

    def introduce(self, peer: bytes) -> None:
        """Sends one's record and digest to a peer that may not know us."""
        if self._oneself.envelope is not None:
            self._outbox.send(peer, self._oneself.envelope)
            self._outbox.send(peer, self.digest(reply_wanted=True))

    def push_pull(self, strangers: Iterable[bytes], now: Instant) -> None:
        """Compares with a random member, when due; and tries a contact that is no member."""
        if self._next_at is None:
            self._schedule(now)
        elif now >= self._next_at:
            self._schedule(now)
            alive = self._roster.alive()
            if alive:
                self._outbox.send(self._rng.choice(alive), self.digest(reply_wanted=True))
            unknown = list(strangers)
            if unknown:
                self.introduce(self._rng.choice(unknown))

    def ask_about_suspects(self, now: Instant) -> None:
        """Fetches the accusations that rumours failed to bring, while a case is undecided."""
        if not self._detection.is_undecided(now):
            return
        others = [peer for peer in self._roster.alive() if not self._roster.is_suspect(peer)]
        if others:
            self._outbox.send(self._rng.choice(others), self.digest(reply_wanted=True))

    def _schedule(self, now: Instant) -> None:
        interval = self._parameters.push_pull_ns(self._roster.population())
        spread = interval * JITTER_PERCENT // 100
        self._next_at = now + interval - spread + self._rng.randrange(2 * spread + 1)

    def retry_lost(self, now: Instant) -> None:
        """Tells dead members of their death, at growing intervals: one that lives refutes."""
        due = [
            member
            for member in self._roster.lost()
            if member.state is State.DEAD and member.retry_at <= now
        ]
        due.sort(key=lambda member: (member.retry_at, member.peer))
        for member in due[: self._parameters.lost_retries_per_interval]:
            limit = self._parameters.lost_retry_limit_ns
            member.retry_at = now + member.retry_after_ns
            member.retry_after_ns = min(2 * member.retry_after_ns, limit)
            self._pinger.ping(member.peer, self._pinger.nonce(), suspected=True)
            self._show_death(member)

    def tell_lost(self, member: Member, now: Instant) -> None:
        """A member that is dead or gone for us speaks to us: show it why."""
        if self._may_answer("lost", member.peer, now):
            if member.state is State.DEAD:
                self._show_death(member)
            elif member.state is State.LEFT:
                self._outbox.send(member.peer, member.envelope)

    def _show_death(self, member: Member) -> None:
        """Sends its newest record, then an accusation of it.

        On an older copy of its disk it does not know this incarnation, and without
        the record it would take the accusation for a lie.
        """
        self._outbox.send(member.peer, member.envelope)
        self._outbox.send(member.peer, member.evidence[0])

    def show_record(self, link: bytes, now: Instant) -> None:
        """Sends one's present record to a peer that seems to hold an older one."""
        if self._oneself.envelope is not None and self._may_answer("record", link, now):
            self._outbox.send(link, self._oneself.envelope)

    def greet_stranger(self, link: bytes, now: Instant) -> None:
        """A peer pings us whose record we lack: ask for it, but seldom."""
        if self._may_answer("stranger", b"", now):
            self._outbox.send(link, self.digest(reply_wanted=True))

    def member_returned(self, peer: bytes, now: Instant) -> None:
        """A lost member is back, perhaps with a whole other side of a partition."""
        if self._may_answer("returned", b"", now):
            self._outbox.send(peer, self.digest(reply_wanted=True))

    # Answering

    def answer(self, link: bytes, digest: Digest, now: Instant) -> None:
        """Sends the records that `link` lacks, then one's own digest if it lacks nothing less."""
        if not self._may_answer("digest" if digest.reply_wanted else "reply", link, now):
            return
        theirs = {version.peer: version for version in digest.members}
        self._compare_oneself(link, theirs.get(self._roster.me), now)
        budget = DELTA_BYTES_LIMIT
        for envelope in self._roster.trust.lacking(digest.statements):
            if budget <= 0:
                break
            budget -= len(envelope.body)
            self._outbox.send(link, envelope)
        members = list(self._roster.members.values())
        start = self._rng.randrange(len(members)) if members else 0
        for member in members[start:] + members[:start]:
            if member.peer == link:
                continue
            for envelope in self._lacking(member, theirs.get(member.peer), now):
                if budget <= 0:
                    break
                budget -= len(envelope.body)
                self._outbox.send(link, envelope)
        if digest.reply_wanted:
            self._outbox.send(link, self.digest(reply_wanted=False))

    def _compare_oneself(self, link: bytes, version: MemberVersion | None, now: Instant) -> None:
        mine, envelope = self._oneself.record, self._oneself.envelope
        if mine is None or envelope is None:
            return
        if version is None or version.incarnation < mine.incarnation:
            self._outbox.send(link, envelope)
        elif version.incarnation == mine.incarnation and version.state in (
            State.SUSPECT,
            State.DEAD,
        ):
            self._oneself.refute(version.incarnation, now)

    def _lacking(
        self, member: Member, version: MemberVersion | None, now: Instant
    ) -> tuple[Signed, ...]:
        """What a peer that holds `version` of a member should be sent of it."""
        if version is None:
            return (member.envelope, *member.accusations) if member.present else ()
        if version.incarnation < member.incarnation:
            if member.state is State.DEAD and version.state in (State.DEAD, State.LEFT):
                return ()
            return (member.envelope, *member.accusations)
        if version.incarnation > member.incarnation:
            return ()
        if version.state == State.ALIVE or (
            version.state == State.SUSPECT and member.state is State.DEAD
        ):
            return member.accusations
        if version.state in (State.SUSPECT, State.DEAD) and member.state is State.ALIVE:
            self._detection.doubt(member.peer, now)
        return ()

    def _may_answer(self, what: str, link: bytes, now: Instant) -> bool:
        key = (what, link)
        last = self._answered_at.get(key)
        if last is not None and now - last < self._parameters.digest_interval_ns:
            return False
        self._answered_at.pop(key, None)
        self._answered_at[key] = now
        if len(self._answered_at) > LINK_MEMORY_LIMIT:
            del self._answered_at[next(iter(self._answered_at))]
        return True

    def check(self) -> None:
        """Asserts that the memory of links is bounded."""
        assert len(self._answered_at) <= LINK_MEMORY_LIMIT, "gossip-link-memory-bounded"
