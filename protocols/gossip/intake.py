"""Takes signed rumours: what is forged is blamed, what is stale is ignored."""

from protocols.gossip.anti_entropy import AntiEntropy
from protocols.gossip.detection import Detection
from protocols.gossip.dissemination import Dissemination
from protocols.gossip.member import State
from protocols.gossip.messages import Accusation, MemberRecord
from protocols.gossip.oneself import Oneself
from protocols.gossip.outbox import Outbox
from protocols.gossip.parameters import INCARNATION_LIMIT
from protocols.gossip.probing import Prober
from protocols.gossip.roster import Merge, Roster
from protocols.gossip.watching import Watches
from protocols.machine import Instant
from protocols.wire import Signed, encode


class Intake:
    """Judges rumours before they change the roster; admission has verified their signatures."""

    def __init__(
        self,
        roster: Roster,
        oneself: Oneself,
        detection: Detection,
        prober: Prober,
        watches: Watches,
        rumours: Dissemination,
        anti_entropy: AntiEntropy,
        outbox: Outbox,
    ) -> None:
        self._roster = roster
        self._oneself = oneself
        self._detection = detection
        self._prober = prober
        self._watches = watches
        self._rumours = rumours
        self._anti_entropy = anti_entropy
        self._outbox = outbox

    def record(
        self, link: bytes, author: bytes, record: MemberRecord, envelope: Signed, at: Instant
    ) -> None:
        """What a peer says of itself: only its own word counts."""
        if author != record.peer:
            self._outbox.blame(link, "gossip-record-of-another", encode(envelope))
            return
        if not 1 <= record.incarnation < INCARNATION_LIMIT:
            self._outbox.blame(author, "gossip-incarnation-out-of-bounds", encode(envelope))
            return
        if record.peer == self._roster.me:
            self._own_record(link, record, envelope, at)
            return
        if self._roster.is_refused(record):
            return  # whoever passed it on has not heard of it yet
        before = self._roster.members.get(record.peer)
        was = before.state if before is not None else None
        if self._roster.merge(record, envelope, at) is not Merge.NEWER:
            return
        self._watches.end(record.peer)
        self._rumours.add_record(record.peer, envelope, link, at)
        self._prober.start(at)
        if was not in (State.ALIVE, State.SUSPECT) and not record.leaving:
            self._prober.add(record.peer)
        if was in (State.DEAD, State.LEFT) and not record.leaving:
            self._anti_entropy.member_returned(record.peer, at)

    def _own_record(self, link: bytes, record: MemberRecord, envelope: Signed, at: Instant) -> None:
        """A record of mine that I do not remember: my disk was restored from a backup."""
        mine = self._oneself.record
        if mine is None:
            return
        if record.incarnation < mine.incarnation:
            self._anti_entropy.show_record(link, at)
        elif self._oneself.envelope is not None and envelope.body != self._oneself.envelope.body:
            self._oneself.refute(record.incarnation, at)

    def accusation(
        self, link: bytes, author: bytes, accusation: Accusation, envelope: Signed, at: Instant
    ) -> None:
        """What a peer says of another: only its own word counts, and once."""
        if author != accusation.accuser:
            self._outbox.blame(link, "gossip-accusation-by-another", encode(envelope))
            return
        if accusation.suspect == author:
            self._outbox.blame(author, "gossip-accuses-itself", encode(envelope))
            return
        if accusation.suspect == self._roster.me:
            self._accusation_of_me(link, accusation, at)
            return
        if author == self._roster.me:
            return
        member = self._roster.present(accusation.suspect)
        if member is None or self._roster.present(author) is None:
            return
        if accusation.incarnation == member.incarnation:
            self._detection.take_accusation(member, author, envelope, link, at)
        elif accusation.incarnation > member.incarnation:
            self._detection.doubt(member.peer, at)

    def _accusation_of_me(self, link: bytes, accusation: Accusation, at: Instant) -> None:
        """Any authentic accuser may be told that I live; only my present incarnation counts.

        An accusation of an incarnation that I never announced is a lie, or
        comes after a restored backup; my own signed record will tell me then.
        """
        mine = self._oneself.record
        if mine is None:
            return
        if accusation.incarnation == mine.incarnation:
            self._oneself.refute(accusation.incarnation, at)
        elif accusation.incarnation < mine.incarnation:
            self._anti_entropy.show_record(link, at)
