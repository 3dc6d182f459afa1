"""Trust: who may vouch for peers, and who is revoked, as far as one peer knows.

A set of statements that only grows, and what follows from it. What an authority
stated is never taken back, so that peers which know the same statements judge alike,
in whatever order they heard them; see docs/protocols/trust.md.

Invariants:
    revoked-for-ever: a revoked key is never trusted again.
    bounded-statements: the statements that are kept have a limit.
"""

import enum
import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from protocols.credentials import (
    CREDENTIAL_DOMAIN,
    ROLE_ISSUER,
    Credential,
    CredentialChain,
    CredentialRefused,
    SignedCredential,
    Succession,
    decode_chain,
    decode_credential,
)
from protocols.errors import Malformed
from protocols.identity import Keyring
from protocols.statements import (
    IssuerNamed,
    Revocation,
    RootSucceeded,
    Statement,
    decode_authority,
    is_consent,
)
from protocols.succession import SUCCESSION_DOMAIN, verify_founded
from protocols.wire import Signed, encode, tag_of

STATEMENTS_LIMIT = 1024
"""Statements that are kept, of all authorities: a digest of them fits one message."""
STATEMENTS_PER_ISSUER_LIMIT = 256
"""Statements of one issuer that are kept, so that one that was stolen cannot fill the table."""
RESERVED_FOR_ROOTS = 64
"""Places that issuers cannot take."""
ROOTS_LIMIT = 16
STATEMENT_ID_BYTES = 8

REVOKED = "revoked"
ISSUER_REVOKED = "issuer-revoked"


class Revoked(CredentialRefused):
    """A credential was revoked.

    Attributes:
        statement: by which, signed: whoever has not heard of it can judge it.
    """

    def __init__(self, kind: str, message: str, statement: Signed) -> None:
        super().__init__(kind, message)
        self.statement = statement


class Verdict(enum.Enum):
    """What became of a statement."""

    NEW = "new"
    KNOWN = "known"
    UNFOUNDED = "unfounded"
    """Its author has no such authority, as far as known here; that may be our ignorance."""
    FORGED = "forged"
    """A signature within it is wrong, or it contradicts itself: whoever passed it on lies."""
    NO_ROOM = "no room"


class Issuer(msgspec.Struct, frozen=True):
    """Somebody whom a root named: its credential, as signed and as read."""

    signed: SignedCredential
    credential: Credential


