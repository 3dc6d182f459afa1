"""Where a mesh is on this machine: its folder, and its peers' sockets.

For clients, workers, the command line and the peers themselves. What a mesh
folder says of itself to them is `mesh.json`; the sockets live in a short
folder of the user's own, because a Unix socket's path has little room.
"""

import fcntl
import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mesh.local.errors import NoPeer

MESH_FOLDER = ".mesh"
MESH_FILE = "mesh.json"
LOCK_FILE = "lock"
FOLDER_LINK = "folder"
"""In a mesh's runtime folder: a symbolic link to its mesh folder."""
FORMAT = 1
SOCKET_PATH_LIMIT = 103
"""Bytes in a Unix socket's path: 107 on Linux, 103 on macOS."""
PLACE_CHARACTERS = 12
MESH_FILE_LIMIT = 16 * 1024 * 1024
RECORDING_MB = 128
BLOB_QUOTA = 4 * 1024**3
"""MiB that a peer's flight recording may take, where nothing else is said."""


class NoMesh(NoPeer):
    """No mesh was found, or what was found is not one; says where, and what to try."""


class PeerEntry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One local peer in `mesh.json`. More keys may be added; these stay.

    Attributes:
        name: for people, unique in the folder.
        id: the peer's text id.
        door: the address that other peers dial first, ``tcp://host:port``; "" before it is known.
        pid_file: its process id, relative to the mesh folder; stale after kill -9.
        socket: the path of its local socket.
        curve: its CURVE public key, in hexadecimal.
        agents: the files of agents that it runs.
        recording_mb: how many MiB its flight recording may take; 0 records nothing.
        blob_quota: how many bytes its blobs may take.
        worker_memory: how many bytes a worker may hold whose agents do not say; 0 for no limit.
        python: the interpreter of agent files that do not say; "" for the peer's own.
        labels: what work may ask for, such as ``gpu``.
        secrets: the TOML file that says where secrets come from; "" for the environment alone.
    """

    name: str
    id: str
    pid_file: str
    socket: str
    door: str = ""
    curve: str = ""
    agents: list[str] = []
    recording_mb: int = RECORDING_MB
    blob_quota: int = BLOB_QUOTA
    worker_memory: int = 0
    python: str = ""
    labels: list[str] = []
    secrets: str = ""


class SeedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A member on another host that the folder's peers meet first.

    Attributes:
        id: its text id.
        door: the address of its door.
        curve: its CURVE public key, in hexadecimal.
    """

    id: str
    door: str
    curve: str


class MeshFile(msgspec.Struct, frozen=True, kw_only=True):
    """`mesh.json`: what a mesh folder holds. `mesh` is the mesh's fingerprint, a text id."""

    mesh: str
    peers: list[PeerEntry]
    name: str = ""
    created: int = 0
    format: int = FORMAT
    seeds: list[SeedEntry] = []


_decoder = msgspec.json.Decoder(MeshFile)


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts names as people count: peer-2 before peer-10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(part), part) if "0" <= part[0] <= "9" else (1, 0, part) for part in parts)


def read_mesh(folder: Path) -> MeshFile:
    """What a mesh folder says of itself, its peers in natural order.

    Raises:
        NoMesh: there is no mesh in this folder, or `mesh.json` cannot be read.
    """
    path = folder / MESH_FILE
    try:
        with path.open("rb") as file:
            found = _decoder.decode(file.read(MESH_FILE_LIMIT))
    except (FileNotFoundError, NotADirectoryError):
        raise NoMesh(
            f"there is no mesh in {folder} ({MESH_FILE} is missing): start one with "
            f"`mesh up --dir {shlex.quote(str(folder))}`, or name another folder"
        ) from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoMesh(
            f"cannot read {path}: {error}; check its permissions, or restore it from a backup"
        ) from None
    if found.format > FORMAT:
        raise NoMesh(
            f"{path} has format {found.format}, and this release knows up to {FORMAT}: "
            "use the newer stigmesh that wrote it"
        )
    peers = sorted(found.peers, key=lambda peer: natural_key(peer.name))
    return msgspec.structs.replace(found, peers=peers)


