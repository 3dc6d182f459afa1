"""Statements of the mesh's authorities: taken, kept, passed on, and what they do to members.

A statement spreads as any rumour does, and by push-pull; it is on disk before it is
passed on. Whom it leaves without a good credential is told so, with the statement, and
is no member from then on.
"""

from collections.abc import Callable

from protocols.errors import Refused
from protocols.gossip.dissemination import Dissemination
from protocols.gossip.events import IssuerAdded, PeerRevoked, RootRotated, StatementsFull
from protocols.gossip.member import Member
from protocols.gossip.outbox import Outbox
from protocols.gossip.records import StatementKept
from protocols.gossip.roster import Roster
from protocols.gossip.watching import Watches
from protocols.identity import Keyring
from protocols.machine import Instant
from protocols.statements import (
    IssuerNamed,
    Revocation,
    RootSucceeded,
    Statement,
    decode_statement,
)
from protocols.trust import REVOKED, Verdict
from protocols.wire import Signed, encode

WHY_NOT = {
    Verdict.UNFOUNDED: "its signer is no root and no issuer of this mesh, or not for this",
    Verdict.FORGED: "it contradicts itself: it was not made by a release of stigmesh",
    Verdict.NO_ROOM: "there is no room for more statements of this author",
}


class Proclaiming:
    """Takes statements, and draws the consequences for the roster."""

    def __init__(
        self,
        keyring: Keyring,
        roster: Roster,
        watches: Watches,
        rumours: Dissemination,
        outbox: Outbox,
        forget_contact: Callable[[bytes], None],
    ) -> None:
        self._keyring = keyring
        self._trust = roster.trust
        self._roster = roster
        self._watches = watches
        self._rumours = rumours
        self._outbox = outbox
        self._forget_contact = forget_contact
        self._is_told_full = False

    def take(self, link: bytes, said: Statement, envelope: Signed, at: Instant) -> Verdict:
        """A statement whose envelope was verified, by way of `link`."""
        verdict = self._trust.take(said, envelope, self._keyring)
        if verdict is Verdict.FORGED:
            self._outbox.blame(link, "gossip-forged-statement", encode(envelope))
        elif verdict is Verdict.NO_ROOM and not self._is_told_full:
            self._is_told_full = True
            self._outbox.emit(StatementsFull(envelope.author))
        elif verdict is Verdict.NEW:
            self._outbox.persist(StatementKept(envelope), sync=True)
            self._rumours.add_statement(self._newest_id(), envelope, link, at)
            match said:
                case Revocation():
                    self._expel(said, envelope)
                case IssuerNamed():
                    self._tell_issuer(said)
                case RootSucceeded():
                    self._outbox.emit(RootRotated(said.successor, envelope.author, said.retires_s))
        return verdict

    def refuse_unfounded(self, envelope: Signed) -> None:
        """Looks at a statement that came from this machine, without taking it.

        Raises:
            Refused: ``NotAuthorised``, and why.
        """
        said = decode_statement(envelope)
        is_signed = said is not None and self._keyring.verify(
            envelope.domain, envelope.author, envelope.body, envelope.signature
        )
        if said is None or not is_signed:
            raise Refused("NotAuthorised", "this is no signed statement for this mesh")
        verdict = self._trust.judge(said, envelope.author, self._keyring)
        if verdict not in (Verdict.NEW, Verdict.KNOWN):
            raise Refused("NotAuthorised", WHY_NOT[verdict])

    def proclaim(self, envelope: Signed, at: Instant) -> None:
        """Takes a statement that was looked at."""
        said = decode_statement(envelope)
        assert said is not None, "only what is founded is proclaimed"
        self.take(self._roster.me, said, envelope, at)

    def _newest_id(self) -> bytes:
        return next(reversed(self._trust.statements))

    def _expel(self, said: Revocation, envelope: Signed) -> None:
        """Everybody whose credential is good no more is no member any more."""
        if said.subject and said.subject not in self._roster.members:
            # The door must know too, whoever it is; and so must this peer, of itself.
            self._gone(said.subject, "", REVOKED, said, envelope)
        for member in tuple(self._roster.members.values()):
            refusal = self._trust.refusal(member.record.credential)
            if refusal is not None or member.peer == said.subject:
                kind = REVOKED if refusal is None else refusal.kind
                self._gone(member.peer, member.record.name, kind, said, envelope)
                self._drop(member)

    def _gone(self, peer: bytes, name: str, kind: str, said: Revocation, envelope: Signed) -> None:
        self._forget_contact(peer)
        self._roster.forget_acquaintance(peer)
        self._outbox.emit(PeerRevoked(peer, name, kind, said.reason, envelope.author))
        if peer != self._roster.me:
            self._outbox.send(peer, envelope)

    def _drop(self, member: Member) -> None:
        self._watches.end(member.peer)
        self._rumours.drop_member(member.peer)
        self._roster.expel(member)

    def _tell_issuer(self, said: IssuerNamed) -> None:
        for issuer in self._trust.issuers.values():
            if encode(issuer.signed) == said.credential:
                subject = issuer.credential.subject
                self._outbox.emit(IssuerAdded(subject, issuer.credential.not_after_s))

    def check(self) -> None:
        """Asserts that nobody who was revoked is a member."""
        self._trust.check()
        for member in self._roster.members.values():
            assert not self._roster.is_refused(member.record), "revoked-is-no-member"
