"""Who knocks at real peers' ports: with good credentials, wrong ones, and none."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec

from mesh.runtime.door import Accepted, TurnedAway
from mesh.runtime.monitor import LinkEvent
from mesh.runtime.sockets import CurveKeys, Sockets, new_curve_keys
from mesh.storage.authority import create_mesh
from mesh.storage.folder import MeshFolder
from mesh.storage.keys import load_key
from protocols.credentials import (
    ROLE_PEER,
    Credential,
    SignedCredential,
    encode_chain,
    issue,
)
from protocols.identity import Ed25519Keyring
from tests.processes.rig import LocalMesh
from tests.runtime.strangers import Stranger, hello

SEED = bytes([13]) * 32
DAY_S = 24 * 3600


class Issuer:
    """Signs credentials with the issuer's key of a mesh folder, as its operator could."""

    def __init__(self, folder: MeshFolder) -> None:
        self.root = load_key(folder.root_public, "root-public")
        self._keyring = Ed25519Keyring(load_key(folder.issuer_key, "issuer-key"), self.root)
        self._own = msgspec.msgpack.decode(
            folder.issuer_credential.read_bytes(), type=SignedCredential
        )

    def chain(self, curve: bytes, *, begins_in_s: int = -60, ends_in_s: int = DAY_S) -> bytes:
        """A credential chain for the intruder and this CURVE key."""
        now_s = int(time.time())
        credential = Credential(
            mesh=self.root,
            subject=Ed25519Keyring(SEED, self.root).peer,
            curve=curve,
            roles=(ROLE_PEER,),
            spaces=("default",),
            not_before_s=now_s + begins_in_s,
            not_after_s=now_s + ends_in_s,
            serial=7,
        )
        return encode_chain(self._own, issue(self._keyring, credential))


def other_mesh(path: Path) -> Issuer:
    """The issuer of a mesh that is not the one at the door."""
    return Issuer(create_mesh(path, "other"))


@asynccontextmanager
async def connected(
    mesh: LocalMesh, name: str, keys: CurveKeys, address: str = "", server_key: bytes = b""
) -> AsyncIterator[Stranger]:
    """A connection to a peer's door, or to another address of it; not necessarily up yet."""
    entry = mesh.folder.peer(name)
    sockets = Sockets(keys)
    try:
        key = server_key or bytes.fromhex(entry.curve)
        with closing(Stranger(sockets, key, address or entry.door)) as one:
            yield one
    finally:
        await sockets.terminate()


async def knock(mesh: LocalMesh, name: str, credential: bytes, keys: CurveKeys) -> str:
    """Shows a credential at a peer's door: "accepted", or why not."""
    async with connected(mesh, name, keys) as stranger:
        assert await stranger.handshake() is LinkEvent.READY
        stranger.send(hello(credential))
        match await stranger.answer():
            case Accepted():
                return "accepted"
            case TurnedAway(kind=kind):
                return kind
            case other:
                return type(other).__name__


@asynccontextmanager
async def admitted(mesh: LocalMesh, name: str) -> AsyncIterator[Stranger]:
    """A connection to a peer's data port, come by honestly."""
    keys = new_curve_keys()
    async with connected(mesh, name, keys) as stranger:
        assert await stranger.handshake() is LinkEvent.READY
        stranger.send(hello(Issuer(mesh.folder).chain(keys.public)))
        answer = await stranger.answer()
        assert isinstance(answer, Accepted)
    async with connected(mesh, name, keys, answer.house) as inside:
        assert await inside.handshake() is LinkEvent.READY
        yield inside