def sockets(folder: Path) -> list[tuple[str, Path]]:
    """The local peers' names and sockets, in natural order; not all need be running.

    Raises:
        NoMesh: there is no mesh in this folder.
    """
    return [(peer.name, Path(peer.socket)) for peer in read_mesh(folder).peers]


def running_pid(peer_folder: Path) -> int | None:
    """The process that holds a peer's folder, paused or not; 0 where it has not said yet."""
    try:
        with (peer_folder / LOCK_FILE).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read(32).strip()
                return int(text) if text.isdigit() else 0
    except OSError:
        return None
    return None


def is_running(folder: Path) -> bool:
    """Whether any local peer of the mesh in `folder` runs."""
    try:
        peers = read_mesh(folder).peers
    except NoMesh:
        return False
    return any(running_pid((folder / peer.pid_file).parent) is not None for peer in peers)


def runtime_roots(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where runtime folders may be, best first; the folders need not exist."""
    user = os.geteuid()
    roots = [Path(f"/tmp/stigmesh-{user}")]  # noqa: S108 - checked for owner and mode before use
    given = environ.get("XDG_RUNTIME_DIR", "")
    try:
        if given and os.path.isabs(given) and os.stat(given).st_uid == user:
            roots.insert(0, Path(given) / "stigmesh")
    except OSError:
        # Left over from another session, as under sudo: as good as not set.
        return roots
    return roots


def runtime_place(folder: Path, root: Path) -> Path:
    """The runtime folder of a mesh under one root: named by a hash of the mesh folder's path."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()
    return root / digest[:PLACE_CHARACTERS]


def running_meshes(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders of this user's running meshes, in order of their paths."""
    found: dict[Path, None] = {}
    for root in runtime_roots(environ):
        try:
            if os.stat(root, follow_symlinks=False).st_uid != os.geteuid():
                continue
            places = sorted(root.iterdir())
        except OSError:
            continue
        for place in places:
            try:
                folder = Path(os.readlink(place / FOLDER_LINK))
            except OSError:
                continue
            if is_running(folder):
                found[folder] = None
    return sorted(found)


def find_folder(
    explicit: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    start: Path | None = None,
    guess: bool = True,
) -> Path:
    """The folder of the mesh that is meant.

    That is `explicit` (``--dir``), otherwise ``$MESH_DIR``, the nearest
    ``.mesh`` of this user upwards from `start` (the current folder), or, with
    `guess`, the user's only running mesh. What stops or kills does not guess.

    Raises:
        NoMesh: none, or several; lists those that run.
    """
    for given in (explicit, environ.get("MESH_DIR") or None):
        if given is not None:
            folder = Path(given).absolute()
            read_mesh(folder)
            return folder
    here = (start or Path.cwd()).absolute()
    for parent in (here, *here.parents):
        candidate = parent / MESH_FOLDER
        if _is_mine(candidate / MESH_FILE):
            return candidate
    running = running_meshes(environ)
    if len(running) == 1 and guess:
        return running[0]
    if running:
        listed = "".join(f"\n  --dir {shlex.quote(str(folder))}" for folder in running)
        raise NoMesh(f"say which mesh you mean, by --dir or $MESH_DIR; these run:{listed}")
    raise NoMesh(
        f"there is no {MESH_FOLDER} in {here} or above it, and no mesh of this user runs: "
        "start one with `mesh up`, or name its folder by --dir or $MESH_DIR"
    )


def _is_mine(path: Path) -> bool:
    """Whether this is a file of this user: nobody else's folder is ever picked up by chance."""
    try:
        return path.stat().st_uid == os.geteuid()
    except OSError:
        return False
