"""What a mesh's authorities state, signed, for every peer to keep: docs/protocols/trust.md.

Each travels and is stored in the envelope that its author signed (`Signed`). A root
states that it names an issuer, or its own successor; a root or an issuer states that
somebody is revoked. An issuer shows its own credential with what it states, so that
whoever knows the roots can judge it offline.
"""

from typing import Annotated

import msgspec

from protocols.credentials import SignedCredential
from protocols.identity import Keyring
from protocols.wire import CountField, Message, PeerIdField, SignatureField, Signed, encode, tag_of

AUTHORITY_LIMIT = 512
"""Bytes of an encoded issuer credential."""
REASON_LIMIT = 256
CONSENT_DOMAIN = "root-consent"

AuthorityField = Annotated[bytes, msgspec.Meta(max_length=AUTHORITY_LIMIT)]


class Revocation(Message, frozen=True, array_like=True, tag="gossip.revocation"):
    """A key, or one credential, admits nobody any more; for ever.

    `subject` is a peer's or an issuer's key. Where it is empty, the credential with this
    `serial` is meant: one that the author signed, or, said by a root, anybody's.
    """

    subject: Annotated[bytes, msgspec.Meta(max_length=32)]
    serial: CountField
    reason: Annotated[str, msgspec.Meta(max_length=REASON_LIMIT)]
    at_s: CountField
    """When, by the wall clock of whoever signed; for people."""
    authority: AuthorityField = b""
    """The author's own credential as an issuer; empty where a root says it."""


class IssuerNamed(Message, frozen=True, array_like=True, tag="gossip.issuer"):
    """A root says that a peer may sign credentials, with the peer's own key."""

    credential: AuthorityField


class RootSucceeded(Message, frozen=True, array_like=True, tag="gossip.root"):
    """A root names its successor, which signs too; both count until the old one retires."""

    successor: PeerIdField
    retires_s: CountField
    """Until when the old root counts, by the wall clock."""
    consent: SignatureField


Statement = Revocation | IssuerNamed | RootSucceeded
KINDS: tuple[type[Revocation], type[IssuerNamed], type[RootSucceeded]] = (
    Revocation,
    IssuerNamed,
    RootSucceeded,
)

_statement_decoder: msgspec.msgpack.Decoder[Statement] = msgspec.msgpack.Decoder(Statement)
_authority_decoder = msgspec.msgpack.Decoder(SignedCredential)


def encode_authority(credential: SignedCredential | None) -> bytes:
    """An issuer's credential as statements carry it; empty for a root, which needs none."""
    return b"" if credential is None else encode(credential)


def decode_authority(encoded: bytes) -> SignedCredential | None:
    """The credential within a statement; None where it is none."""
    try:
        return _authority_decoder.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def decode_statement(envelope: Signed) -> Statement | None:
    """What is in an envelope; None where it is no statement. Nothing is verified."""
    try:
        said: Statement = _statement_decoder.decode(envelope.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return said if tag_of(type(said)) == envelope.domain else None


def consent_of(successor: Keyring, predecessor: bytes, retires_s: int) -> bytes:
    """The successor's signature: it really is held by whoever rotates."""
    return successor.sign(CONSENT_DOMAIN, encode((predecessor, retires_s)))


def is_consent(keyring: Keyring, predecessor: bytes, said: RootSucceeded) -> bool:
    """Whether the successor signed what its predecessor says of it."""
    body = encode((predecessor, said.retires_s))
    return keyring.verify(CONSENT_DOMAIN, said.successor, body, said.consent)
