"""Ballots and the log on real peers: with all, one killed, one that lies, and many at once."""

import tempfile
import time
from pathlib import Path

import msgspec
import trio

from mesh.client import AsyncClient, Client, Decision
from mesh.runtime.decisions import read_decision
from mesh.storage.keys import load_key
from protocols.identity import text_id
from protocols.voting.certificate import CertificateFile
from tests.benchmarks.figures import Figure, local_mesh, median, mesh

DECISIONS = 60
ENTRIES = 100
WARM_UP = 5
AT_ONCE = 64
"""Callers of the log at once, each with a key of its own."""
BATCHED_S = 4.0
VERIFICATIONS = 20
LARGEST = 31
LARGEST_DECISIONS = 5
AGENT = '''"""A voter."""
from mesh import Agent

agent = Agent("{name}")


@agent.skill(version="1", inline=True)
def judge(text: str) -> str:
    """The same for all."""
    return "{answer}"
'''


def run() -> list[Figure]:
    """Four peers; four of which one dies; four of which one lies; and as many as may be."""
    with tempfile.TemporaryDirectory(prefix="stigmesh-bench-") as scratch:
        honest = Path(scratch) / "honest.py"
        honest.write_text(AGENT.format(name="honest", answer="yes"))
        liar = Path(scratch) / "liar.py"
        liar.write_text(AGENT.format(name="liar", answer="no"))
        figures = _four(honest)
        with local_mesh(4, [f"{honest}@peer-1,peer-2,peer-3", f"{liar}@peer-4"]) as (folder, _):
            lied, _ = _ballots(folder, DECISIONS)
        figures.append(Figure("a ballot, n = 4, one voter lies: p50", lied, "ms"))
        with local_mesh(LARGEST, [str(honest)]) as (folder, _):
            many, last = _ballots(folder, LARGEST_DECISIONS)
        figures.append(Figure(f"a ballot, n = {LARGEST}: p50", many, "ms"))
        file = msgspec.msgpack.decode(last.certificate, type=CertificateFile)
        size = len(file.certificate) / 1024
        what = f"its certificate beside bundle and texts, n = {LARGEST}"
        figures.append(Figure(what, size, "KiB", "<= 6"))
    return figures


def _four(agent: Path) -> list[Figure]:
    with local_mesh(4, [str(agent)]) as (folder, _):
        ballot, last = _ballots(folder, DECISIONS)
        entry = _entries(folder)
        batched = trio.run(_batched, folder)
        root = load_key(folder / "root.pub", "root-public")
        took = []
        for _ in range(VERIFICATIONS):
            begun = time.perf_counter()
            assert read_decision(last.certificate, root, text_id)["valid"]
            took.append((time.perf_counter() - begun) * 1000)
        mesh("kill", "peer-4", folder=folder)
        without, _ = _ballots(folder, DECISIONS)
        entry_without = _entries(folder)
    return [
        Figure("a ballot, n = 4: p50", ballot, "ms", "<= 9"),
        Figure("a log entry, n = 4: p50", entry, "ms", "<= 9"),
        Figure(f"log entries, {AT_ONCE} callers, n = 4", batched, "/s", ">= 1000"),
        Figure("a certificate is verified, n = 4", median(took), "ms", "<= 10"),
        Figure("a ballot, one of four killed, over none", without / ballot, "x", "<= 2"),
        Figure("a log entry, one of four killed, over none", entry_without / entry, "x", "<= 2"),
    ]


def _ballots(folder: Path, count: int) -> tuple[float, Decision]:
    """Milliseconds of a ballot, the median, and the last one."""
    took = []
    with Client(dir=folder) as client:
        decision = client.decide("judge", {"text": "the first"})
        for number in range(count + WARM_UP):
            begun = time.perf_counter()
            decision = client.decide("judge", {"text": f"question {number}"})
            took.append((time.perf_counter() - begun) * 1000)
            assert decision.status == "certified", decision
    return median(took[WARM_UP:]), decision


def _entries(folder: Path) -> float:
    """Milliseconds of a compare-and-set, the median."""
    took = []
    with Client(dir=folder) as client:
        strong = client.board.strong
        known = strong.get("counter")
        for number in range(ENTRIES + WARM_UP):
            begun = time.perf_counter()
            assert strong.compare_and_set("counter", known, number)
            took.append((time.perf_counter() - begun) * 1000)
            known = number
    return median(took[WARM_UP:])


async def _batched(folder: Path) -> float:
    """Entries a second with many callers at once."""
    done: list[int] = []

    async def caller(client: AsyncClient, number: int, ends: float) -> None:
        known, count = None, 0
        while time.perf_counter() < ends:
            assert await client.board.strong.compare_and_set(f"key-{number}", known, count)
            known, count = count, count + 1
        done.append(count)

    async with AsyncClient(dir=folder) as client, trio.open_nursery() as nursery:
        ends = time.perf_counter() + BATCHED_S
        for number in range(AT_ONCE):
            nursery.start_soon(caller, client, number, ends)
    return sum(done) / BATCHED_S
