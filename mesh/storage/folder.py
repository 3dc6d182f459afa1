"""The layout of a mesh folder, ``.mesh`` by default.

::

    mesh.json            what is here, for clients too (mesh.local.discovery); written last
    root.pub             the mesh's id: the root's public key
    electorate           who votes in decisions, signed by the root
    root.key             the operator's; may be kept elsewhere
    roots                how the present root became one, where the first has a successor
    issuer.key           signs the peers' credentials, with issuer.credential by the root
    lock                 held while mesh.json changes
    peers/<name>/        peer.key credential journal.db lock pid peer.log events.jsonl recording/
                         blobs/ revoked

Sockets live in a short folder per user and mesh, outside: their paths are limited.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mesh.local.discovery import (
    FOLDER_LINK,
    LOCK_FILE,
    MESH_FILE,
    SOCKET_PATH_LIMIT,
    MeshFile,
    NoMesh,
    PeerEntry,
    SeedEntry,
    read_mesh,
    running_pid,
    runtime_place,
    runtime_roots,
)
from mesh.storage.files import make_private_folder, refusing_unwritable, write_atomically
from mesh.storage.lock import PID_FILE
from protocols.errors import ConfigurationError

PEERS = "peers"
SEEDS_LIMIT = 8
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")


class PeerFolder:
    """The paths of one peer's files."""

    def __init__(self, path: Path) -> None:
        """Takes the peer's folder; it need not exist."""
        self.path = path
        self.key = path / "peer.key"
        self.credential = path / "credential"
        self.journal = path / "journal.db"
        self.lock = path / LOCK_FILE
        self.pid = path / PID_FILE
        self.log = path / "peer.log"
        self.events = path / "events.jsonl"
        self.recording = path / "recording"
        self.blobs = path / "blobs"
        self.revoked = path / "revoked"
        """Written by a peer that was revoked, with why: it is not started again."""

    def running_pid(self) -> int | None:
        """The process that runs the peer, paused or not; 0 where it has not said yet."""
        return running_pid(self.path)


