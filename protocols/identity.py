"""Who a peer is: an Ed25519 key, and what it signs under which domain.

A peer's id is its public key. Signatures cover `domain`, the mesh's id and the
bytes; each kind of message has a domain of its own (its tag), so that nothing
signed for one purpose, or in one mesh, can be shown for another.

Pure: secrets come from `entropy`, which the caller passes in.
"""

import base64
import hashlib
from collections import OrderedDict
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PEER_ID_BYTES = 32
SIGNATURE_BYTES = 64
VERIFIED_MEMO_LIMIT = 16_384


class Keyring(Protocol):
    """Signs as one peer, and verifies anybody's signatures."""

    @property
    def peer(self) -> bytes:
        """The id of the peer that signs."""

    def sign(self, domain: str, body: bytes) -> bytes:
        """The signature of `body` under `domain`."""

    def verify(self, domain: str, author: bytes, body: bytes, signature: bytes) -> bool:
        """Whether `author` signed `body` under `domain`. Never raises."""


def text_id(peer: bytes) -> str:
    """A peer id as people and scripts see it: lower-case base32 without padding."""
    return base64.b32encode(peer).decode().rstrip("=").lower()


def peer_of_text(text: str) -> bytes:
    """The peer id behind a text id.

    Raises:
        ValueError: it is not one.
    """
    peer = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    if len(peer) != PEER_ID_BYTES:
        raise ValueError(f"a peer id has {PEER_ID_BYTES} bytes, not {len(peer)}")
    return peer


def short_id(peer: bytes) -> str:
    """The first eight characters of a peer's text id; for eyes, never for equality."""
    return text_id(peer[:5])


def signed_bytes(mesh: bytes, domain: str, body: bytes) -> bytes:
    """What a signature covers: an unambiguous encoding of domain, mesh and body."""
    prefix = f"stigmesh/{domain}".encode()
    return len(prefix).to_bytes(2, "big") + prefix + mesh + hashlib.sha256(body).digest()


class Ed25519Keyring:
    """The production keyring: one private key, and a memo of signatures found good.

    The memo is bounded (`VERIFIED_MEMO_LIMIT`), and holds only successes: a
    flood of bad signatures cannot push out what is known.
    """

    def __init__(self, seed: bytes, mesh: bytes) -> None:
        """Takes the 32-byte private seed and the 32-byte id of the mesh (its root public key)."""
        assert len(seed) == PEER_ID_BYTES, "an Ed25519 seed has 32 bytes"
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._mesh = mesh
        self._peer = self._key.public_key().public_bytes_raw()
        self._memo: OrderedDict[bytes, None] = OrderedDict()

    @property
    def peer(self) -> bytes:
        """The public key."""
        return self._peer

    def sign(self, domain: str, body: bytes) -> bytes:
        """The Ed25519 signature of `body` under `domain`."""
        return self._key.sign(signed_bytes(self._mesh, domain, body))

    def verify(self, domain: str, author: bytes, body: bytes, signature: bytes) -> bool:
        """Whether `author` signed `body` under `domain`; memoised."""
        if len(author) != PEER_ID_BYTES or len(signature) != SIGNATURE_BYTES:
            return False
        covered = signed_bytes(self._mesh, domain, body)
        memo_key = hashlib.blake2b(author + signature + covered, digest_size=24).digest()
        if memo_key in self._memo:
            self._memo.move_to_end(memo_key)
            return True
        try:
            Ed25519PublicKey.from_public_bytes(author).verify(signature, covered)
        except (InvalidSignature, ValueError):
            return False
        self._memo[memo_key] = None
        if len(self._memo) > VERIFIED_MEMO_LIMIT:
            self._memo.popitem(last=False)
        return True
