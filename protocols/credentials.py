"""Credentials: who may be a peer of a mesh, on whose word, and until when.

A chain has two links: the root's word for an issuer, and the issuer's word for
a peer. The mesh's id is the root's public key. Each link is an encoded
`Credential`, signed; the bytes are kept as they were signed.

    root key --signs--> issuer credential --key signs--> peer credential
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from protocols.errors import Malformed, MeshError
from protocols.identity import Keyring
from protocols.wire import NameField, PeerIdField, SignatureField, encode

CREDENTIAL_DOMAIN = "credential"
CHAIN_LIMIT = 2048
SUCCESSIONS_LIMIT = 5
"""How often a mesh's root may be succeeded: so many words fit a chain."""
OVER = ("expired", "root-retired")
"""Why a credential that was good is so no more: a newer one for the same keys mends it.

These are found when all signatures have been verified.
"""
DAY_S = 86_400
CLOCK_TOLERANCE_S = 300
"""How far a wall clock may be off before a credential counts as not valid yet, or no longer."""
NO_CURVE = bytes(32)

ROLE_ISSUER = "issuer"
ROLE_PEER = "peer"
ROLE_POLICIES = "policies"
"""Whoever has it sets the blackboard's policies."""

ROLES_LIMIT = 8
"""Roles of one credential."""
ROLE_PATTERN = "^[a-z0-9][a-z0-9._-]{0,63}$"
RoleField = Annotated[str, msgspec.Meta(pattern=ROLE_PATTERN)]
"""The name of a role that is asked for; those of chains are taken as they are."""
CurveField = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class CredentialRefused(MeshError):
    """A credential does not admit its bearer.

    Attributes:
        kind: malformed | other-mesh | unknown-root | bad-signature | not-an-issuer | not-a-peer |
            expired | not-yet-valid | root-retired | wrong-curve-key | wrong-peer |
            revoked | issuer-revoked
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class Credential(msgspec.Struct, frozen=True, array_like=True, tag="credential"):
    """What is said of one key. Times are wall-clock seconds since 1970."""

    mesh: PeerIdField
    subject: PeerIdField
    curve: CurveField
    roles: Annotated[tuple[NameField, ...], msgspec.Meta(max_length=ROLES_LIMIT)]
    spaces: Annotated[tuple[NameField, ...], msgspec.Meta(max_length=8)]
    not_before_s: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    not_after_s: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    serial: Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class SignedCredential(msgspec.Struct, frozen=True, array_like=True):
    """An encoded credential and its signer's signature."""

    signer: PeerIdField
    body: Annotated[bytes, msgspec.Meta(max_length=CHAIN_LIMIT)]
    signature: SignatureField


class Succession(msgspec.Struct, frozen=True, array_like=True):
    """An encoded `RootSucceeded`, and its author's signature; see `protocols/succession.py`."""

    body: Annotated[bytes, msgspec.Meta(max_length=256)]
    signature: SignatureField


class CredentialChain(msgspec.Struct, frozen=True, array_like=True, tag="chain"):
    """The issuer's credential by a root, the peer's by the issuer, and how that root became one."""

    issuer: SignedCredential
    peer: SignedCredential
    roots: Annotated[tuple[Succession, ...], msgspec.Meta(max_length=SUCCESSIONS_LIMIT)] = ()
    """From the mesh's first root on; empty where that one signed."""


class _RootsOwnChain(msgspec.Struct, frozen=True, array_like=True, tag="chain"):
    """The same by the mesh's first root, as every release has written it."""

    issuer: SignedCredential
    peer: SignedCredential


_chain_decoder = msgspec.msgpack.Decoder(CredentialChain)
_credential_decoder = msgspec.msgpack.Decoder(Credential)


def issue(signer: Keyring, credential: Credential) -> SignedCredential:
    """Signs a credential; the signer is the root (for issuers) or an issuer (for peers)."""
    body = encode(credential)
    return SignedCredential(signer.peer, body, signer.sign(CREDENTIAL_DOMAIN, body))


