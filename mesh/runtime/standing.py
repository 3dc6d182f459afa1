"""A peer's standing in its mesh: its own credential, and what becomes of others'.

Hears what authorities stated (docs/protocols/trust.md) as events of the core, and acts:
links of whoever was revoked end; this peer's credential is renewed in time; and when it
is this peer that was revoked, its process ends and says so.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from mesh.core.peer import PeerCore
from mesh.runtime.transport import Transport
from mesh.storage.authority import PeerMaterial
from mesh.storage.files import write_atomically
from mesh.storage.folder import PeerFolder
from protocols.blackboard.commands import CredentialSeen
from protocols.credentials import (
    CLOCK_TOLERANCE_S,
    Credential,
    CredentialRefused,
    decode_chain,
)
from protocols.errors import ConfigurationError, Refused
from protocols.gossip.commands import Proclaim, ShowCredential
from protocols.gossip.events import CredentialRenewed, PeerRevoked, RootRotated
from protocols.identity import Keyring, text_id
from protocols.machine import SECOND_NS, Now
from protocols.statements import Revocation, decode_statement
from protocols.wire import Signed, encode

NEEDS_NEW_KEYS = "it can join again only with new keys, as another peer (`mesh join`)"

_signed_decoder = msgspec.msgpack.Decoder(Signed)


class Steps(Protocol):
    """What this needs of the driver."""

    def submit(self, command: msgspec.Struct) -> None:
        """Takes a local command; may raise Refused."""

    def flush(self) -> None:
        """Writes what is to be written, and releases what may leave."""


class Signer(Protocol):
    """An issuer's key, where this process has one."""

    def may_issue(self) -> bool:
        """Whether it has."""

    def sign(self, peer: bytes, curve: bytes, roles: Sequence[str]) -> bytes:
        """A credential chain for a peer, with these roles.

        Raises:
            ConfigurationError: the key cannot be used.
        """


