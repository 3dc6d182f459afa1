"""Meshes of real peer processes in a folder of the test's own."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import psutil

from mesh.client import Client
from mesh.local.ask import NoAnswer, QuestionRefused, ask
from mesh.runtime import launcher
from mesh.storage.folder import MeshFolder

ROOT = Path(__file__).resolve().parent.parent.parent
AGENTS = Path(__file__).resolve().parent / "agents"
CREW = str(AGENTS / "crew.py")
TRIO_CREW = str(AGENTS / "trio_crew.py")
LANES = str(AGENTS / "lanes.py")
PATIENCE_S = 30.0
"""How long anything may take on a busy machine before a test gives up."""
STOP_S = 4.0
GONE_S = 5.0
POLL_S = 0.01
LOG_TAIL_BYTES = 3000

RUNNING: list["LocalMesh"] = []
"""The meshes that are up, so that a failing test can show their logs."""


class Ran(msgspec.Struct, frozen=True):
    """What a verb of the command line printed, and its exit status."""

    status: int
    rows: list[dict[str, Any]]
    out: str
    err: str

    @property
    def row(self) -> dict[str, Any]:
        """The last object on stdout."""
        return self.rows[-1]


class LocalMesh:
    """A mesh folder, and the peers that run from it.

    Attributes:
        path: the mesh folder.
        folder: the same, to be asked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder: MeshFolder | None = None

    @property
    def folder(self) -> MeshFolder:
        if self._folder is None:
            self._folder = MeshFolder.open(self.path)
        return self._folder

    # Up and down.

    def create(self, count: int, agents: Sequence[str] = ()) -> None:
        """Makes the folder and its peers' keys; nothing runs yet."""
        self._folder = launcher.prepare(self.path, count, agents)

    def up(self) -> None:
        """Starts the peers that do not run, and waits until all see all."""
        runs = launcher.running(self.folder)
        missing = [name for name in self.names() if name not in runs]
        if missing:
            launcher.start(self.folder, missing)
        self.converge(missing)

    def converge(self, started: Sequence[str] = ()) -> None:
        """Waits until all running peers see each other and their skills."""
        convergence = launcher.wait_converged(self.folder, PATIENCE_S, expected=started)
        assert convergence.converged, f"waiting for {convergence.waiting_for}"

    def down(self) -> None:
        """Stops all peers; what is left of them is killed, and makes the test fail."""
        if not (self.path / "mesh.json").exists():
            return
        names = self.names()
        for name in launcher.running(self.folder):
            self.signal(name, signal.SIGCONT)
        launcher.stop(self.folder, names, STOP_S)
        left = self.leftovers()
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder.runtime_dir())
        assert left == [], "processes outlived their peers"

    def leftovers(self) -> list[str]:
        """The commands of processes of this mesh that do not end by themselves; kills them."""
        ends = time.monotonic() + GONE_S
        while (found := self.processes()) and time.monotonic() < ends:
            time.sleep(POLL_S)
        commands = [" ".join(_command(process)) for process in found]
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        return commands

    def processes(self) -> list[psutil.Process]:
        """All processes of this mesh's peers: peers by their folder, workers by their socket."""
        needles = (str(self.path), str(self.folder.runtime_dir()))
        mine = os.getpid()
        return [
            process
            for process in psutil.process_iter()
            if process.pid != mine
            and any(needle in word for word in _command(process) for needle in needles)
        ]

    # Single peers.

    def names(self) -> list[str]:
        return [entry.name for entry in self.folder.peers()]

    def pid(self, name: str) -> int:
        """The process of a peer; 0 where it does not run."""
        return self.folder.peer_folder(name).running_pid() or 0

    def signal(self, name: str, number: signal.Signals) -> None:
        launcher.send_signal(self.folder, name, number)

    def kill(self, name: str) -> None:
        """SIGKILL, and waits until the process is gone."""
        self.signal(name, signal.SIGKILL)
        until(lambda: not self.pid(name), f"{name} to be gone")

    def status(self, name: str) -> dict[str, Any]:
        """What a peer says of itself; empty where it does not answer."""
        try:
            answer: dict[str, Any] = ask(self.socket(name), "status", timeout_s=5.0)
        except (NoAnswer, QuestionRefused):
            return {}
        return answer

    def state_of(self, name: str, seen_by: str) -> str:
        """A member's state as another peer sees it; "" where it knows none."""
        for member in self.status(seen_by).get("members", ()):
            if member["name"] == name:
                return str(member["state"])
        return ""

    def socket(self, name: str) -> Path:
        return Path(self.folder.peer(name).socket)

    def door(self, name: str) -> str:
        return self.folder.peer(name).door

    def workers(self, name: str) -> list[psutil.Process]:
        """The worker processes of a peer."""
        return [
            child
            for child in psutil.Process(self.pid(name)).children()
            if "mesh.agent.worker" in _command(child)
        ]

    def log(self, name: str) -> str:
        log = self.folder.peer_folder(name).log
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def tails(self) -> str:
        """The ends of all logs, for people."""
        texts = []
        for log in sorted(self.path.glob("peers/*/*.log")):
            tail = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
            texts.append(f"--- {log.relative_to(self.path)}\n{tail}")
        return "\n".join(texts)

    # What people use.

    def client(self, *names: str) -> Client:
        """A client of the mesh, or of these peers alone, in the order given."""
        if names:
            return Client(address=[str(self.socket(name)) for name in names])
        return Client(dir=self.path)

    def cli(self, *words: str, expect: int | None = 0, timeout_s: float = PATIENCE_S) -> Ran:
        """Runs a verb as a user would, with ``--json``, and checks its exit status."""
        ran = finish(self.start_cli(*words), timeout_s)
        if expect is not None:
            assert ran.status == expect, f"mesh {' '.join(words)}: {ran.err or ran.out}"
        return ran

    def start_cli(self, *words: str, pipe_in: bool = False) -> "subprocess.Popen[str]":
        """Starts a verb with ``--json``, and does not wait for it."""
        return start_cli(*words, "--dir", str(self.path), "--json", pipe_in=pipe_in)


