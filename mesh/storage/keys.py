"""Key files: who a peer, an issuer or a mesh is, for this user's eyes alone.

A key file is text of two lines::

    stigmesh peer-key 1
    mTQ0…=

The first names the kind and the version of the format, so that one file is
never taken for another; the second holds the bytes in base64. Secrets are
created once, with mode 0600, and never overwritten.
"""

import base64
import binascii
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mesh.storage.files import create_atomically
from protocols.errors import ConfigurationError

KeyKind = Literal["peer-key", "issuer-key", "root-key", "root-public"]

FORMAT = 1
SEED_BYTES = 32
CURVE_BYTES = 32
KEY_FILE_LIMIT = 1024

_LENGTHS: dict[KeyKind, int] = {
    "peer-key": SEED_BYTES + CURVE_BYTES,
    "issuer-key": SEED_BYTES,
    "root-key": SEED_BYTES,
    "root-public": 32,
}
_PUBLIC: tuple[KeyKind, ...] = ("root-public",)


class PeerKeys(msgspec.Struct, frozen=True):
    """A peer's secrets: its Ed25519 seed, and its CURVE (X25519) secret key, both raw."""

    seed: bytes
    curve_secret: bytes

    def __repr__(self) -> str:
        # Secrets stay out of logs and tracebacks.
        return f"PeerKeys(peer={self.peer.hex()[:8]}…)"

    @property
    def peer(self) -> bytes:
        """The peer's id: its Ed25519 public key."""
        return public_of(self.seed)

    @property
    def curve_public(self) -> bytes:
        """The raw CURVE public key; zmq wants it in Z85."""
        return (
            X25519PrivateKey.from_private_bytes(self.curve_secret).public_key().public_bytes_raw()
        )


def public_of(seed: bytes) -> bytes:
    """The Ed25519 public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def create_key(path: Path, kind: KeyKind, key: bytes) -> None:
    """Writes a key file that must not exist yet.

    Raises:
        ConfigurationError: it exists, or its folder cannot be written to.
    """
    assert len(key) == _LENGTHS[kind], f"a {kind} has {_LENGTHS[kind]} bytes"
    text = f"stigmesh {kind} {FORMAT}\n{base64.b64encode(key).decode()}\n"
    try:
        create_atomically(path, text.encode())
    except FileExistsError:
        raise ConfigurationError(
            f"{path} exists, and a key is never overwritten: move it away if it is not needed"
        ) from None


def load_key(path: Path, kind: KeyKind) -> bytes:
    """Reads a key file.

    Raises:
        ConfigurationError: missing, readable by others, owned by somebody else, of another
            kind, or damaged; says what to do.
    """
    return _decode(path, kind, _read(path, kind))


def load_or_create(path: Path, kind: KeyKind, make: Callable[[], bytes]) -> bytes:
    """Reads a key file, or makes it from `make` where it is missing.

    Raises:
        ConfigurationError: see `load_key` and `create_key`.
    """
    if not path.exists():
        create_key(path, kind, make())
    return load_key(path, kind)


def load_peer_keys(path: Path) -> PeerKeys:
    """Reads a peer's key file.

    Raises:
        ConfigurationError: see `load_key`.
    """
    key = load_key(path, "peer-key")
    return PeerKeys(key[:SEED_BYTES], key[SEED_BYTES:])


def _read(path: Path, kind: KeyKind) -> bytes:
    try:
        # Non-blocking, so that a pipe in the key's place cannot stop us.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise ConfigurationError(
            f"the {kind} {path} is missing: restore it from a backup, or check --dir"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"cannot read the {kind} {path}: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"the {kind} {path} is not a plain file")
        if kind not in _PUBLIC:
            if status.st_uid != os.geteuid():
                raise ConfigurationError(
                    f"the {kind} {path} belongs to user {status.st_uid}, and this is user "
                    f"{os.geteuid()}: run as its owner, or `chown` it"
                )
            if status.st_mode & 0o077:
                raise ConfigurationError(
                    f"the {kind} {path} is open to other users (mode "
                    f"{stat.S_IMODE(status.st_mode):04o}): `chmod 600 {path}`; if others may have "
                    "read it, replace the key"
                )
        return os.read(descriptor, KEY_FILE_LIMIT + 1)
    finally:
        os.close(descriptor)


def _decode(path: Path, kind: KeyKind, data: bytes) -> bytes:
    header, _, rest = data.partition(b"\n")
    words = header.decode(errors="replace").split(" ")
    if len(data) > KEY_FILE_LIMIT or len(words) != 3 or words[0] != "stigmesh":
        raise ConfigurationError(f"{path} is not a key file of stigmesh; restore it from a backup")
    if words[1] != kind:
        raise ConfigurationError(f"{path} holds a {words[1]!r}, where a {kind} is needed")
    if words[2] != str(FORMAT):
        raise ConfigurationError(
            f"{path} has format {words[2]!r}, and this release knows {FORMAT}: use the stigmesh "
            "that wrote it"
        )
    try:
        key = base64.b64decode(rest.removesuffix(b"\n"), validate=True)
    except binascii.Error as error:
        raise ConfigurationError(
            f"the {kind} {path} is damaged ({error}): restore it from a backup"
        ) from None
    if len(key) != _LENGTHS[kind]:
        raise ConfigurationError(
            f"the {kind} {path} has {len(key)} bytes instead of {_LENGTHS[kind]}: it was cut off "
            "or edited; restore it from a backup"
        )
    return key
