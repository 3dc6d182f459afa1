"""Starting, watching and stopping the peers of a mesh folder on this machine.

The launcher coordinates nothing: it makes keys where they are missing, starts
processes, and asks each peer what it sees. When it is gone the peers go on.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mesh.local.ask import NoAnswer, QuestionRefused, ask
from mesh.local.discovery import PeerEntry
from mesh.storage.authority import create_mesh, enrol
from mesh.storage.electorate import found_electorate
from mesh.storage.files import make_private_folder, refusing_unwritable
from mesh.storage.folder import MeshFolder
from protocols.errors import ConfigurationError
from protocols.quorum import tolerated

PROBE = "probe"
"""The agent that peers run when none is named."""
LOOPBACK = "127.0.0.1"
POLL_S = 0.02
STOP_S = 15.0
"""How long a peer may take to drain and leave before it is killed."""
PEERS_LIMIT = 256
LOG_TAIL_LINES = 6
LOCK = "launcher.lock"

Status = dict[str, Any]


class Convergence(msgspec.Struct, frozen=True):
    """What `wait_converged` found: each peer's own status, by name, and who is missing what."""

    converged: bool
    statuses: dict[str, Status]
    waiting_for: str


def prepare(
    path: Path,
    count: int | None,
    agents: Sequence[str],
    name: str = "",
    recording_mb: int | None = None,
) -> MeshFolder:
    """Makes a mesh folder, or opens it, and enrols peers until there are `count`.

    Args:
        path: the mesh folder itself.
        count: how many peers there shall be; None takes those there are, or three.
        agents: agent files, each perhaps ``FILE@peer-1,peer-2``; empty leaves what each
            peer runs, or gives new ones the built-in probe.
        name: the mesh's name, for people.
        recording_mb: MiB for each peer's flight recording from its next start on, 0 for
            none; None leaves what is set.

    Raises:
        ConfigurationError: with what to try.
    """
    was_absent = not path.exists()
    with _one_at_a_time(path):
        # Somebody else may have made it while this one waited.
        is_new = was_absent and not MeshFolder(path).exists()
        try:
            folder = _prepare(path, count, agents, name)
        except ConfigurationError:
            if is_new:
                discard(path)
            raise
        if recording_mb is not None:
            for entry in folder.peers():
                folder.update_peer(entry.name, recording_mb=recording_mb)
        folder.is_new = is_new
        return folder


