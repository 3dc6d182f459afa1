"""Who can sign statements with the keys of a mesh folder: its root, its issuers."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from mesh.storage.authority import ISSUER_LIFE_S, issuer_credential, new_serial
from mesh.storage.files import refusing_unwritable, write_atomically
from mesh.storage.folder import MeshFolder
from mesh.storage.keys import SEED_BYTES, create_key, load_key, load_peer_keys, public_of
from protocols.credentials import (
    NO_CURVE,
    ROLE_ISSUER,
    Credential,
    SignedCredential,
    decode_credential,
    issue,
)
from protocols.errors import ConfigurationError
from protocols.identity import Ed25519Keyring, Keyring, peer_of_text, text_id
from protocols.statements import REASON_LIMIT, IssuerNamed, Revocation, encode_authority
from protocols.wire import encode, seal


class Authority(msgspec.Struct, frozen=True):
    """A key that may sign statements; `named` is an issuer's credential, None for a root."""

    keyring: Keyring
    mesh: bytes
    named: SignedCredential | None = None

    def revocation(self, subject: bytes, serial: int, reason: str) -> bytes:
        """An encoded, signed revocation, of a key or of a serial number."""
        authority = encode_authority(self.named)
        said = Revocation(subject, serial, reason[:REASON_LIMIT], int(time.time()), authority)
        return encode(seal(self.keyring, said))

    def naming(self, peer: bytes) -> tuple[bytes, int]:
        """An encoded, signed statement that a peer is an issuer, and until when."""
        signed = named_by(self.keyring, self.mesh, peer)
        credential = decode_credential(signed.body)
        assert credential is not None, "what was just signed"
        return encode(seal(self.keyring, IssuerNamed(encode(signed)))), credential.not_after_s


def named_by(root: Keyring, mesh: bytes, issuer: bytes) -> SignedCredential:
    """A root's credential for an issuer's key, from now on."""
    now_s = int(time.time())
    ends_s = now_s + ISSUER_LIFE_S
    roles = (ROLE_ISSUER,)
    return issue(root, Credential(mesh, issuer, NO_CURVE, roles, (), now_s, ends_s, new_serial()))


def root(folder: MeshFolder, path: Path | None = None) -> Authority:
    """The root, by the key in the folder or in a file elsewhere.

    Raises:
        ConfigurationError: it is not there, or cannot be used.
    """
    mesh = load_key(folder.root_public, "root-public")
    place = path or folder.root_key
    if not place.exists():
        raise ConfigurationError(
            f"only the mesh's root may do this, and {place} is not there: run it where the mesh "
            "was founded, or name the file of the root's key by --root-key"
        )
    return Authority(Ed25519Keyring(load_key(place, "root-key"), mesh), mesh)


def of_root(folder: MeshFolder, seed: bytes) -> Authority:
    """A root by its key, which nobody need know of yet."""
    mesh = load_key(folder.root_public, "root-public")
    return Authority(Ed25519Keyring(seed, mesh), mesh)


def key_of(text: str) -> bytes:
    """The key behind an id."""
    return peer_of_text(text)


def issuer(folder: MeshFolder, named: Iterable[dict[str, Any]]) -> Authority:
    """An issuer whose key is in the folder: the founding one, or a local peer that was named.

    Args:
        folder: the mesh's folder.
        named: the issuers that a peer knows of, as the verb ``trust`` tells them.

    Raises:
        ConfigurationError: there is none, or its files cannot be used.
    """
    mesh = load_key(folder.root_public, "root-public")
    if folder.issuer_key.exists() and folder.issuer_credential.exists():
        keyring = Ed25519Keyring(load_key(folder.issuer_key, "issuer-key"), mesh)
        return Authority(keyring, mesh, issuer_credential(folder))
    known = {row["id"]: row for row in named if not row["revoked"]}
    for entry in folder.peers():
        row = known.get(entry.id)
        if row is not None:
            keys = load_peer_keys(folder.peer_folder(entry.name).key)
            signed = msgspec.msgpack.decode(row["credential"], type=SignedCredential)
            return Authority(Ed25519Keyring(keys.seed, mesh), mesh, signed)
    raise ConfigurationError(
        f"no issuer's key is in {folder.path}, and no peer of it was named one: run this where "
        "the mesh was founded, or let the root's holder `mesh issuer add` a peer of this folder"
    )


def replace_issuer(folder: MeshFolder, by: Authority) -> None:
    """Gives the folder another issuer's key, named by the root; the old files are put aside.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    with folder.locked(), refusing_unwritable(folder.issuer_key):
        for path in (folder.issuer_key, folder.issuer_credential):
            path.replace(path.with_name(f"{path.name}.revoked"))
        seed = os.urandom(SEED_BYTES)
        create_key(folder.issuer_key, "issuer-key", seed)
        named = named_by(by.keyring, by.mesh, public_of(seed))
        write_atomically(folder.issuer_credential, encode(named))


def reissue(folder: MeshFolder, by: Authority) -> None:
    """The folder's issuer keeps its key, and is named anew by a later root.

    Raises:
        ConfigurationError: there is none here, or the folder cannot be written to.
    """
    issuer_key = public_of(load_key(folder.issuer_key, "issuer-key"))
    write_atomically(folder.issuer_credential, encode(named_by(by.keyring, by.mesh, issuer_key)))


def issuers_here(folder: MeshFolder) -> set[str]:
    """The id of the folder's founding issuer, where it has its key."""
    if not folder.issuer_key.exists():
        return set()
    return {text_id(public_of(load_key(folder.issuer_key, "issuer-key")))}
