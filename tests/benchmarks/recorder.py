"""What the flight recorder costs: processor time with it and without, bytes, and stalls.

Two meshes take turns, so that both meet the same noise.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from mesh.client import Client
from mesh.core.image import freeze, thaw
from mesh.core.recorded_core import ENTROPY, KEYRING
from mesh.core.recording import Image, read_blocks
from tests.benchmarks.figures import Figure, local_mesh, median, mesh

PEERS = 4
TASKS = 5_000
CALLS = 500
ROUNDS = 12
IDLE_S = 10.0
WAYS = ("without", "with")


def run() -> list[Figure]:
    """Processor time of all four peers together, per task and per call."""
    with ExitStack() as stack:
        meshes = {}
        for way in WAYS:
            options = ["--recording", "0"] if way == "without" else []
            folder, up = stack.enter_context(local_mesh(PEERS, options=options))
            client = stack.enter_context(Client(dir=folder))
            meshes[way] = (folder, up, client)
        used, rates = _in_turns(meshes)
        folder, _, _ = meshes["with"]
        written = _recorded(folder)
        time.sleep(IDLE_S)
        idle = (_recorded(folder) - written) / IDLE_S / PEERS
        # A peer that is stopped ends its recording with an image.
        mesh("down", folder=folder)
        stall = _stall(folder)
    figures = []
    for what, unit in (("map", "µs a task"), ("call", "µs a call")):
        for way in WAYS:
            best = min(used[way, what])
            figures.append(Figure(f"{what}, {way} a recorder, processor time", best, unit))
    figures += [
        Figure("map with a recorder, the best round", max(rates["with"]), "tasks/s", ">= 10000"),
        Figure("recorded by all peers, per task", written / (ROUNDS * (TASKS + CALLS)), "bytes"),
        Figure("recorded by an idle peer", idle, "bytes/s"),
        stall,
    ]
    return figures


def _in_turns(
    meshes: dict[str, tuple[Path, dict[str, Any], Client]],
) -> tuple[dict[tuple[str, str], list[float]], dict[str, list[float]]]:
    used: dict[tuple[str, str], list[float]] = {}
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(ROUNDS):
        for way in WAYS if number % 2 else reversed(WAYS):
            _, up, client = meshes[way]
            processes = [psutil.Process(peer["pid"]) for peer in up["peers"]]

            def work(client: Client = client, way: str = way) -> int:
                begin = time.perf_counter()
                count = len(list(client.map("echo", ({"n": 1} for _ in range(TASKS)))))
                rates[way].append(count / (time.perf_counter() - begin))
                return count

            def ask(client: Client = client) -> int:
                return len([client.call("echo", n=1) for _ in range(CALLS)])

            used.setdefault((way, "map"), []).append(_cost_us(processes, work))
            used.setdefault((way, "call"), []).append(_cost_us(processes, ask))
    return used, rates


def _cost_us(processes: list[psutil.Process], work: Callable[[], int]) -> float:
    before = _processor_s(processes)
    count = work()
    time.sleep(0.1)  # what follows a result, such as its acknowledgement, counts as well
    return (_processor_s(processes) - before) / count * 1e6


def _processor_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _recorded(folder: Path) -> int:
    """Bytes of all recordings; none is dropped before 128 MiB a peer."""
    return sum(path.stat().st_size for path in folder.glob("peers/*/recording/*"))


def _stall(folder: Path) -> Figure:
    """How long it takes to make the largest image of these recordings."""
    images = [
        block.data
        for segment in folder.glob("peers/*/recording/*")
        for block in read_blocks(memoryview(segment.read_bytes()))
        if isinstance(block, Image)
    ]
    image = max(images, key=len)
    core = thaw(image, {KEYRING: None, ENTROPY: None})
    times = []
    for _ in range(5):
        begin = time.process_time()
        freeze(core)
        times.append((time.process_time() - begin) * 1000)
    return Figure(f"making an image of {len(image) / 1e6:.1f} MB", median(times), "ms")
