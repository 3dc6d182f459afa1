"""No-op tasks through `client.map` on four peers, journaled."""

import tempfile
import time
from pathlib import Path

from mesh.client import Client
from tests.benchmarks.figures import Figure, local_mesh, median
from tests.benchmarks.yardstick import beside

TASKS = 5_000
RUNS = 5
AGENT = '''"""A no-op skill in a worker process."""
from mesh import Agent

agent = Agent("noop")


@agent.skill(slots=2)
def noop(**value: object) -> dict[str, object]:
    """Returns its input."""
    return value
'''


def run() -> list[Figure]:
    """Tasks a second, inline and through worker processes, with and without a payload."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="stigmesh-bench-") as scratch:
        agent = Path(scratch) / "noop.py"
        agent.write_text(AGENT)
        with local_mesh(4) as (folder, _), Client(dir=folder) as client:
            figures.append(_rate(client, "echo", {"n": 1}, "inline", ">= 10000"))
            figures.append(_rate(client, "echo", {"text": "x" * 1024}, "inline, 1 KiB", ""))
        with local_mesh(4, [str(agent)]) as (folder, _), Client(dir=folder) as client:
            figures.append(_rate(client, "noop", {"n": 1}, "worker processes", ">= 5000"))
            figures.append(_rate(client, "noop", {"text": "x" * 1024}, "workers, 1 KiB", ""))
    return figures


def _rate(client: Client, skill: str, value: dict[str, object], how: str, reach: str) -> Figure:
    rates = []
    with beside() as yardstick:
        for _ in range(RUNS + 1):
            begin = time.perf_counter()
            results = list(client.map(skill, (value for _ in range(TASKS))))
            rates.append(TASKS / (time.perf_counter() - begin))
            assert len(results) == TASKS
            assert all(result == value for result in results)
    rate = median(rates[1:])
    name = f"{TASKS} no-op tasks through map, {how}"
    return Figure(name, rate, "tasks/s", reach, yardstick().times_rate(rate))