def encode_chain(
    issuer: SignedCredential, peer: SignedCredential, roots: tuple[Succession, ...] = ()
) -> bytes:
    """A chain as it is stored and sent."""
    if not roots:
        return encode(_RootsOwnChain(issuer, peer))
    return encode(CredentialChain(issuer, peer, roots))


def decode_chain(encoded: bytes) -> tuple[CredentialChain, Credential, Credential]:
    """Decodes without verifying: the chain, the issuer's and the peer's credential.

    Raises:
        Malformed: too long, or not a chain.
    """
    if len(encoded) > CHAIN_LIMIT:
        raise Malformed(f"a credential of {len(encoded)} bytes is over {CHAIN_LIMIT}")
    try:
        chain = _chain_decoder.decode(encoded)
        issuer = _credential_decoder.decode(chain.issuer.body)
        peer = _credential_decoder.decode(chain.peer.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(f"not a credential: {error}") from None
    return chain, issuer, peer


def decode_credential(body: bytes) -> Credential | None:
    """What a signed credential says; None where it is none. Nothing is verified."""
    try:
        return _credential_decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def verify_chain(
    encoded: bytes,
    root: bytes,
    wall_ns: int,
    keyring: Keyring,
    roots: Mapping[bytes, int | None] | None = None,
) -> Credential:
    """The peer credential at the end of a chain, when every link holds at `wall_ns`.

    Args:
        encoded: the chain.
        root: the mesh's id.
        wall_ns: now.
        keyring: verifies signatures.
        roots: the keys that may name issuers, each with the wall second at which it
            retires, or None; by default the mesh's first root alone.

    Raises:
        CredentialRefused: with the first reason found.
    """
    try:
        chain, issuer, peer = decode_chain(encoded)
    except Malformed as error:
        raise CredentialRefused("malformed", str(error)) from None
    known = {root: None} if roots is None else roots
    if issuer.mesh != root or peer.mesh != root:
        raise CredentialRefused("other-mesh", "the credential was issued for another mesh")
    if chain.issuer.signer not in known:
        raise CredentialRefused(
            "unknown-root", "it goes back to a key that is no root of this mesh, as far as known"
        )
    if ROLE_ISSUER not in issuer.roles or chain.peer.signer != issuer.subject:
        raise CredentialRefused("not-an-issuer", "its signer is not an issuer of this mesh")
    if ROLE_PEER not in peer.roles:
        raise CredentialRefused("not-a-peer", "the credential does not name the role of a peer")
    for signed in (chain.issuer, chain.peer):
        if not keyring.verify(CREDENTIAL_DOMAIN, signed.signer, signed.body, signed.signature):
            raise CredentialRefused("bad-signature", "a signature of the credential is wrong")
    for part in (issuer, peer):
        _check_time(part, wall_ns)
    retires_s = known[chain.issuer.signer]
    if retires_s is not None and wall_ns // 1_000_000_000 > retires_s + CLOCK_TOLERANCE_S:
        raise CredentialRefused(
            "root-retired", "the root it goes back to has retired: let an issuer sign a new one"
        )
    return peer


def _check_time(credential: Credential, wall_ns: int) -> None:
    wall_s = wall_ns // 1_000_000_000
    if wall_s > credential.not_after_s + CLOCK_TOLERANCE_S:
        raise CredentialRefused(
            "expired",
            f"it ended {_long(wall_s - credential.not_after_s)} ago",
        )
    if wall_s < credential.not_before_s - CLOCK_TOLERANCE_S:
        raise CredentialRefused(
            "not-yet-valid", f"it begins in {credential.not_before_s - wall_s} s; check the clocks"
        )


def _long(seconds: int) -> str:
    return f"{seconds} s" if seconds < 2 * DAY_S else f"{seconds // DAY_S} days"