class Standing:
    """One peer's credential, and its word about others'.

    Attributes:
        credential: this peer's encoded chain, as it is now.
        ended: why this peer is none any more; "" while it is one.
    """

    def __init__(
        self,
        place: PeerFolder,
        material: PeerMaterial,
        core: PeerCore,
        keyring: Keyring,
        signer: Signer,
        now: Callable[[], Now],
    ) -> None:
        """Takes the peer's files, what it is, its core, restored already, and who signs here.

        Raises:
            ConfigurationError: this peer was revoked.
        """
        self.credential = self._at_start = material.credential
        self.ended = ""
        self._place = place
        self._core = core
        self._keyring = keyring
        self._signer = signer
        self._now = now
        self._steps: Steps | None = None
        self._transport: Transport | None = None
        self._retired: dict[bytes, None] = {}
        self._look_at_oneself()
        if self.ended:
            raise ConfigurationError(self.ended)

    def begin(self, steps: Steps, transport: Transport) -> None:
        """From now on whoever was revoked is kept out."""
        self._steps, self._transport = steps, transport
        for outcast in self._core.trust.outcasts:
            transport.revoke(outcast)
        if self.credential is not self._at_start:
            steps.submit(ShowCredential(self.credential))

    def verify(self, encoded: bytes) -> Credential:
        """Checks a peer's chain.

        Raises:
            CredentialRefused: with the first reason found.
        """
        return self._core.trust.verify(encoded, self._now().wall_ns, self._keyring)

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core; those of others are passed over."""
        assert self._transport is not None, "events come after the beginning"
        match event:
            case PeerRevoked():
                if event.peer in self._core.trust.outcasts:
                    self._transport.revoke(event.peer)
                self._transport.reconsider()
                self._look_at_oneself()
                if self.ended:
                    os.kill(os.getpid(), signal.SIGTERM)
            case RootRotated():
                self._transport.reconsider()
            case CredentialRenewed():
                self._transport.renewed(event.peer, event.credential)

    def _look_at_oneself(self) -> None:
        trust, me = self._core.trust, self._core.peer
        refusal = trust.refusal(self.credential)
        said = trust.outcasts.get(me)
        if said is not None:
            why = f" ({said.reason})" if said.reason else ""
            self.ended = f"this peer, {text_id(me)}, was revoked{why}: {NEEDS_NEW_KEYS}"
            write_atomically(self._place.revoked, self.ended.encode())
        elif refusal is not None and not self._is_replaced():
            self.ended = f"{refusal.message}: docs/how-to/credentials.md says how"

    def _is_replaced(self) -> bool:
        """Whether an issuer's key is here that is good still, and has signed for this peer."""
        _, _, mine = decode_chain(self.credential)
        try:
            if not self._signer.may_issue():
                return False
            self.take(self._signer.sign(mine.subject, mine.curve, mine.roles))
        except (ConfigurationError, CredentialRefused):
            return False
        return True

    def look_at_roots(self) -> None:
        """Ends the links of those whose credential rests on a root that has retired since."""
        now_s = self._now().wall_ns // SECOND_NS
        for root, retires_s in self._core.trust.roots.items():
            is_over = retires_s is not None and now_s > retires_s + CLOCK_TOLERANCE_S
            if is_over and root not in self._retired:
                self._retired[root] = None
                if self._transport is not None:
                    self._transport.reconsider()

    # This peer's own credential.

    def due_at_s(self) -> int:
        """When two thirds of its life are over, in wall seconds."""
        chain, issuer, peer = decode_chain(self.credential)
        retires_s = self._core.trust.roots.get(chain.issuer.signer)
        ends_s = min(peer.not_after_s, issuer.not_after_s)
        if retires_s is not None:
            ends_s = min(ends_s, retires_s)
        return peer.not_before_s + (ends_s - peer.not_before_s) * 2 // 3

    def is_due(self) -> bool:
        """Whether it is time for a newer one."""
        return self._now().wall_ns // SECOND_NS >= self.due_at_s()

    def has_ended(self) -> bool:
        """Whether this peer's credential is over by its own clock: others go by theirs."""
        _, _, mine = decode_chain(self.credential)
        return self._now().wall_ns // SECOND_NS > mine.not_after_s

    def take_kept(self) -> Credential | None:
        """Takes what `mesh join` put into the folder of this peer, while it runs.

        Raises:
            CredentialRefused: it is not good, or not for these keys.
        """
        kept = self._place.credential.read_bytes()
        if kept == self.credential:
            return None
        newer, mine = self.verify(kept), decode_chain(self.credential)[2]
        return self.take(kept) if newer.not_after_s > mine.not_after_s else None

    def take(self, encoded: bytes) -> Credential:
        """Takes a newer credential: checked as others will check it, kept, and shown.

        Where the old one had ended, others have stopped to listen to the links that are
        there, and those look good from here: they are opened anew.

        Raises:
            CredentialRefused: it is not good, or not for these keys.
        """
        newer = self.verify(encoded)
        _, _, mine = decode_chain(self.credential)
        if newer.subject != mine.subject or newer.curve != mine.curve:
            raise CredentialRefused("wrong-peer", "the newer credential is for other keys")
        had_ended = self.has_ended()
        write_atomically(self._place.credential, encoded)
        self.credential = encoded
        if had_ended and self._transport is not None:
            self._transport.hang_up()
        if self._steps is not None:
            self._steps.submit(ShowCredential(encoded))
            self._steps.submit(CredentialSeen(encoded))
        return newer

    # The local protocol.

    def verbs(self) -> dict[str, Callable[[Any], Any]]:
        """What it answers."""
        return {"trust": lambda _: self.told(), "proclaim": self.proclaim}

    def told(self) -> dict[str, Any]:
        """Answers the verb ``trust``: what this peer keeps of the mesh's authorities."""
        trust = self._core.trust
        _, issuer, mine = decode_chain(self.credential)
        revocations: list[dict[str, Any]] = []
        for envelope in trust.statements.values():
            said = decode_statement(envelope)
            if isinstance(said, Revocation):
                subject = text_id(said.subject) if said.subject else None
                row = {"id": subject, "serial": said.serial or None, "reason": said.reason}
                revocations.append({**row, "by": text_id(envelope.author), "at": said.at_s})
        return {
            "mesh": text_id(trust.mesh),
            "credential": {
                "serial": mine.serial,
                "issuer": text_id(issuer.subject),
                "begins": mine.not_before_s,
                "ends": mine.not_after_s,
                "renewal": self.due_at_s(),
            },
            "successions": encode(trust.successions),
            "roots": [{"id": text_id(r), "retires": until} for r, until in trust.roots.items()],
            "issuers": [
                {
                    "id": text_id(peer),
                    "ends": named.credential.not_after_s,
                    "revoked": trust.is_issuer_revoked(named.credential),
                    "credential": msgspec.msgpack.encode(named.signed),
                }
                for peer, named in trust.issuers.items()
            ],
            "revocations": revocations,
        }

    def proclaim(self, arguments: Any) -> dict[str, Any]:
        """Answers the verb ``proclaim``: keeps and spreads a signed statement; on disk then.

        Raises:
            Refused: it is none, or its signer has no such authority.
        """
        data = arguments.get("statement", b"") if isinstance(arguments, dict) else b""
        changes = self._core.trust.changes
        self._take(data if isinstance(data, bytes) else b"")
        return {"new": self._core.trust.changes != changes}

    def hear(self, statement: bytes) -> None:
        """Takes what a door showed with its refusal; without authority it counts for nothing."""
        with contextlib.suppress(Refused):
            self._take(statement)

    def _take(self, statement: bytes) -> None:
        assert self._steps is not None, "statements come after the beginning"
        try:
            envelope = _signed_decoder.decode(statement)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Refused("InvalidInput", f"this is no signed statement: {error}") from None
        self._steps.submit(Proclaim(envelope))
        self._steps.flush()