def start_cli(
    *words: str,
    pipe_in: bool = False,
    cwd: Path = ROOT,
    environ: dict[str, str] | None = None,
    inside: str = "",
    stderr: IO[str] | None = None,
) -> "subprocess.Popen[str]":
    """Starts ``mesh WORDS``, perhaps inside a network namespace that has a name."""
    apart = ["nsenter", f"--net=/run/netns/{inside}"] if inside else []
    return subprocess.Popen(
        [*apart, sys.executable, "-m", "mesh.cli", *words],
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        stdin=subprocess.PIPE if pipe_in else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr or subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]", timeout_s: float = PATIENCE_S) -> Ran:
    """Waits for a verb that was started."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    is_json = isinstance(process.args, list) and "--json" in process.args
    rows = [json.loads(line) for line in out.splitlines()] if is_json else []
    return Ran(process.returncode, rows, out, err)


@contextlib.contextmanager
def local_mesh(path: Path, count: int, agents: Sequence[str] = ()) -> Any:
    """A running mesh of so many peers, stopped at the end whatever happens."""
    mesh = LocalMesh(path / ".mesh")
    RUNNING.append(mesh)
    try:
        mesh.create(count, agents)
        mesh.up()
        yield mesh
    finally:
        try:
            mesh.down()
        finally:
            RUNNING.remove(mesh)


def until(holds: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    """Polls until something holds.

    Raises:
        AssertionError: it did not within the time; says what was awaited.
    """
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, f"waited {within_s:g} s for {what}"
        time.sleep(POLL_S)


def until_done(client: Client, task: str) -> dict[str, Any]:
    """Polls until a task is done, and gives all that is known of it."""
    until(lambda: client.task(task)["state"] == "done", f"task {task} to be done")
    return client.task(task)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return []
