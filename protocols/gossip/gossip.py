"""Gossip: who is here. The machine that the parts of this package make up.

See `docs/protocols/gossip.md` for the rules, their sources and the deviations.
What happens where: `probing` and `watching` ping, `detection` accuses and
concludes, `roster` holds the members, `dissemination` spreads rumours,
`anti_entropy` compares, `oneself` speaks for this peer, `joining` finds others.
"""

import random
from collections.abc import Iterable

import msgspec

from protocols.effects import Effect
from protocols.gossip import restoring
from protocols.gossip.anti_entropy import AntiEntropy
from protocols.gossip.awareness import LocalHealth
from protocols.gossip.commands import (
    Advertise,
    Join,
    Leave,
    LinkLost,
    Proclaim,
    SetLoad,
    ShowCredential,
)
from protocols.gossip.detection import Detection
from protocols.gossip.dissemination import Dissemination
from protocols.gossip.events import LoadChanged
from protocols.gossip.intake import Intake
from protocols.gossip.joining import Joining
from protocols.gossip.member import KnownDoor, MemberView, State, door_of, view_of
from protocols.gossip.messages import (
    Accusation,
    Ack,
    Digest,
    MemberRecord,
    Nack,
    Ping,
    PingRequest,
)
from protocols.gossip.oneself import Oneself
from protocols.gossip.outbox import Outbox
from protocols.gossip.parameters import GossipParameters
from protocols.gossip.pinger import Pinger
from protocols.gossip.probing import Prober
from protocols.gossip.proclaiming import Proclaiming
from protocols.gossip.roster import Roster
from protocols.gossip.watching import Watches
from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, Instant, Now
from protocols.statements import IssuerNamed, Revocation, RootSucceeded
from protocols.trust import Trust
from protocols.wire import Signed, Verified

_record_decoder = msgspec.msgpack.Decoder(MemberRecord)