class Trust:
    """What one peer holds of its mesh's authorities.

    Attributes:
        mesh: the mesh's id, the key of its first root.
        outcasts: the keys that are peers no more, and why.
        roots: the keys that may name issuers, oldest first, and until when (wall seconds);
            None where nobody succeeded it.
        issuers: whom roots have named, by key. The founding issuer is not among them.
        changes: how many statements were taken; what rests on a verdict is outdated
            when it has changed.
    """

    def __init__(self, mesh: bytes) -> None:
        """Trusts the first root, and nobody else."""
        self.mesh = mesh
        self.roots: dict[bytes, int | None] = {mesh: None}
        self.issuers: dict[bytes, Issuer] = {}
        self.outcasts: dict[bytes, Revocation] = {}
        self.changes = 0
        self._issuers_revoked: dict[bytes, Revocation] = {}
        self._serials: dict[tuple[bytes, int], Revocation] = {}
        self._envelopes: dict[Revocation, Signed] = {}
        """Of the revocations that are kept."""
        self._kept: dict[bytes, Signed] = {}
        self._count_by: dict[bytes, int] = {}

    # Questions.

    @property
    def statements(self) -> dict[bytes, Signed]:
        """Every statement that is kept, by its id, in the order in which it came."""
        return self._kept

    @property
    def successions(self) -> tuple[Succession, ...]:
        """How the present root became one, from the mesh's first root on."""
        by = {
            envelope.author: Succession(envelope.body, envelope.signature)
            for envelope in self._kept.values()
            if envelope.domain == SUCCESSION_DOMAIN
        }
        return tuple(by[root] for root in self.roots if root in by)

    def lacking(self, theirs: Iterable[bytes]) -> Iterator[Signed]:
        """The statements that somebody who keeps these does not."""
        if self._kept:
            known = dict.fromkeys(theirs)
            yield from (envelope for name, envelope in self._kept.items() if name not in known)

    def verify(self, encoded: bytes, wall_ns: int, keyring: Keyring) -> Credential:
        """The peer credential at the end of a chain that holds now, and is not revoked.

        Raises:
            CredentialRefused: with the first reason found.
        """
        credential = verify_founded(encoded, self.mesh, wall_ns, keyring, self.roots)
        refusal = self.refusal(encoded)
        if refusal is not None:
            raise refusal
        return credential

    def refusal(self, encoded: bytes) -> Revoked | None:
        """What was revoked of a chain; its signatures and times are not looked at."""
        try:
            chain, issuer, peer = decode_chain(encoded)
        except Malformed:
            return None
        return self._refusal(chain, issuer, peer)

    def _refusal(
        self, chain: CredentialChain, issuer: Credential, peer: Credential
    ) -> Revoked | None:
        found = (
            self.outcasts.get(peer.subject)
            or self._serials.get((b"", peer.serial))
            or self._serials.get((issuer.subject, peer.serial))
        )
        if found is not None:
            text = f"the credential was revoked{_why(found)}"
            return Revoked(REVOKED, text, self._envelopes[found])
        found = self._issuers_revoked.get(issuer.subject) or self._serials.get((b"", issuer.serial))
        if found is not None:
            text = f"the issuer that signed it was revoked{_why(found)}: let another issuer of the "
            text += "mesh sign a new one"
            return Revoked(ISSUER_REVOKED, text, self._envelopes[found])
        return None

    def is_issuer_revoked(self, issuer: Credential) -> bool:
        """Whether what this issuer signed counts no more."""
        return issuer.subject in self._issuers_revoked or (b"", issuer.serial) in self._serials

    # Taking statements.

    def judge(self, said: Statement, author: bytes, keyring: Keyring) -> Verdict:
        """What `take` would say of a statement; nothing changes."""
        verdict = self._weigh(said, author, keyring)
        if verdict is not Verdict.NEW:
            return verdict
        if self._id_of(said, author) in self._kept:
            return Verdict.KNOWN
        return Verdict.NEW if self._has_room(author) else Verdict.NO_ROOM

    def take(self, said: Statement, envelope: Signed, keyring: Keyring) -> Verdict:
        """Takes a statement whose envelope was verified. Only `NEW` changes anything."""
        author = envelope.author
        verdict = self.judge(said, author, keyring)
        if verdict is not Verdict.NEW:
            return verdict
        name = self._id_of(said, author)
        match said:
            case Revocation():
                self._revoke(said, author)
                self._envelopes[said] = envelope
            case IssuerNamed():
                old = self._name_issuer(said)
                if old is not None:
                    self._forget(old)
            case RootSucceeded():
                self.roots[author] = said.retires_s
                self.roots[said.successor] = None
        self._kept[name] = envelope
        self._count_by[author] = self._count_by.get(author, 0) + 1
        self.changes += 1
        return Verdict.NEW

    def restore(self, said: Statement, envelope: Signed) -> None:
        """Takes back what was kept: it was weighed when it was new."""
        self.take(said, envelope, _Believing(envelope.author))

    def _weigh(self, said: Statement, author: bytes, keyring: Keyring) -> Verdict:
        is_root = author in self.roots
        match said:
            case Revocation():
                if bool(said.subject) == bool(said.serial) or len(said.subject) not in (0, 32):
                    return Verdict.FORGED
                if said.subject in self.roots:
                    return Verdict.UNFOUNDED
                return (
                    Verdict.NEW if is_root else self._weigh_issuer(said.authority, author, keyring)
                )
            case IssuerNamed():
                return self._weigh_naming(said, author, keyring) if is_root else Verdict.UNFOUNDED
            case RootSucceeded():
                if not is_root or len(self.roots) >= ROOTS_LIMIT:
                    return Verdict.UNFOUNDED
                if said.successor == author or not is_consent(keyring, author, said):
                    return Verdict.FORGED
                known = said.successor in self.roots
                return Verdict.KNOWN if known or self.roots[author] is not None else Verdict.NEW
        raise AssertionError(f"{type(said).__name__} is no statement")

    def _weigh_issuer(self, authority: bytes, author: bytes, keyring: Keyring) -> Verdict:
        signed = decode_authority(authority)
        credential = decode_credential(signed.body) if signed is not None else None
        if signed is None or credential is None or credential.subject != author:
            return Verdict.FORGED
        if ROLE_ISSUER not in credential.roles or credential.mesh != self.mesh:
            return Verdict.FORGED
        if signed.signer not in self.roots:
            return Verdict.UNFOUNDED
        is_signed = keyring.verify(CREDENTIAL_DOMAIN, signed.signer, signed.body, signed.signature)
        return Verdict.NEW if is_signed else Verdict.FORGED

    def _weigh_naming(self, said: IssuerNamed, author: bytes, keyring: Keyring) -> Verdict:
        signed = decode_authority(said.credential)
        credential = decode_credential(signed.body) if signed is not None else None
        if signed is None or credential is None or signed.signer != author:
            return Verdict.FORGED
        verdict = self._weigh_issuer(said.credential, credential.subject, keyring)
        known = self.issuers.get(credential.subject)
        if (
            verdict is Verdict.NEW
            and known is not None
            and _age(known.credential) >= _age(credential)
        ):
            return Verdict.KNOWN
        return verdict

    # What follows from them.

    def _revoke(self, said: Revocation, author: bytes) -> None:
        is_root = author in self.roots
        if not said.subject:
            self._serials[(b"" if is_root else author, said.serial)] = said
            return
        self.outcasts.setdefault(said.subject, said)
        if is_root:
            self._issuers_revoked[said.subject] = said

    def _name_issuer(self, said: IssuerNamed) -> bytes | None:
        """Enters an issuer; the id of the statement that this one replaces."""
        signed = decode_authority(said.credential)
        credential = decode_credential(signed.body) if signed is not None else None
        assert signed is not None and credential is not None, "a naming that was weighed"
        known = self.issuers.get(credential.subject)
        self.issuers[credential.subject] = Issuer(signed, credential)
        return None if known is None else _naming_id(known.credential)

    def _id_of(self, said: Statement, author: bytes) -> bytes:
        match said:
            case Revocation():
                by = b"" if author in self.roots else author
                # Any issuer's word against a peer is as good as another's.
                whose = by if said.serial else bytes([author in self.roots])
                return _id(said, said.subject, said.serial, whose)
            case IssuerNamed():
                signed = decode_authority(said.credential)
                credential = decode_credential(signed.body) if signed is not None else None
                assert credential is not None, "a naming that was weighed"
                return _naming_id(credential)
            case RootSucceeded():
                return _id(said, author, 0, b"")
        raise AssertionError(f"{type(said).__name__} is no statement")

    def _has_room(self, author: bytes) -> bool:
        if author in self.roots:
            return len(self._kept) < STATEMENTS_LIMIT
        return (
            self._count_by.get(author, 0) < STATEMENTS_PER_ISSUER_LIMIT
            and len(self._kept) < STATEMENTS_LIMIT - RESERVED_FOR_ROOTS
        )

    def _forget(self, name: bytes) -> None:
        envelope = self._kept.pop(name, None)
        if envelope is not None:
            self._count_by[envelope.author] -= 1

    def check(self) -> None:
        """Asserts the invariants."""
        assert len(self._kept) <= STATEMENTS_LIMIT, "bounded-statements"
        assert sum(self._count_by.values()) == len(self._kept), "bounded-statements: the counts"
        assert all(key in self.outcasts for key in self._issuers_revoked), "revoked-for-ever"


class _Believing:
    """Verifies nothing: for statements that were weighed before they were written down."""

    def __init__(self, peer: bytes) -> None:
        self.peer = peer

    def sign(self, domain: str, body: bytes) -> bytes:
        raise AssertionError("nobody signs what is on disk already")

    def verify(self, domain: str, author: bytes, body: bytes, signature: bytes) -> bool:
        return True


def _id(said: Statement, subject: bytes, number: int, whose: bytes) -> bytes:
    text = encode((tag_of(type(said)), subject, number, whose))
    return hashlib.blake2b(text, digest_size=STATEMENT_ID_BYTES).digest()


def _naming_id(credential: Credential) -> bytes:
    text = encode((tag_of(IssuerNamed), credential))
    return hashlib.blake2b(text, digest_size=STATEMENT_ID_BYTES).digest()


def _age(credential: Credential) -> tuple[int, bytes]:
    """Which of two credentials of one issuer is the newer; the same for everybody."""
    return credential.not_before_s, encode(credential)


def _why(said: Revocation) -> str:
    return f" ({said.reason})" if said.reason else ""
