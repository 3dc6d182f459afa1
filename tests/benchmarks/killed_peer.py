"""500 tasks of 10 ms, one of four peers killed with -9 half-way: none lost, little time lost."""

import threading
import time

from mesh.client import Client
from tests.benchmarks.figures import Figure, local_mesh, median, mesh

TASKS = 500
SECONDS = 0.01
RUNS = 3


def run() -> list[Figure]:
    """Extra seconds against the same run without a kill, medians."""
    calm = [_run(kill=False) for _ in range(RUNS)]
    killed = [_run(kill=True) for _ in range(RUNS)]
    return [
        Figure("500 tasks of 10 ms on 4 peers", median(calm), "s"),
        Figure(
            "the same, a peer killed half-way: extra", median(killed) - median(calm), "s", "<= 0.5"
        ),
    ]


def _run(kill: bool) -> float:
    with local_mesh(4, []) as (folder, _), Client(dir=folder) as client:
        client.call("sleep", seconds=0)
        begin = time.perf_counter()
        killer = threading.Timer(0.15, mesh, ("kill", "peer-3"), {"folder": folder})
        if kill:
            killer.start()
        results = list(client.map("sleep", ({"seconds": SECONDS} for _ in range(TASKS))))
        elapsed = time.perf_counter() - begin
        killer.cancel()
        if kill:
            killer.join()
    assert len(results) == TASKS, "a task was lost"
    return elapsed
