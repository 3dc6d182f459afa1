"""200 lognormal tasks of 20 ms on peers of speeds 1, 1, 2 and 4: late binding at work."""

import random
import tempfile
import time
from pathlib import Path

from mesh.client import Client
from tests.benchmarks.figures import Figure, local_mesh, median

SPEEDS = (1.0, 1.0, 2.0, 4.0)
TASKS = 200
RUNS = 5
AGENT = '''"""A worker of one speed."""
import time
from mesh import Agent

agent = Agent("speed-{speed}")


@agent.skill(slots=1)
def work(seconds: float) -> float:
    """Takes seconds / {speed}."""
    time.sleep(seconds / {speed})
    return seconds
'''


def run() -> list[Figure]:
    """Makespan over the bound that an omniscient scheduler could not beat, median of runs."""
    ratios = []
    with tempfile.TemporaryDirectory(prefix="stigmesh-bench-") as scratch:
        agents = []
        for index, speed in enumerate(SPEEDS):
            path = Path(scratch) / f"speed_{index}.py"
            path.write_text(AGENT.format(speed=speed))
            agents.append(f"{path}@peer-{index + 1}")
        with local_mesh(len(SPEEDS), agents) as (folder, _), Client(dir=folder) as client:
            for seed in range(RUNS):
                ratios.append(_ratio(client, seed))
    return [
        Figure("200 lognormal tasks on speeds 1, 1, 2, 4", median(ratios), "x bound", "<= 1.10")
    ]


def _ratio(client: Client, seed: int) -> float:
    rng = random.Random(seed)
    durations = [0.02 * rng.lognormvariate(-0.125, 0.5) for _ in range(TASKS)]
    bound = max(sum(durations) / sum(SPEEDS), max(durations) / max(SPEEDS))
    begin = time.perf_counter()
    results = list(client.map("work", ({"seconds": seconds} for seconds in durations)))
    elapsed = time.perf_counter() - begin
    assert results == durations
    return elapsed / bound
