"""The roots and issuers of a mesh, as tests need them: real keys, made from a number."""

from protocols.credentials import (
    NO_CURVE,
    ROLE_ISSUER,
    ROLE_PEER,
    Credential,
    SignedCredential,
    encode_chain,
    issue,
)
from protocols.identity import Ed25519Keyring, Keyring
from protocols.statements import (
    IssuerNamed,
    Revocation,
    RootSucceeded,
    consent_of,
    encode_authority,
)
from protocols.wire import Signed, encode, seal

BEGIN_S, END_S = 1_000_000, 2_000_000
NOW_NS = 1_500_000 * 1_000_000_000


def seed_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Authorities:
    """One mesh: its root, and keyrings of whomever a test wants."""

    def __init__(self, number: int = 1000) -> None:
        self.mesh = Ed25519Keyring(seed_of(number), bytes(32)).peer
        self.root: Keyring = self.keyring(number)

    def keyring(self, number: int) -> Ed25519Keyring:
        return Ed25519Keyring(seed_of(number), self.mesh)

    def naming(
        self, issuer: Keyring, by: Keyring | None = None, begin_s: int = BEGIN_S, serial: int = 1
    ) -> SignedCredential:
        """A root's word for an issuer."""
        said = Credential(
            self.mesh, issuer.peer, NO_CURVE, (ROLE_ISSUER,), (), begin_s, END_S, serial
        )
        return issue(by or self.root, said)

    def chain(
        self, peer: bytes, issuer: Keyring, serial: int = 2, by: Keyring | None = None
    ) -> bytes:
        """A peer's credential, with its issuer's."""
        said = Credential(
            self.mesh, peer, NO_CURVE, (ROLE_PEER,), ("default",), BEGIN_S, END_S, serial
        )
        return encode_chain(self.naming(issuer, by), issue(issuer, said))

    def revocation(
        self,
        subject: bytes = b"",
        serial: int = 0,
        by: Keyring | None = None,
        named_by: Keyring | None = None,
    ) -> Signed:
        """By the root, or by an issuer that the root named."""
        authority = None if by is None else self.naming(by, named_by)
        said = Revocation(subject, serial, "a test", BEGIN_S, encode_authority(authority))
        return seal(by or self.root, said)

    def named(self, issuer: Keyring, by: Keyring | None = None, begin_s: int = BEGIN_S) -> Signed:
        """The statement that somebody is an issuer."""
        return seal(by or self.root, IssuerNamed(encode(self.naming(issuer, by, begin_s))))

    def succession(self, old: Keyring, new: Keyring, retires_s: int = END_S) -> Signed:
        """The statement that `new` succeeds `old`."""
        consent = consent_of(new, old.peer, retires_s)
        return seal(old, RootSucceeded(new.peer, retires_s, consent))
