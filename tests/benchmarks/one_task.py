"""The round trip of one no-op task on four peers."""

import time

from mesh.client import Client
from tests.benchmarks.figures import Figure, local_mesh, median

STEADY_CALLS = 2_000
AUCTION_CALLS = 40
IDLE_S = 0.6
"""Longer than slots are held without work: the next call needs a whole auction."""


def run() -> list[Figure]:
    """Steady state (slots held), and with a whole sealed auction before each call."""
    with local_mesh(4) as (folder, _), Client(dir=folder) as client:
        steady = _calls(client, STEADY_CALLS, pause_s=0)
        auctioned = _calls(client, AUCTION_CALLS, pause_s=IDLE_S)
    steady.sort()
    return [
        Figure("one no-op task, steady, p50", median(steady), "ms", "<= 1"),
        Figure("one no-op task, steady, p99", steady[len(steady) * 99 // 100], "ms"),
        Figure("one no-op task with a whole auction, p50", median(auctioned), "ms", "<= 2"),
    ]


def _calls(client: Client, count: int, pause_s: float) -> list[float]:
    client.call("echo", a=1)
    elapsed = []
    for _ in range(count):
        time.sleep(pause_s)
        begin = time.perf_counter()
        client.call("echo", a=1)
        elapsed.append((time.perf_counter() - begin) * 1000)
    return elapsed
