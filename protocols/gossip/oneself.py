"""What this peer says of itself: its record, its refutations, its goodbye."""

import msgspec

from protocols.errors import Refused
from protocols.gossip.awareness import LocalHealth
from protocols.gossip.commands import Advertise
from protocols.gossip.incarnations import Incarnations
from protocols.gossip.messages import (
    LABELS_PER_PEER_LIMIT,
    SKILLS_PER_PEER_LIMIT,
    MemberRecord,
)
from protocols.gossip.outbox import Outbox
from protocols.gossip.parameters import GossipParameters
from protocols.identity import Keyring
from protocols.machine import Instant
from protocols.wire import SIGNED_BODY_LIMIT, Signed, encode, seal

_record_decoder = msgspec.msgpack.Decoder(MemberRecord)


class Oneself:
    """The newest record of this peer, signed; None before it advertises."""

    def __init__(
        self,
        keyring: Keyring,
        credential: bytes,
        boot: int,
        parameters: GossipParameters,
        health: LocalHealth,
        outbox: Outbox,
    ) -> None:
        self._keyring = keyring
        self._credential = credential
        self._boot = boot
        self._parameters = parameters
        self._health = health
        self._outbox = outbox
        self.incarnations = Incarnations(parameters.incarnation_block)
        self.record: MemberRecord | None = None
        self.envelope: Signed | None = None
        self.left = False
        self._refuted_at: Instant | None = None
        self._refute_at: Instant | None = None
        self._refute_above = 0
        self._interval_ns = parameters.refutation_interval_ns
        self._counted_at: Instant | None = None

    def refuse_after_leaving(self) -> None:
        """A peer that has left says nothing more.

        Raises:
            Refused: it has left.
        """
        if self.left:
            raise Refused("Left", "this peer has left the mesh; start it again to rejoin")

    def refuse_unfit(self, command: Advertise) -> None:
        """Checks a description without taking it.

        Raises:
            Refused: the description is too large.
        """
        body = encode(self._draft(command, incarnation=2**62))
        why = f"{len(body)} bytes" if len(body) > SIGNED_BODY_LIMIT else ""
        try:
            # As all others will: what they cannot decode would cost this peer its place.
            _record_decoder.decode(body)
        except msgspec.ValidationError as error:
            why = str(error)
        if why:
            raise Refused(
                "TooLarge",
                f"what a peer says of itself must fit {SIGNED_BODY_LIMIT} bytes,"
                f" {SKILLS_PER_PEER_LIMIT} skills, {LABELS_PER_PEER_LIMIT} labels, and the lengths"
                f" of names and versions ({why}); host fewer skills here, or shorten what they"
                " are called",
            )

    def advertise(self, command: Advertise) -> bool:
        """Announces a description that fits; False when nothing changed."""
        old = self.record
        said = (command.name, command.door, command.skills, command.labels)
        if old is not None and (old.name, old.door, old.skills, old.labels) == said:
            return False
        self._announce(self._draft(command, self.incarnations.raise_above(0, self._outbox)))
        return True

    def _draft(self, command: Advertise, incarnation: int) -> MemberRecord:
        return MemberRecord(
            peer=self._keyring.peer,
            incarnation=incarnation,
            leaving=False,
            name=command.name,
            door=command.door,
            boot=self._boot,
            skills=command.skills,
            credential=self._credential,
            labels=command.labels,
        )

    def _announce(self, record: MemberRecord) -> None:
        self.record = record
        self.envelope = seal(self._keyring, record)

    def _renew(self, seen: int, leaving: bool) -> None:
        old = self.record
        assert old is not None, "only an announced record is renewed"
        incarnation = self.incarnations.raise_above(seen, self._outbox)
        self._announce(
            MemberRecord(
                peer=old.peer,
                incarnation=incarnation,
                leaving=leaving,
                name=old.name,
                door=old.door,
                boot=old.boot,
                skills=old.skills,
                credential=old.credential,
                labels=old.labels,
            )
        )

    def show(self, credential: bytes) -> None:
        """Shows a newer credential, in a newer record."""
        self._credential = credential
        if self.record is not None and not self.left:
            self.record = msgspec.structs.replace(self.record, credential=credential)
            self._renew(0, leaving=False)

    def leave(self) -> None:
        """Says goodbye, once."""
        self.left = True
        if self.record is not None:
            self._renew(0, leaving=True)

    def refute(self, seen: int, now: Instant) -> bool:
        """Wants a higher incarnation than `seen`; True when it was announced at once.

        At most one refutation per interval, which grows while they follow each
        other, so that liars cannot make this peer flood the mesh; a later one
        is due at `deadline`. The shortest suspicion timer is three times as long.
        """
        if self.record is None or self.left or seen < self.record.incarnation:
            return False
        self._refute_above = max(self._refute_above, seen)
        if self._refuted_at is not None and now < self._refuted_at + self._interval_ns:
            self._refute_at = self._refuted_at + self._interval_ns
            return False
        self._refute_now(now)
        return True

    def _refute_now(self, now: Instant) -> None:
        self._renew(self._refute_above, leaving=False)
        least, most = (
            self._parameters.refutation_interval_ns,
            self._parameters.refutation_interval_limit_ns,
        )
        follows = self._refuted_at is not None and now - self._refuted_at <= 2 * most
        self._interval_ns = min(2 * self._interval_ns, most) if follows else least
        self._refuted_at, self._refute_at = now, None
        calm = self._parameters.refutation_calm_ns
        if self._counted_at is None or now - self._counted_at >= calm:
            # Lifeguard IV-A; but a liar who accuses me all the time must not make me slow.
            self._counted_at = now
            self._health.apply(1)

    def deadline(self) -> Instant | None:
        """When a refutation that had to wait is due."""
        return None if self.left else self._refute_at

    def wake(self, now: Instant) -> bool:
        """Announces a refutation that had to wait; True when it did."""
        if self.left or self._refute_at is None or now < self._refute_at:
            return False
        assert self.record is not None, "only an announced record is refuted"
        if self.record.incarnation > self._refute_above:
            self._refute_at = None
            return False
        self._refute_now(now)
        return True

    def check(self) -> None:
        """Asserts that nothing was announced that is not reserved on disk."""
        if self.record is None:
            return
        assert self.record.incarnation == self.incarnations.present, "gossip-own-incarnation"
        assert self.incarnations.present <= self.incarnations.reserved, "gossip-reserved-first"