class MeshFolder:
    """One mesh folder. Changes to `mesh.json` are whole, and made one at a time.

    Several processes may use one folder: the launcher, and every peer.

    Attributes:
        is_new: whoever holds this made the folder, so it may remove it again.
    """

    def __init__(self, path: Path) -> None:
        """Takes the folder's path; use `create` or `open`."""
        self.path = path.absolute()
        self.root_key = self.path / "root.key"
        self.root_public = self.path / "root.pub"
        self.electorate = self.path / "electorate"
        self.roots = self.path / "roots"
        self.issuer_key = self.path / "issuer.key"
        self.issuer_credential = self.path / "issuer.credential"
        self.is_new = False

    @classmethod
    def create(cls, path: Path, mesh: str, name: str, created: int) -> "MeshFolder":
        """Makes `mesh.json`, and the folder where it is missing.

        Args:
            path: the mesh folder itself.
            mesh: the mesh's fingerprint, its root's text id.
            name: for people.
            created: seconds since 1970.

        Raises:
            ConfigurationError: a mesh is here already, or the folder is not writable.
        """
        folder = cls(path)
        make_private_folder(folder.path)
        make_private_folder(folder.path / PEERS)
        with folder.locked():
            if folder.exists():
                raise ConfigurationError(
                    f"{folder.path} holds a mesh already: use it, or choose another folder by --dir"
                )
            folder._write(MeshFile(mesh=mesh, peers=[], name=name, created=created))
        return folder

    @classmethod
    def open(cls, path: Path) -> "MeshFolder":
        """Opens an existing mesh folder.

        Raises:
            ConfigurationError: there is none, or it cannot be read.
        """
        folder = cls(path)
        folder.read()
        return folder

    def exists(self) -> bool:
        """Whether a mesh is in this folder."""
        return (self.path / MESH_FILE).exists()

    def read(self) -> MeshFile:
        """`mesh.json` as it is now.

        Raises:
            ConfigurationError: missing or unreadable.
        """
        try:
            return read_mesh(self.path)
        except NoMesh as error:
            raise ConfigurationError(str(error)) from None

    def peers(self) -> list[PeerEntry]:
        """The local peers, in natural order of their names."""
        return self.read().peers

    def peer(self, name: str) -> PeerEntry:
        """One local peer.

        Raises:
            ConfigurationError: no peer of this name is in the folder.
        """
        peers = self.peers()
        for entry in peers:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in peers) or "none"
        raise ConfigurationError(f"{self.path} has no peer {name!r}; it has: {known}")

    def peer_folder(self, name: str) -> PeerFolder:
        """The paths of a peer's files.

        Raises:
            ConfigurationError: not a name that a peer can have.
        """
        if NAME_PATTERN.fullmatch(name) is None:
            raise ConfigurationError(
                f"{name!r} cannot name a peer: use up to 48 letters, digits, dots, dashes and "
                "underscores, a letter or digit first"
            )
        return PeerFolder(self.path / PEERS / name)

    def add_peer(
        self,
        name: str,
        peer: str,
        curve: bytes,
        door: str = "",
        agents: Sequence[str] = (),
    ) -> PeerEntry:
        """Enters a peer into `mesh.json`; its key and credential are written already.

        Args:
            name: unique in this folder.
            peer: its text id.
            curve: its raw CURVE public key.
            door: where other peers dial it; may be set later by `update_peer`.
            agents: the files of agents that it runs.

        Raises:
            ConfigurationError: the name is taken or not allowed, or the folder is not writable.
        """
        pid_file = self.peer_folder(name).pid.relative_to(self.path)
        entry = PeerEntry(
            name=name,
            id=peer,
            pid_file=str(pid_file),
            socket=str(self.socket_path(name)),
            door=door,
            curve=curve.hex(),
            agents=list(agents),
        )
        with self.locked():
            mesh = self.read()
            if any(other.name == name for other in mesh.peers):
                raise ConfigurationError(f"{self.path} has a peer {name!r} already")
            self._write(msgspec.structs.replace(mesh, peers=[*mesh.peers, entry]))
        return entry

    def keep_seeds(self, seeds: Sequence[SeedEntry]) -> None:
        """Keeps members to meet first, the newest `SEEDS_LIMIT`; what is said of one is replaced.

        Raises:
            ConfigurationError: the folder is not writable.
        """
        with self.locked():
            mesh = self.read()
            known = {seed.id: seed for seed in mesh.seeds}
            for seed in seeds:
                known.pop(seed.id, None)
                known[seed.id] = seed
            newest = list(known.values())[-SEEDS_LIMIT:]
            if newest != mesh.seeds:
                self._write(msgspec.structs.replace(mesh, seeds=newest))

    def update_peer(
        self,
        name: str,
        door: str | None = None,
        socket: Path | None = None,
        agents: Sequence[str] | None = None,
        recording_mb: int | None = None,
        worker_memory: int | None = None,
        blob_quota: int | None = None,
        python: str | None = None,
        labels: Sequence[str] | None = None,
        secrets: str | None = None,
    ) -> PeerEntry:
        """Changes what is said of a peer; None leaves as it is, and no change writes nothing.

        Raises:
            ConfigurationError: no such peer, or the folder is not writable.
        """
        with self.locked():
            mesh = self.read()
            old = self.peer(name)
            new = msgspec.structs.replace(
                old,
                door=old.door if door is None else door,
                socket=old.socket if socket is None else str(socket),
                agents=old.agents if agents is None else list(agents),
                recording_mb=old.recording_mb if recording_mb is None else recording_mb,
                worker_memory=old.worker_memory if worker_memory is None else worker_memory,
                blob_quota=old.blob_quota if blob_quota is None else blob_quota,
                python=old.python if python is None else python,
                labels=old.labels if labels is None else list(labels),
                secrets=old.secrets if secrets is None else secrets,
            )
            if new != old:
                peers = [new if each.name == name else each for each in mesh.peers]
                self._write(msgspec.structs.replace(mesh, peers=peers))
        return new

    def update_peers(self, **changes: Any) -> None:
        """`update_peer`, for all of them."""
        for entry in self.peers():
            self.update_peer(entry.name, **changes)

    def socket_path(self, name: str, environ: Mapping[str, str] = os.environ) -> Path:
        """Where a peer that starts now binds its local socket; makes the runtime folder.

        Record it by `update_peer` when it differs from the entry's: the
        environment may have changed since the peer was added.

        Raises:
            ConfigurationError: see `runtime_dir`.
        """
        self.peer_folder(name)
        return self.runtime_dir(environ) / f"{name}.sock"

    def runtime_dir(self, environ: Mapping[str, str] = os.environ) -> Path:
        """This mesh's folder for sockets, made and checked; it names the mesh folder.

        ``$XDG_RUNTIME_DIR/stigmesh`` or ``/tmp/stigmesh-<uid>``, and in it a hash
        of the mesh folder's path. A link there tells clients which mesh it is.

        Raises:
            ConfigurationError: somebody else owns it or may write to it, or no place is
                short enough.
        """
        longest = "/" + "x" * 48 + ".sock"
        for root in runtime_roots(environ):
            place = runtime_place(self.path, root)
            if len(os.fsencode(place)) + len(longest) <= SOCKET_PATH_LIMIT:
                break
        else:
            raise ConfigurationError("no runtime folder is short enough for a socket's path")
        for folder in (root, place):
            make_private_folder(folder)
            _refuse_shared(folder)
        link = place / FOLDER_LINK
        with refusing_unwritable(link), contextlib.suppress(FileExistsError):
            link.symlink_to(os.path.realpath(self.path))
        return place

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder while `mesh.json` changes. Not reentrant; waits for others."""
        path = self.path / LOCK_FILE
        with refusing_unwritable(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, mesh: MeshFile) -> None:
        data = msgspec.json.format(msgspec.json.encode(mesh), indent=2)
        write_atomically(self.path / MESH_FILE, data + b"\n")


def _refuse_shared(folder: Path) -> None:
    """Sockets are only as private as the folder that they are in."""
    status = os.stat(folder, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{folder} is not a folder: remove it, or set XDG_RUNTIME_DIR")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{folder} belongs to user {status.st_uid}, and sockets there could be tapped: set "
            "XDG_RUNTIME_DIR to a folder of your own"
        )
    if status.st_mode & 0o077:
        raise ConfigurationError(
            f"{folder} is open to other users (mode {stat.S_IMODE(status.st_mode):04o}): "
            f"`chmod 700 {folder}`"
        )