class Gossip:
    """The membership protocol of one peer. Implements `protocols.machine.Machine`."""

    def __init__(
        self,
        keyring: Keyring,
        credential: bytes,
        boot: int,
        parameters: GossipParameters,
        rng: random.Random,
        trust: Trust | None = None,
    ) -> None:
        """Takes the peer's identity and credential chain, its boot, and whom to trust."""
        self.trust = trust = Trust(bytes(32)) if trust is None else trust
        self._me = keyring.peer
        self._parameters = parameters
        self._outbox = outbox = Outbox()
        self._health = LocalHealth(parameters.local_health_limit, parameters.local_health)
        self._roster = roster = Roster(self._me, parameters, outbox, trust)
        self._pinger = Pinger(rng, outbox)
        self._rumours = Dissemination(parameters, rng, outbox, roster.alive)
        self._prober = Prober(parameters, rng, self._health, self._pinger, roster, outbox)
        self._watches = Watches(parameters, self._health, self._pinger, roster)
        self._detection = Detection(
            keyring,
            parameters,
            self._health,
            roster,
            self._prober,
            self._watches,
            self._pinger,
            self._rumours,
        )
        self._oneself = Oneself(keyring, credential, boot, parameters, self._health, outbox)
        self._joining = Joining(parameters, rng)
        self._proclaiming = Proclaiming(
            keyring, roster, self._watches, self._rumours, outbox, self._joining.forget
        )
        self._anti_entropy = AntiEntropy(
            parameters, rng, roster, self._oneself, self._detection, self._pinger, outbox
        )
        self._intake = Intake(
            roster,
            self._oneself,
            self._detection,
            self._prober,
            self._watches,
            self._rumours,
            self._anti_entropy,
            outbox,
        )
        self._spread: Signed | None = None
        self._late = False
        self._due: Instant | None = None
        """The deadline as the last step left it."""
        self._is_in_step = False
        """Between steps: the last one broke off, and left nothing that can be relied on."""

    # Questions

    def members(self) -> tuple[MemberView, ...]:
        """Every known member, oneself excluded, in the order of ids; also dead and left ones."""
        members = self._roster.members
        return tuple(members[peer].view() for peer in sorted(members))

    def alive(self) -> tuple[bytes, ...]:
        """Alive and suspect members, sorted, oneself excluded."""
        return self._roster.alive()

    def myself(self) -> MemberView | None:
        """This peer as it describes itself; None before it advertises."""
        record = self._oneself.record
        if record is None:
            return None
        state = State.LEFT if record.leaving else State.ALIVE
        return view_of(record, state, self._pinger.load)

    def record_of(self, peer: bytes) -> MemberRecord | None:
        """The newest record of a peer, oneself included."""
        if peer == self._me:
            return self._oneself.record
        member = self._roster.members.get(peer)
        return member.record if member is not None else None

    def contact(self, peer: bytes) -> KnownDoor | None:
        """Where a peer can be met: a member, an acquaintance of before, or a contact."""
        if peer in self.trust.outcasts:
            return None
        member = self._roster.members.get(peer)
        if member is not None:
            return door_of(member.record)
        contact = self._joining.contacts.get(peer)
        if contact is not None:
            return KnownDoor(contact.peer, contact.door, contact.curve)
        envelope = self._roster.acquaintances.get(peer)
        return door_of(_record_decoder.decode(envelope.body)) if envelope is not None else None

    @property
    def local_health(self) -> int:
        """The awareness score: 0 is well."""
        return self._health.score

    # Commands

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Takes a command of `protocols.gossip.commands`.

        Raises:
            Refused: ``Left`` for a `Join` or `Advertise`, ``TooLarge`` for an `Advertise`,
                ``NotAuthorised`` for a `Proclaim`.
        """
        if isinstance(command, Join | Advertise):
            self._oneself.refuse_after_leaving()
        if isinstance(command, Advertise):
            self._oneself.refuse_unfit(command)
        if isinstance(command, Proclaim):
            self._proclaiming.refuse_unfounded(command.envelope)
        at = self._begin(now)
        match command:
            case Join():
                unwanted = (self._me, *self.trust.outcasts)
                self._joining.add(c for c in command.contacts if c.peer not in unwanted)
                self._joining.begin(at)
                self._attempt_to_join(at)
            case Advertise():
                if self._oneself.advertise(command):
                    self._attempt_to_join(at)
            case SetLoad():
                self._pinger.load = max(0, command.load)
            case Leave():
                self._leave()
            case LinkLost():
                if not self._oneself.left:
                    self._detection.link_lost(command.peer, command.refused, at)
            case Proclaim():
                self._proclaiming.proclaim(command.envelope, at)
            case ShowCredential():
                self._oneself.show(command.credential)
            case _:
                raise AssertionError(f"gossip takes no {type(command).__name__}")
        return self._end(None, at)

    def _attempt_to_join(self, at: Instant) -> None:
        if self._oneself.record is None:
            return  # a join waits for the first description of oneself
        for peer in self._joining.attempt(self._roster.acquaintances, at):
            self._anti_entropy.introduce(peer)

    def _leave(self) -> None:
        if self._oneself.left:
            return
        self._oneself.leave()
        self._joining.wanted = False
        self._prober.stop()
        for peer in self._watches.peers():
            self._watches.end(peer)
        if self._oneself.envelope is not None:
            self._outbox.broadcast(self._oneself.envelope)

    # Messages

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Takes a message of `protocols.gossip.messages`, or a `Verified` rumour."""
        at = self._begin(now)
        if link == self._me:
            return self._end(None, at)
        self._pinger.wall_ms = max(0, now.wall_ns // MILLISECOND_NS)
        self._detection.heard(at)
        match message:
            case Ping():
                self._take_ping(link, message, at)
            case _ if self._oneself.left:
                pass
            case Verified(message=Revocation() | IssuerNamed() | RootSucceeded()):
                self._proclaiming.take(link, message.message, message.envelope, at)
            case Verified(message=MemberRecord() as record, envelope=envelope):
                self._intake.record(link, author, record, envelope, at)
            case Verified(message=Accusation() as accusation, envelope=envelope):
                self._intake.accusation(link, author, accusation, envelope, at)
            case Ack():
                self._take_load(link, message.load)
                self._take_clock(link, message.wall_ms)
                self._take_ack(link, message.nonce, at)
            case Nack():
                self._prober.nacked(link, message.nonce)
            case PingRequest():
                self._take_ping_request(link, message, at)
            case Digest():
                self._anti_entropy.answer(link, message, at)
            case _:
                self._outbox.blame(link, "gossip-unexpected-message")
        return self._end(link, at)

    def _take_ping(self, link: bytes, ping: Ping, at: Instant) -> None:
        self._pinger.ack(link, ping.nonce)
        if self._oneself.left:
            return
        member = self._roster.members.get(link)
        if member is None:
            self._anti_entropy.greet_stranger(link, at)
            return
        self._take_load(link, ping.load)
        if not member.present:
            self._anti_entropy.tell_lost(member, at)
        if ping.suspected:
            self._anti_entropy.show_record(link, at)

    def _take_ack(self, link: bytes, nonce: int, at: Instant) -> None:
        if self._watches.answered(link, nonce):
            self._detection.answered(link, directly=True, now=at)
            return
        target = self._prober.acked(link, nonce)
        if target is not None:
            self._detection.answered(target, directly=target == link, now=at)

    def _take_load(self, link: bytes, load: int) -> None:
        member = self._roster.present(link)
        if member is None or member.load == load:
            return
        member.load = load
        step = max(self._parameters.load_step_ms, member.told_load // 4)
        emptied_or_filled = (load == 0) != (member.told_load == 0)
        if emptied_or_filled or abs(load - member.told_load) >= step:
            member.told_load = load
            self._outbox.emit(LoadChanged(link, load))

    def _take_clock(self, link: bytes, wall_ms: int) -> None:
        member = self._roster.present(link)
        if member is not None and wall_ms:
            member.clock_ms = wall_ms - self._pinger.wall_ms

    def _take_ping_request(self, link: bytes, request: PingRequest, at: Instant) -> None:
        if self._roster.present(link) is None:
            return
        if request.target == self._me:
            self._pinger.ack(link, request.nonce)
        elif request.target != link:
            self._detection.helped(link, request.nonce, request.target, at)

    # Time

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Does what is due."""
        at = self._begin(now)
        self._late = False
        if not self._oneself.left:
            self._oneself.wake(at)
            if self._detection.wake(at):
                self._each_interval(at)
            self._attempt_to_join(at)
        return self._end(None, at)

    def _each_interval(self, at: Instant) -> None:
        """Slow work rides on the probe interval, so that it causes no wake-ups of its own."""
        self._roster.forget_old(at)
        self._anti_entropy.retry_lost(at)
        self._anti_entropy.ask_about_suspects(at)
        contacts = self._joining.contacts
        strangers = [peer for peer in contacts if self._roster.present(peer) is None]
        self._anti_entropy.push_pull(strangers, at)
        if not self._roster.members:
            self._prober.stop()

    def deadline(self) -> Instant | None:
        """The next instant at which anything is due."""
        return self._soonest() if self._is_in_step else self._due

    def _soonest(self) -> Instant | None:
        least = self._rumours.deadline()
        if self._oneself.left:
            return least
        dues = (
            self._detection.deadline(),
            self._oneself.deadline(),
            self._joining.deadline() if self._oneself.record is not None else None,
        )
        for due in dues:
            if due is not None and (least is None or due < least):
                least = due
        return least

    def _begin(self, now: Now) -> Instant:
        """Notices at the beginning of a step whether this peer was away."""
        at = now.monotonic_ns
        if self._parameters.lateness_rule and not self._late and not self._oneself.left:
            due = self.deadline()
            if due is not None and at - due > self._parameters.late_after_ns:
                self._late = True  # once per delay, which ends with the next wake-up
                self._detection.came_late(at)
        self._is_in_step = True
        return at

    def _end(self, link: bytes | None, at: Instant) -> tuple[Effect, ...]:
        """Spreads what is new of oneself, sends rumours that are due, and returns the effects."""
        envelope = self._oneself.envelope
        if envelope is not None and envelope is not self._spread:
            self._spread = envelope
            if not self._oneself.left:
                self._rumours.add_record(self._me, envelope, self._me, at)
                if link is not None:
                    self._outbox.send(link, envelope)
        someone = bool(self._joining.contacts or self._roster.acquaintances)
        self._joining.settle(not self._roster.alive(), someone, at)
        self._rumours.flush(at)
        self._due = self._soonest()
        self._is_in_step = False
        return self._outbox.take()

    # Disk

    def snapshot(self) -> Iterable[msgspec.Struct]:
        """What is durable: see `restoring`."""
        return restoring.durable(self._oneself, self._roster, self.trust)

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Takes back what was on disk.

        Raises:
            StorageCorrupt: a record is not one of gossip's.
        """
        restoring.restore(records, self._oneself, self._roster, self.trust)

    def check(self) -> None:
        """Asserts the invariants of all parts."""
        self._roster.check()
        self._oneself.check()
        self._prober.check()
        self._watches.check()
        self._rumours.check()
        self._anti_entropy.check()
        self._joining.check()
        self._proclaiming.check()
        assert self.deadline() == self._soonest(), "deadlines-are-known: gossip"
