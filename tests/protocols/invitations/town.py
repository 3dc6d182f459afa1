"""One peer's invitations, newcomers with keys of their own, and a disk that may be restarted."""

import msgspec

from protocols.effects import Emit, Persist
from protocols.identity import Ed25519Keyring
from protocols.invitations.commands import OpenInvitation, Redeem
from protocols.invitations.events import InvitationOpened, InvitationRedeemed
from protocols.invitations.invitations import Invitations
from protocols.invitations.messages import Join, JoinBody, make_join
from protocols.invitations.records import Record
from protocols.invitations.token import invitation_keyring
from protocols.machine import SECOND_NS, Now
from protocols.wire import encode

MESH = Ed25519Keyring(b"r" * 32, bytes(32)).peer
WALL_S = 1_000_000
MINUTE_NS = 60 * SECOND_NS
_records = msgspec.msgpack.Decoder(Record)


class Newcomer:
    """Keys of somebody who wants to join."""

    def __init__(self, number: int, name: str = "newcomer") -> None:
        self.keyring = Ed25519Keyring(number.to_bytes(32, "big"), MESH)
        self.curve = (1000 + number).to_bytes(32, "big")
        self.name = name

    def join(self, secret: bytes, *, wall_s: int = WALL_S, mesh: bytes = MESH) -> Join:
        """What this one says with a token's secret."""
        invitation = invitation_keyring(secret, mesh)
        body = JoinBody(mesh, invitation.peer, self.keyring.peer, self.curve, self.name, wall_s)
        return make_join(body, invitation, self.keyring)


class Inviter:
    """A peer's invitations, and the records that are on its disk."""

    def __init__(self) -> None:
        self.now = Now(SECOND_NS, WALL_S * SECOND_NS)
        self.disk: list[bytes] = []
        self.synced: list[bool] = []
        self.machine = self._new()

    def _new(self) -> Invitations:
        return Invitations(MESH, Ed25519Keyring(b"k" * 32, MESH))

    def passes(self, ns: int, wall_ns: int | None = None) -> None:
        """Time goes by; the wall clock may go another way."""
        moved = ns if wall_ns is None else wall_ns
        self.now = Now(self.now.monotonic_ns + ns, self.now.wall_ns + moved)

    def open(self, secret: bytes, valid_ns: int = 15 * MINUTE_NS) -> InvitationOpened:
        """Opens an invitation; what is told once its record is on disk."""
        key = invitation_keyring(secret, MESH).peer
        told = self.step(OpenInvitation(1, key, valid_ns))
        assert isinstance(told, InvitationOpened)
        return told

    def redeem(self, join: Join, curve: bytes) -> InvitationRedeemed:
        """Takes a newcomer's word."""
        told = self.step(Redeem(2, join, curve))
        assert isinstance(told, InvitationRedeemed)
        return told

    def take(self, newcomer: Newcomer, secret: bytes) -> InvitationRedeemed:
        """The newcomer comes in with the token."""
        wall_s = self.now.wall_ns // SECOND_NS
        return self.redeem(newcomer.join(secret, wall_s=wall_s), newcomer.curve)

    def step(self, command: msgspec.Struct) -> msgspec.Struct:
        """One command; writes its record, then gives the event."""
        told: list[msgspec.Struct] = []
        for effect in self.machine.submit(command, self.now):
            match effect:
                case Persist():
                    self.disk.append(encode(effect.record))
                    self.synced.append(effect.sync)
                case Emit():
                    told.append(effect.event)
        assert len(told) == 1
        return told[0]

    def restart(self, compact: bool = False) -> None:
        """Killed, and started from what is on disk, or from a snapshot of it."""
        if compact:
            self.disk = [encode(record) for record in self.machine.snapshot()]
        self.machine = self._new()
        self.machine.restore([_records.decode(data) for data in self.disk], self.now)
        self.machine.check()
