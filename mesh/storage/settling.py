"""A newcomer's folder: its keys before it knocks, everything else once it was let in.

The keys come first and stay: whoever was let in and did not hear of it asks again
as the same newcomer. `mesh.json` comes last, so that a folder without one is no mesh.
A peer whose credential has ended comes the same way, and stays who it was.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from mesh.local.discovery import SeedEntry
from mesh.storage.authority import NotAdmitted, load_peer, make_peer_keys
from mesh.storage.files import make_private_folder, write_atomically
from mesh.storage.folder import PEERS, MeshFolder
from mesh.storage.keys import PeerKeys, create_key, load_key
from protocols.credentials import OVER
from protocols.errors import ConfigurationError
from protocols.identity import text_id


class Settling:
    """One peer on its way into a folder.

    Attributes:
        keys: its keys, made where they will live.
        is_readmitted: the folder has this peer, and it only lacks a good credential.
    """

    def __init__(self, path: Path, mesh: bytes, peer_name: str) -> None:
        """Makes the keys.

        Args:
            path: the mesh folder: absent, left by an earlier attempt, or of the same mesh.
            mesh: the mesh's id.
            peer_name: what the peer is called.

        Raises:
            ConfigurationError: the folder is of another mesh, has such a peer with a good
                credential, or cannot be used.
        """
        self._folder = MeshFolder(path)
        self._mesh = mesh
        self._name = peer_name
        self._was_there = self._folder.path.exists()
        place = self._folder.peer_folder(peer_name)
        self.is_readmitted = False
        self._refuse_strangers()
        self._had_keys = place.key.exists()
        make_private_folder(self._folder.path)
        make_private_folder(self._folder.path / PEERS)
        self.keys: PeerKeys = make_peer_keys(self._folder, peer_name)

    def _refuse_strangers(self) -> None:
        folder = self._folder
        if not folder.exists():
            if folder.root_key.exists():
                raise ConfigurationError(
                    f"{folder.path} has the root key of a mesh that was being founded: choose "
                    "another folder by --dir"
                )
            return
        mesh = folder.read()
        if mesh.mesh != text_id(self._mesh):
            raise ConfigurationError(
                f"the token is for the mesh {text_id(self._mesh)}, and {folder.path} holds another "
                f"one, {mesh.mesh}: choose another folder by --dir"
            )
        if any(entry.name == self._name for entry in mesh.peers):
            self.is_readmitted = self._has_ended()
            if not self.is_readmitted:
                raise ConfigurationError(
                    f"{folder.path} has a peer {self._name!r} of this mesh already: start it by "
                    "`mesh serve`, or choose another name by --name"
                )

    def _has_ended(self) -> bool:
        """Whether the peer that is there may not take part, for its time is over."""
        try:
            load_peer(self._folder, self._name)
        except NotAdmitted as error:
            return error.kind in OVER
        return False

    def give_up(self) -> None:
        """Removes what was made, where nobody was let in for it."""
        if not self._had_keys:
            shutil.rmtree(self._folder.peer_folder(self._name).path, ignore_errors=True)
        if not self._was_there:
            shutil.rmtree(self._folder.path, ignore_errors=True)

    def settle(self, credential: bytes, mesh_name: str, seeds: Sequence[SeedEntry]) -> MeshFolder:
        """Writes what makes the peer a member; `credential` was verified.

        Raises:
            ConfigurationError: the folder cannot be written to.
        """
        folder = self._folder
        if not folder.root_public.exists():
            create_key(folder.root_public, "root-public", self._mesh)
        if load_key(folder.root_public, "root-public") != self._mesh:
            raise ConfigurationError(
                f"{folder.root_public} is of another mesh than the token: choose another folder "
                "by --dir"
            )
        write_atomically(folder.peer_folder(self._name).credential, credential)
        if not folder.exists():
            MeshFolder.create(folder.path, text_id(self._mesh), mesh_name, int(time.time()))
        folder.keep_seeds(seeds)
        if not self.is_readmitted:
            folder.add_peer(self._name, text_id(self.keys.peer), self.keys.curve_public)
        return folder
