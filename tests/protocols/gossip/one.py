"""One gossip machine, driven step by step, among members that exist as keys only."""

import random
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from protocols.effects import Blame, Effect, Emit, Send
from protocols.gossip.commands import Advertise
from protocols.gossip.gossip import Gossip
from protocols.gossip.messages import Accusation, MemberRecord
from protocols.gossip.parameters import GossipParameters
from protocols.machine import MILLISECOND_NS, SECOND_NS, Now
from protocols.wire import Verified, seal
from tests.protocols.gossip.support import HashKeyring, moment, peer_id

E = TypeVar("E", bound=msgspec.Struct)
ME = 0


def record(number: int, incarnation: int = 1, **changes: object) -> MemberRecord:
    """What the peer with this number might say of itself."""
    says = MemberRecord(
        peer_id(number), incarnation, False, f"peer-{number}", f"tcp://peer:{number}", 1, (), b""
    )
    return msgspec.structs.replace(says, **changes)


def accusation(suspect: int, accuser: int, incarnation: int = 1) -> Accusation:
    """One peer's word against another."""
    return Accusation(peer_id(suspect), incarnation, peer_id(accuser))


class One:
    """The machine of peer 0 at a time that the test moves."""

    def __init__(
        self,
        members: int = 0,
        parameters: GossipParameters | None = None,
        boot: int = 1,
        disk: Iterable[msgspec.Struct] = (),
        advertised: bool = True,
    ) -> None:
        self.at_ns = SECOND_NS
        self.gossip = Gossip(
            HashKeyring(peer_id(ME)), b"", boot, parameters or GossipParameters(), random.Random(4)
        )
        self.gossip.restore(disk, self.now)
        if advertised:
            self.submit(Advertise("peer-0", "tcp://peer:0", ()))
        for number in range(1, members + 1):
            self.hear(number, record(number))

    @property
    def wall_ms(self) -> int:
        return self.now.wall_ns // MILLISECOND_NS

    @property
    def now(self) -> Now:
        return moment(self.at_ns)

    @property
    def incarnation(self) -> int:
        mine = self.gossip.record_of(peer_id(ME))
        assert mine is not None
        return mine.incarnation

    def state(self, number: int) -> str | None:
        """What the machine holds of a member."""
        for member in self.gossip.members():
            if member.peer == peer_id(number):
                return member.state
        return None

    def submit(self, command: msgspec.Struct) -> tuple[Effect, ...]:
        effects = self.gossip.submit(command, self.now)
        self.gossip.check()
        return effects

    def plain(self, link: int, message: msgspec.Struct) -> tuple[Effect, ...]:
        """An unsigned message."""
        effects = self.gossip.receive(peer_id(link), peer_id(link), message, self.now)
        self.gossip.check()
        return effects

    def hear(
        self, signer: int, message: MemberRecord | Accusation, link: int | None = None
    ) -> tuple[Effect, ...]:
        """A rumour that a peer signed, by way of `link`."""
        envelope = seal(HashKeyring(peer_id(signer)), message)
        relay = peer_id(signer if link is None else link)
        effects = self.gossip.receive(relay, peer_id(signer), Verified(message, envelope), self.now)
        self.gossip.check()
        return effects

    def run(self, seconds: float) -> list[Effect]:
        """Wakes the machine whenever it wants to be woken."""
        until = self.at_ns + int(seconds * SECOND_NS)
        effects: list[Effect] = []
        while (due := self.gossip.deadline()) is not None and due <= until:
            self.at_ns = max(due, self.at_ns)
            effects += self.gossip.wake(self.now)
            self.gossip.check()
        self.at_ns = until
        return effects

    def oversleep(self, milliseconds: int) -> tuple[Effect, ...]:
        """Wakes the machine that much after its deadline."""
        due = self.gossip.deadline()
        assert due is not None
        self.at_ns = due + milliseconds * MILLISECOND_NS
        return self.gossip.wake(self.now)


def sent(effects: tuple[Effect, ...] | list[Effect], kind: type[E], to: int) -> list[E]:
    """Messages of one kind sent to one peer."""
    return [
        effect.message
        for effect in effects
        if isinstance(effect, Send)
        and effect.to == peer_id(to)
        and isinstance(effect.message, kind)
    ]


def events(effects: tuple[Effect, ...] | list[Effect], kind: type[E]) -> list[E]:
    """Events of one kind."""
    return [
        effect.event
        for effect in effects
        if isinstance(effect, Emit) and isinstance(effect.event, kind)
    ]


def blames(effects: tuple[Effect, ...] | list[Effect]) -> list[tuple[bytes, str]]:
    """Who is blamed, and for what."""
    return [(effect.peer, effect.offence) for effect in effects if isinstance(effect, Blame)]
