"""500 tasks of 10 ms, one of four peers killed with -9 half-way: none lost, little time lost."""

import os
import signal
import tempfile
import time
from pathlib import Path

from mesh.client import Client
from tests.benchmarks.figures import Figure, local_mesh, median

TASKS = 500
SECONDS = 0.01
RUNS = 5
AGENT = '''"""Two slots a peer, so that 500 tasks take 0.63 s on four peers."""
import time
from mesh import Agent

agent = Agent("nap")


@agent.skill(slots=2)
def nap(seconds: float) -> float:
    """Sleeps."""
    time.sleep(seconds)
    return seconds
'''


def run() -> list[Figure]:
    """Extra seconds against the same run without a kill, medians."""
    with tempfile.TemporaryDirectory(prefix="stigmesh-bench-") as scratch:
        agent = Path(scratch) / "nap.py"
        agent.write_text(AGENT)
        calm = [_run(agent, kill=False) for _ in range(RUNS)]
        killed = [_run(agent, kill=True) for _ in range(RUNS)]
    extra = median(killed) - median(calm)
    return [
        Figure("500 tasks of 10 ms on 4 peers of 2 slots", median(calm), "s"),
        Figure("the same, a peer killed half-way: extra", extra, "s", "<= 0.5"),
    ]


def _run(agent: Path, kill: bool) -> float:
    with local_mesh(4, [str(agent)]) as (folder, up), Client(dir=folder) as client:
        pids = {peer["name"]: peer["pid"] for peer in up["peers"]}
        client.call("nap", seconds=0)
        begin = time.perf_counter()
        done: set[int] = set()
        inputs = ({"seconds": SECONDS} for _ in range(TASKS))
        for index, outcome in client.map_unordered("nap", inputs):
            assert outcome.state == "done", outcome
            assert index not in done, "a task ended twice"
            done.add(index)
            if kill and len(done) == TASKS // 2:
                os.kill(pids["peer-3"], signal.SIGKILL)
        elapsed = time.perf_counter() - begin
    assert len(done) == TASKS, "a task was lost"
    return elapsed
