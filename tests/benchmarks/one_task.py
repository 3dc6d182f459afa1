"""The round trip of one no-op task on four peers: slots held, and with a whole sealed auction."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from mesh.client import Client
from tests.benchmarks.figures import Figure, local_mesh, median
from tests.benchmarks.yardstick import Yardstick, beside

STEADY_CALLS = 2_000
SKILLS = 20
"""Skills that are called in turn: each of these calls needs an auction, and none a pause."""
WARM_UP = 4
ROUNDS = 20
AUCTION_CALLS = 40
IDLE_S = 0.6
"""Longer than slots are held without work: the next call needs a whole auction."""
AGENT = f'''"""Many no-op skills."""
from mesh import Agent

agent = Agent("many")


def no_op(number: int) -> None:
    def noop(a: int) -> dict[str, int]:
        """Returns its input."""
        return {{"a": a}}

    noop.__name__ = noop.__qualname__ = f"noop{{number}}"
    agent.skill(inline=True)(noop)


for number in range({SKILLS}):
    no_op(number)
'''


def run() -> list[Figure]:
    """Steady state; a whole auction before each call, at a run and after pauses."""
    with tempfile.TemporaryDirectory(prefix="stigmesh-bench-") as scratch:
        agent = Path(scratch) / "many.py"
        agent.write_text(AGENT)
        with (
            local_mesh(4, [str(agent)]) as (folder, up),
            Client(dir=folder) as client,
            beside() as yardstick,
        ):
            peers = [psutil.Process(peer["pid"]) for peer in up["peers"]]
            steady, steady_used = _calls(client, peers, STEADY_CALLS, pause_s=0)
            auctioned, used = _auctions(client, peers)
            rested, _ = _calls(client, peers, AUCTION_CALLS, pause_s=IDLE_S)
    steady.sort()
    return [
        _latency("one no-op task, steady, p50", median(steady), yardstick(), "<= 1"),
        _latency("one no-op task, steady, p99", steady[len(steady) * 99 // 100], yardstick()),
        _latency("one no-op task, an auction each, p50", median(auctioned), yardstick(), "<= 2"),
        _latency("one no-op task, the first after 0.6 s, p50", median(rested), yardstick()),
        Figure("processor time of all peers per call, steady", steady_used, "ms"),
        Figure("processor time of all peers per call, an auction each", used, "ms"),
        Figure("bare round trip", yardstick().echo_ms, "ms"),
    ]


def _latency(name: str, milliseconds: float, yardstick: Yardstick, reach: str = "") -> Figure:
    return Figure(name, milliseconds, "ms", reach, yardstick.times_echo(milliseconds))


def _calls(
    client: Client, peers: list[psutil.Process], count: int, pause_s: float
) -> tuple[list[float], float]:
    """Milliseconds of each call, and of processor time for one."""
    client.call("noop0", a=1)
    before = _used_ms(peers)
    elapsed = [_timed(client, "noop0", pause_s) for _ in range(count)]
    return elapsed, (_used_ms(peers) - before) / count


def _auctions(client: Client, peers: list[psutil.Process]) -> tuple[list[float], float]:
    """The same, for calls of which each needs slots of another skill."""
    for number in range(SKILLS):
        client.call(f"noop{number}", a=1)
    elapsed, used = [], []
    for _ in range(ROUNDS):
        time.sleep(IDLE_S)
        for number in range(WARM_UP):
            client.call(f"noop{number}", a=1)
        before = _used_ms(peers)
        elapsed += [_timed(client, f"noop{number}", 0) for number in range(WARM_UP, SKILLS)]
        used.append((_used_ms(peers) - before) / (SKILLS - WARM_UP))
    return elapsed, statistics.fmean(used)


def _timed(client: Client, skill: str, pause_s: float) -> float:
    time.sleep(pause_s)
    begin = time.perf_counter()
    result: Any = client.call(skill, a=1)
    elapsed = (time.perf_counter() - begin) * 1000
    assert result == {"a": 1}
    return elapsed


def _used_ms(peers: list[psutil.Process]) -> float:
    times = [peer.cpu_times() for peer in peers]
    return sum(each.user + each.system for each in times) * 1000
