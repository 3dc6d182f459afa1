"""64 MiB put, got at its peer, and fetched by another one, on real peers over loopback."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from mesh.client import Client
from mesh.local.discovery import sockets
from tests.benchmarks.figures import Figure, local_mesh, median

MIB = 1024 * 1024
SIZE = 64 * MIB
RUNS = 3


def run() -> list[Figure]:
    """Megabytes a second by the clock, and in a second of processor time of all peers."""
    walls: dict[str, list[float]] = {"put": [], "got at its peer": [], "fetched by another": []}
    costs: dict[str, list[float]] = {name: [] for name in walls}
    with local_mesh(2) as (folder, _):
        peers = _processes(folder)
        addresses = [str(path) for _, path in sockets(folder)]
        with Client(address=addresses[0]) as near, Client(address=addresses[1]) as far:
            for _ in range(RUNS):
                content = os.urandom(SIZE)
                refs: list[str] = []

                def put(content: bytes = content, refs: list[str] = refs) -> None:
                    refs.append(near.blobs.put(content).blob)

                def get(client: Client, refs: list[str] = refs) -> None:
                    client.blobs.get(refs[0])

                steps: tuple[Callable[[], None], ...] = (put, lambda: get(near), lambda: get(far))
                for name, step in zip(walls, steps, strict=True):
                    wall_s, cpu_s = _measured(step, peers)
                    walls[name].append(SIZE / wall_s / 1e6)
                    costs[name].append(SIZE / cpu_s / 1e6)
                for client in (near, far):
                    client.blobs.rm(refs[0])
    return [
        figure
        for name in walls
        for figure in (
            Figure(f"a blob of 64 MiB, {name}", median(walls[name]), "MB/s"),
            Figure(f"a blob of 64 MiB, {name}", median(costs[name]), "MB/s of processor time"),
        )
    ]


def _processes(folder: Path) -> list[psutil.Process]:
    command = [sys.executable, "-m", "mesh.cli", "peers", "--dir", str(folder), "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [psutil.Process(json.loads(line)["pid"]) for line in out.splitlines()]


def _measured(step: Callable[[], None], peers: list[psutil.Process]) -> tuple[float, float]:
    def used() -> float:
        return sum(sum(peer.cpu_times()[:2]) for peer in peers)

    before, begin = used(), time.perf_counter()
    step()
    return time.perf_counter() - begin, max(0.01, used() - before)
