"""Hosts on one bridge: a network namespace each, a cable each, which can be pulled."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.processes.rig import ROOT, LocalMesh, Ran, finish, start_cli

SUBNET = "10.77.0"
HINT = (
    "this machine lets a test make no network namespaces ({why}), so hosts on a network of their "
    "own are not tested: run as root, in a container with CAP_NET_ADMIN and CAP_SYS_ADMIN"
)


class Host:
    """A machine on the network: its namespace, its address, and the mesh folder on it.

    Attributes:
        mesh: the folder; what asks its peer by the local socket needs no network.
        address: where the others reach it.
    """

    def __init__(self, lan: "Lan", number: int, folder: Path) -> None:
        self.mesh = LocalMesh(folder)
        self.address = f"{SUBNET}.{number}"
        self.namespace = f"{lan.name}-{number}"
        self.port = f"port{number}"
        self._lan = lan
        self._log = folder.with_suffix(".log")
        self._served: subprocess.Popen[str] | None = None

    def run(self, *words: str, expect: int = 0) -> Ran:
        """Runs a verb on this host."""
        ran = finish(self._start(*words, "--dir", str(self.mesh.path), "--json"))
        assert ran.status == expect, f"mesh {' '.join(words)}: {ran.err or ran.out}"
        return ran

    def serve(self) -> None:
        """Runs the host's peer until `stop`; returns once it is up."""
        words = ("serve", "--dir", str(self.mesh.path), "--host", self.address)
        with self._log.open("a") as log:
            self._served = self._start(*words, stderr=log)
        assert self._served.stdout is not None
        card = self._served.stdout.readline()
        assert self.address in card, card or self._log.read_text()

    def stop(self) -> None:
        """Asks the peer to leave, and waits until it has."""
        if self._served is None:
            return
        self._served.terminate()
        try:
            self._served.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._served.kill()
            self._served.communicate()
            raise
        assert self._served.returncode == 0, self._log.read_text()

    def pull_cable(self) -> None:
        """From now on nothing reaches this host, and it reaches nobody; nobody is told."""
        ip("-n", self._lan.name, "link", "set", self.port, "down")

    def plug_cable(self) -> None:
        """The cable is in again."""
        ip("-n", self._lan.name, "link", "set", self.port, "up")

    def _start(self, *words: str, stderr: IO[str] | None = None) -> "subprocess.Popen[str]":
        environ = {"PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))}
        return start_cli(*words, environ=environ, inside=self.namespace, stderr=stderr)


class Lan:
    """A namespace with a bridge, and the hosts on it.

    Attributes:
        name: the bridge's namespace; those of the hosts begin with it.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"mesh{os.getpid()}"
        self._folder = folder
        self.hosts: list[Host] = []

    def build(self) -> None:
        """Makes the bridge, and another one for the far side of a partition."""
        ip("netns", "add", self.name)
        for bridge in ("bridge", "far"):
            ip("-n", self.name, "link", "add", bridge, "type", "bridge")
            ip("-n", self.name, "link", "set", bridge, "up")

    def add(self, name: str) -> Host:
        """A new host, its cable plugged in."""
        host = Host(self, len(self.hosts) + 1, self._folder / name)
        self.hosts.append(host)
        ip("netns", "add", host.namespace)
        near = ("link", "add", host.port, "type", "veth")
        ip("-n", self.name, *near, "peer", "name", "eth0", "netns", host.namespace)
        ip("-n", self.name, "link", "set", host.port, "master", "bridge", "up")
        ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
        ip("-n", host.namespace, "link", "set", "eth0", "up")
        ip("-n", host.namespace, "link", "set", "lo", "up")
        return host

    def split(self, *far: Host) -> None:
        """From now on these hosts hear each other, and the rest each other, and no more."""
        for host in self.hosts:
            bridge = "far" if host in far else "bridge"
            ip("-n", self.name, "link", "set", host.port, "master", bridge)

    def remove(self) -> None:
        """Takes everything away again; cables go with their namespaces."""
        for host in self.hosts:
            with contextlib.suppress(AssertionError):
                ip("netns", "del", host.namespace)
        ip("netns", "del", self.name)


def ip(*words: str) -> None:
    """Runs ``ip``.

    Raises:
        AssertionError: it failed; with what it said.
    """
    ran = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"ip {' '.join(words)}: {ran.stderr.strip()}"


@contextlib.contextmanager
def lan(folder: Path) -> Iterator[Lan]:
    """A network, or a skipped test where this machine lets nobody make one."""
    if sys.platform != "linux" or shutil.which("ip") is None or shutil.which("nsenter") is None:
        pytest.skip(HINT.format(why="it needs Linux with ip and nsenter"))
    made = Lan(folder)
    try:
        made.build()
    except AssertionError as error:
        pytest.skip(HINT.format(why=error))
    try:
        yield made
    finally:
        made.remove()