def discard(path: Path) -> None:
    """Removes a mesh folder whose first peers did not come up: the next one starts afresh.

    What is left of a mesh that never ran would be found, and taken for one, by
    whoever looks for a mesh from below.
    """
    with contextlib.suppress(OSError, ConfigurationError):
        if MeshFolder(path).exists():
            shutil.rmtree(MeshFolder.open(path).runtime_dir(), ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Whoever prepares the same folder waits, and then finds it prepared."""
    make_private_folder(path)
    with refusing_unwritable(path / LOCK):
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _prepare(path: Path, count: int | None, agents: Sequence[str], name: str) -> MeshFolder:
    exists = MeshFolder(path).exists()
    folder = MeshFolder.open(path) if exists else create_mesh(path, name or path.parent.name)
    present = folder.peers()
    wanted = count if count is not None else len(present) or 3
    if not 1 <= wanted <= PEERS_LIMIT:
        raise ConfigurationError(f"between 1 and {PEERS_LIMIT} peers, not {wanted}")
    if wanted < len(present) and count is not None:
        raise ConfigurationError(
            f"{folder.path} has {len(present)} peers already; use another --dir for a smaller mesh"
        )
    names = {entry.name for entry in present}
    fresh = [peer for peer in (f"peer-{n}" for n in range(1, wanted + 1)) if peer not in names]
    fresh = fresh[: wanted - len(present)]
    placed = place_agents(agents, [*(entry.name for entry in present), *fresh])
    for entry in present:
        if agents:
            folder.update_peer(entry.name, agents=placed[entry.name])
    for peer in fresh:
        enrol(folder, peer, agents=placed[peer] if agents else [PROBE])
    found_electorate(folder)
    return folder


def place_agents(agents: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    """Which peer runs which agent files: ``FILE`` everywhere, ``FILE@NAME,NAME`` there.

    Raises:
        ConfigurationError: no such file, or no such peer.
    """
    placed: dict[str, list[str]] = {name: [] for name in names}
    for text in agents:
        file, at, where = text.rpartition("@")
        if not at or os.sep in where or where.endswith(".py"):
            file, where = text, ""
        elif not where:
            raise ConfigurationError(
                f"--agents {text}: after @ come the names of peers; there are {', '.join(names)}"
            )
        path = Path(file).absolute()
        if not path.is_file():
            raise ConfigurationError(f"there is no agent file {file}")
        for name in where.split(",") if where else names:
            if name not in placed:
                raise ConfigurationError(
                    f"--agents {text}: no peer is named {name!r}; there are {', '.join(names)}"
                )
            placed[name].append(str(path))
    return placed


def running(folder: MeshFolder) -> dict[str, int]:
    """The pids of the folder's peers that run, paused ones included, by name."""
    pids = {entry.name: folder.peer_folder(entry.name).running_pid() for entry in folder.peers()}
    return {name: pid for name, pid in pids.items() if pid}


def start(folder: MeshFolder, names: Sequence[str]) -> dict[str, int]:
    """Starts these peers as processes of their own, and gives their pids.

    Raises:
        ConfigurationError: they could not even be forked.
    """
    return Nursery().start(folder, names)


class Nursery:
    """A process that imports what peers need, to fork them once it is told which."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mesh.runtime.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, folder: MeshFolder, names: Sequence[str]) -> dict[str, int]:
        """Starts these peers; once.

        Raises:
            ConfigurationError: they could not even be forked.
        """
        _reserve_doors(folder, names)
        order = json.dumps({"folder": str(folder.path), "names": list(names)})
        told, wrong = self._process.communicate(order + "\n")
        if self._process.returncode != 0:
            raise ConfigurationError(f"cannot start peers: {wrong.strip()[-2000:]}")
        pids: dict[str, int] = json.loads(told)
        return pids

    def close(self) -> None:
        """Ends the process: nobody is to be started."""
        self._process.kill()
        self._process.communicate()


def _reserve_doors(folder: MeshFolder, names: Sequence[str]) -> None:
    """Gives new peers a port that is free now, so that all know each other's doors at once.

    One that is taken by the time its peer binds it costs that peer a new port,
    which gossip spreads.
    """
    held: list[socket.socket] = []
    try:
        for name in names:
            # Read anew each time: somebody else may start them at this moment.
            if folder.peer(name).door:
                continue
            probe = socket.socket()
            held.append(probe)
            probe.bind((LOOPBACK, 0))
            folder.update_peer(name, door=f"tcp://{LOOPBACK}:{probe.getsockname()[1]}")
    finally:
        for probe in held:
            probe.close()


def wait_converged(
    folder: MeshFolder,
    timeout_s: float,
    progress: Callable[[str], None] | None = None,
    expected: Sequence[str] = (),
) -> Convergence:
    """Waits until every running peer sees all of them alive, with all their skills.

    Paused peers can see nothing, and are not waited for. `expected` names peers
    that were started just now: one of them that does not run has ended already.

    Raises:
        ConfigurationError: a peer ended, and what it logged last; or all are paused.
    """
    ends = time.monotonic() + timeout_s
    runs = running(folder)
    paused = {name for name, pid in runs.items() if is_paused(pid)}
    started = {*runs, *expected} - paused
    if paused and not started:
        raise ConfigurationError(
            f"{', '.join(sorted(paused))} are paused: `mesh resume PEER` lets one go on"
        )
    entries = [entry for entry in folder.peers() if entry.name not in paused]
    asked = list(entries)
    while True:
        statuses, waiting_for = _look(entries, asked, started)
        if not waiting_for:
            return Convergence(True, statuses, "")
        if time.monotonic() > ends:
            return Convergence(False, _statuses(entries), waiting_for)
        alive = set(running(folder)) - paused
        for name in sorted(started - alive):
            raise ConfigurationError(f"{name} ended: {log_tail(folder, name)}")
        started = alive
        if progress is not None:
            progress(waiting_for)
        time.sleep(POLL_S)


def _look(
    entries: list[PeerEntry], asked: list[PeerEntry], started: set[str]
) -> tuple[dict[str, Status], str]:
    """What the peers say, and who is missing what; asks no further than the first such peer.

    That peer is asked first the next time (`asked` is the order): questions to all of them,
    again and again, would take from a small machine what they need to find each other.
    """
    for index, entry in enumerate(asked):
        if entry.name in started:
            status = _statuses([entry])
            waiting_for = _not_yet(status, {entry.name}, len(started))
            if waiting_for:
                asked.insert(0, asked.pop(index))
                return status, waiting_for
    statuses = _statuses(entries)
    return statuses, _not_yet(statuses, started, len(started))


def is_paused(pid: int) -> bool:
    """Whether a process is stopped by a signal (SIGSTOP), as far as the system tells."""
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return ended.stdout.strip().startswith(("T", "t"))


def log_tail(folder: MeshFolder, name: str) -> str:
    """The last lines of a peer's log."""
    log = folder.peer_folder(name).log
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"its log {log} cannot be read: {error.strerror}"
    return "\n".join(lines[-LOG_TAIL_LINES:]) or f"it logged nothing in {log}"


def _statuses(entries: Sequence[PeerEntry]) -> dict[str, Status]:
    statuses: dict[str, Status] = {}
    for entry in entries:
        try:
            statuses[entry.name] = ask(Path(entry.socket), "status", timeout_s=1.0)
        except (NoAnswer, QuestionRefused):
            continue
    return statuses


def _not_yet(statuses: dict[str, Status], started: set[str], count: int) -> str:
    """What the peers `started` still lack of seeing `count` of them, skills included."""
    silent = sorted(started - set(statuses))
    if silent or not statuses:
        return f"{', '.join(silent) or 'the peers'} to start"
    skills = {status["id"]: status["skills"] for status in statuses.values()}
    for name, status in statuses.items():
        if not status["ready"]:
            return f"the agents of {name}"
        for agent in status["agents"]:
            if agent["state"] == "failed":
                raise ConfigurationError(
                    f"{name} cannot run {agent['target']}: {agent['error'].strip()}"
                )
        if status["alive"] < count:
            return f"{name} to see all ({status['alive']} of {count})"
        for member in status["members"]:
            if member["id"] in skills and member["skills"] != skills[member["id"]]:
                return f"{name} to learn the skills of {member['name']}"
    return ""


def summary(folder: MeshFolder, convergence: Convergence, seconds: float) -> dict[str, Any]:
    """What `mesh up --json` prints."""
    peers = [
        {key: status[key] for key in ("name", "id", "address", "pid")}
        for status in convergence.statuses.values()
    ]
    return {
        "peers": peers,
        "converged": convergence.converged,
        "seconds": round(seconds, 3),
        "dir": str(folder.path),
        "tolerates": tolerated(max(1, len(peers))),
    }


def send_signal(folder: MeshFolder, name: str, number: signal.Signals) -> int:
    """Sends a signal to a running peer's process and gives its pid.

    Raises:
        ConfigurationError: no such peer, or it does not run.
    """
    entry = folder.peer(name)
    pid = folder.peer_folder(entry.name).running_pid()
    if not pid:
        raise ConfigurationError(f"{name} does not run")
    os.kill(pid, number)
    return pid


def stop(folder: MeshFolder, names: Sequence[str], timeout_s: float = STOP_S) -> list[str]:
    """Stops these peers: each drains and leaves; one that does not in time is killed.

    Returns:
        The names of those that had to be killed.
    """
    for name in names:
        pid = folder.peer_folder(name).running_pid()
        if pid:
            _signal(pid, signal.SIGTERM)
            _signal(pid, signal.SIGCONT)
    ends = time.monotonic() + timeout_s
    left = list(names)
    while left and time.monotonic() < ends:
        left = [name for name in left if folder.peer_folder(name).running_pid() is not None]
        if left:
            time.sleep(POLL_S)
    for name in left:
        pid = folder.peer_folder(name).running_pid()
        if pid:
            _signal(pid, signal.SIGKILL)
    return left


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
