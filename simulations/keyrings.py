"""Signatures for simulated peers: fast, and as unforgeable as a run needs.

Every peer's key is derived from one secret of the world, which no core and no
adversary ever sees: they hold a keyring, and it signs in its own name only.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from protocols.identity import (
    PEER_ID_BYTES,
    SIGNATURE_BYTES,
    Ed25519Keyring,
    Keyring,
    signed_bytes,
)

SIGNATURES_REMEMBERED = 16_384
Signatures = Literal["stand-in", "ed25519"]
"""How simulated peers sign: with a keyed hash that nobody can forge and that costs next
to nothing, or as in production. Ids differ, and with them who does what."""
Signature = Callable[[bytes, str, bytes, bytes], bytes]
"""The signature of (mesh, domain, author, body) in one world."""
MakeKeyring = Callable[[bytes, bytes], Keyring]
"""Makes a keyring from a private seed and the mesh's id; see `protocols.identity`."""


class SimulatedKeyring:
    """Signs with a keyed hash under the secret of its world."""

    def __init__(self, secret: bytes, seed: bytes, mesh: bytes, signature: Signature) -> None:
        """Takes the world's secret, this peer's seed, the mesh's id, and how the world signs."""
        self._mesh = mesh
        self._sign = signature
        self._peer = hashlib.blake2b(seed, key=secret, digest_size=PEER_ID_BYTES).digest()

    @property
    def peer(self) -> bytes:
        """The id that goes with the seed."""
        return self._peer

    def sign(self, domain: str, body: bytes) -> bytes:
        """A signature that only holders of the world's secret can make."""
        return self._sign(self._mesh, domain, self._peer, body)

    def verify(self, domain: str, author: bytes, body: bytes, signature: bytes) -> bool:
        """Whether `author` signed `body` under `domain`."""
        return signature == self._sign(self._mesh, domain, author, body)


def simulated_keyrings(secret: bytes) -> MakeKeyring:
    """Keyrings of one world, which verify each other's signatures."""

    # All peers of a world check the same few signatures: each is computed once for all of them.
    @lru_cache(SIGNATURES_REMEMBERED)
    def signature(mesh: bytes, domain: str, author: bytes, body: bytes) -> bytes:
        covered = author + signed_bytes(mesh, domain, body)
        return hashlib.blake2b(covered, key=secret, digest_size=SIGNATURE_BYTES).digest()

    return lambda seed, mesh: SimulatedKeyring(secret, seed, mesh, signature)


class MemoisedKeyring:
    """A production keyring that verifies no signature twice in one world."""

    def __init__(self, inner: Keyring, known: dict[tuple[str, bytes, bytes, bytes], bool]) -> None:
        """Takes a real keyring, and what all keyrings of the world have verified."""
        self._inner = inner
        self._known = known

    @property
    def peer(self) -> bytes:
        """The id that goes with the seed."""
        return self._inner.peer

    def sign(self, domain: str, body: bytes) -> bytes:
        """A real signature."""
        return self._inner.sign(domain, body)

    def verify(self, domain: str, author: bytes, body: bytes, signature: bytes) -> bool:
        """Whether `author` signed `body` under `domain`, for this mesh."""
        key = (domain, author, bytes(body), signature)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._inner.verify(domain, author, body, signature)
        return found


def keyrings_of(signatures: Signatures) -> Callable[[bytes], MakeKeyring]:
    """The keyrings of a scenario's kind of signatures."""
    return real_keyrings if signatures == "ed25519" else simulated_keyrings


def real_keyrings(secret: bytes) -> MakeKeyring:
    """Production signatures, for runs that show that the stand-in changes nothing."""
    known: dict[bytes, dict[tuple[str, bytes, bytes, bytes], bool]] = {}

    def make(seed: bytes, mesh: bytes) -> Keyring:
        return MemoisedKeyring(Ed25519Keyring(seed, mesh), known.setdefault(mesh, {}))

    return make
