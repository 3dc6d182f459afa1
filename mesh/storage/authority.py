"""Founding a mesh and enrolling its peers: keys made, credentials signed, files in place.

Every step keeps what an interrupted run left and makes the rest, so that
`mesh up` may simply run again. `mesh.json` comes last.
"""

import os
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mesh.storage.files import make_private_folder, write_atomically
from mesh.storage.folder import PEERS, MeshFolder
from mesh.storage.keys import (
    PeerKeys,
    create_key,
    load_key,
    load_or_create,
    load_peer_keys,
    public_of,
)
from mesh.storage.succession import load_successions
from protocols.credentials import (
    NO_CURVE,
    OVER,
    ROLE_ISSUER,
    ROLE_PEER,
    ROLE_POLICIES,
    Credential,
    CredentialRefused,
    SignedCredential,
    decode_chain,
    encode_chain,
    issue,
)
from protocols.errors import ConfigurationError, Malformed
from protocols.identity import Ed25519Keyring, Keyring, text_id
from protocols.succession import founded, verify_founded
from protocols.wire import encode

DAY_S = 24 * 3600
ISSUER_LIFE_S = 10 * 365 * DAY_S
PEER_LIFE_S = 365 * DAY_S
DEFAULT_SPACES = ("default",)
FOUNDERS = (ROLE_PEER, ROLE_POLICIES)
"""The roles of the peers that are made where the issuer's key is."""
SERIAL_BYTES = 7


class PeerMaterial(msgspec.Struct, frozen=True):
    """What a peer process needs to be somebody: its keys, its credential chain, the mesh's id."""

    keys: PeerKeys
    credential: bytes
    root: bytes


class NotAdmitted(ConfigurationError):
    """A peer's credential is not good; `kind` as of `CredentialRefused`, and what to try."""

    def __init__(self, kind: str, why: str, remedy: str) -> None:
        super().__init__(f"{why}: {remedy}")
        self.kind = kind
        self.why = why
        self.remedy = remedy


def create_mesh(path: Path, name: str) -> MeshFolder:
    """Founds a mesh in a folder: root key, issuer and its credential, `mesh.json`.

    Raises:
        ConfigurationError: a mesh is there already, or the folder cannot be used.
    """
    folder = MeshFolder(path)
    make_private_folder(folder.path)
    make_private_folder(folder.path / PEERS)
    now_s = int(time.time())
    with folder.locked():
        root_seed = load_or_create(folder.root_key, "root-key", lambda: os.urandom(32))
        root = public_of(root_seed)
        if not folder.root_public.exists():
            create_key(folder.root_public, "root-public", root)
        if load_key(folder.root_public, "root-public") != root:
            raise ConfigurationError(
                f"{folder.root_public} is not the public half of {folder.root_key}: one of them "
                "comes from another mesh; choose another folder by --dir"
            )
        issuer_seed = load_or_create(folder.issuer_key, "issuer-key", lambda: os.urandom(32))
        if not folder.exists():
            credential = Credential(
                mesh=root,
                subject=public_of(issuer_seed),
                curve=NO_CURVE,
                roles=(ROLE_ISSUER,),
                spaces=(),
                not_before_s=now_s,
                not_after_s=now_s + ISSUER_LIFE_S,
                serial=new_serial(),
            )
            signed = issue(Ed25519Keyring(root_seed, root), credential)
            write_atomically(folder.issuer_credential, encode(signed))
    return MeshFolder.create(folder.path, text_id(root), name, now_s)


def enrol(
    folder: MeshFolder,
    peer_name: str,
    roles: Sequence[str] = FOUNDERS,
    door: str = "",
    agents: Sequence[str] = (),
) -> PeerMaterial:
    """Makes a local peer: its keys, its credential signed by the issuer, its entry.

    Args:
        folder: the mesh's folder, which must hold the issuer's key.
        peer_name: unique in the folder.
        roles: what the credential allows; a peer needs at least ``peer``. Whoever has the
            issuer's key could sign anything, so its peers set policies unless said otherwise.
        door: where other peers dial it, if known already.
        agents: the files of agents that it runs.

    Raises:
        ConfigurationError: the name is taken or not allowed, or the folder cannot be used.
    """
    if not folder.issuer_key.exists():
        raise ConfigurationError(
            f"{folder.path} has no issuer.key, so no peer can be made here: get a token by `mesh "
            f"invite` where the mesh was founded, then `mesh join TOKEN --dir "
            f"{shlex.quote(str(folder.path))}`"
        )
    if any(entry.name == peer_name for entry in folder.peers()):
        raise ConfigurationError(f"{folder.path} has a peer {peer_name!r} already")
    make_peer_keys(folder, peer_name)
    material = renew(folder, peer_name, roles)
    folder.add_peer(
        peer_name, text_id(material.keys.peer), material.keys.curve_public, door, agents
    )
    return material


def renew(folder: MeshFolder, peer_name: str, roles: Sequence[str] = ()) -> PeerMaterial:
    """Signs a new credential for a peer's existing keys: the roles that it has, and more.

    Raises:
        ConfigurationError: the issuer's or the peer's files cannot be used.
    """
    place = folder.peer_folder(peer_name)
    keys = load_peer_keys(place.key)
    has = roles_in(place.credential.read_bytes()) if place.credential.exists() else ()
    roles = tuple(dict.fromkeys((ROLE_PEER, *has, *roles)))
    write_atomically(place.credential, sign_peer(folder, keys.peer, keys.curve_public, roles))
    return load_peer(folder, peer_name)


def roles_in(encoded: bytes) -> tuple[str, ...]:
    """Those of a peer's credential; none where it is damaged."""
    try:
        return decode_chain(encoded)[2].roles
    except Malformed:
        return ()


def sign_peer(
    folder: MeshFolder, peer: bytes, curve: bytes, roles: Sequence[str] = (ROLE_PEER,)
) -> bytes:
    """A credential chain for a peer, here or elsewhere, by the folder's issuer.

    Raises:
        ConfigurationError: the folder has no issuer's key, or it cannot be used.
    """
    root = load_key(folder.root_public, "root-public")
    issuer = Ed25519Keyring(load_key(folder.issuer_key, "issuer-key"), root)
    encoded = sign_by(issuer, issuer_credential(folder), root, peer, curve, roles)
    return founded(encoded, load_successions(folder))


def sign_by(
    issuer: Keyring,
    named: SignedCredential,
    mesh: bytes,
    peer: bytes,
    curve: bytes,
    roles: Sequence[str] = (ROLE_PEER,),
) -> bytes:
    """A credential chain for a peer, by an issuer and what a root said of that one."""
    now_s = int(time.time())
    credential = Credential(
        mesh=mesh,
        subject=peer,
        curve=curve,
        roles=tuple(roles),
        spaces=DEFAULT_SPACES,
        not_before_s=now_s,
        not_after_s=now_s + PEER_LIFE_S,
        serial=new_serial(),
    )
    return encode_chain(named, issue(issuer, credential))


def load_peer(folder: MeshFolder, peer_name: str) -> PeerMaterial:
    """What a peer starts from, checked as its neighbours will check it.

    Raises:
        ConfigurationError: missing, damaged, expired, or not this peer's.
    """
    place = folder.peer_folder(peer_name)
    keys = load_peer_keys(place.key)
    root = load_key(folder.root_public, "root-public")
    try:
        encoded = place.credential.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the credential {place.credential}: {error.strerror}; let an issuer of "
            "the mesh sign a new one"
        ) from None
    try:
        credential = verify_founded(encoded, root, time.time_ns(), Ed25519Keyring(keys.seed, root))
    except CredentialRefused as error:
        remedy = "docs/how-to/credentials.md says how to go on"
        if error.kind in OVER:
            remedy = _readmission(folder, peer_name)
        why = f"the credential {place.credential} admits nobody: {error.message}"
        raise NotAdmitted(error.kind, why, remedy) from None
    if credential.subject != keys.peer or credential.curve != keys.curve_public:
        raise ConfigurationError(
            f"the credential {place.credential} was issued to other keys than {place.key}: "
            "restore both from one backup"
        )
    return PeerMaterial(keys, encoded, root)


def _readmission(folder: MeshFolder, peer_name: str) -> str:
    """What to do for a peer whose credential has ended."""
    if folder.issuer_key.exists():
        return (
            f"`mesh up` renews it by the issuer's key here; while it runs, `mesh renew {peer_name}`"
        )
    return (
        "`mesh invite` where an issuer is, and here `mesh join TOKEN --dir "
        f"{folder.path} --name {peer_name}` readmits it with the keys that it has"
    )


def load_or_renew(folder: MeshFolder, peer_name: str) -> PeerMaterial:
    """What a peer starts from; where an issuer's key is here, with a new credential in time.

    Raises:
        ConfigurationError: see `load_peer`.
    """
    try:
        material = load_peer(folder, peer_name)
    except NotAdmitted as error:
        if error.kind not in OVER or not folder.issuer_key.exists():
            raise
        return renew(folder, peer_name)
    if renewal_due(material) and folder.issuer_key.exists():
        return renew(folder, peer_name)
    return material


def renewal_due(material: PeerMaterial) -> bool:
    """Whether two thirds of the credential's life are over, and it is time for `renew`."""
    now_ns = time.time_ns()
    _, _, credential = decode_chain(material.credential)
    life_s = credential.not_after_s - credential.not_before_s
    return now_ns // 10**9 >= credential.not_before_s + life_s * 2 // 3


def issuer_credential(folder: MeshFolder) -> SignedCredential:
    """What a root said of the folder's issuer.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    try:
        return msgspec.msgpack.decode(folder.issuer_credential.read_bytes(), type=SignedCredential)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"cannot read {folder.issuer_credential}: {error}; restore it from a backup"
        ) from None


def make_peer_keys(folder: MeshFolder, peer_name: str) -> PeerKeys:
    """A local peer's keys, made where there are none yet.

    Raises:
        ConfigurationError: the folder cannot be written to, or holds what is no key.
    """
    place = folder.peer_folder(peer_name)
    make_private_folder(place.path)
    load_or_create(place.key, "peer-key", _make_peer_key)
    return load_peer_keys(place.key)


def _make_peer_key() -> bytes:
    return os.urandom(32) + X25519PrivateKey.generate().private_bytes_raw()


def new_serial() -> int:
    """A credential's number, drawn at random: issuers need not agree on one."""
    return int.from_bytes(os.urandom(SERIAL_BYTES), "big")
