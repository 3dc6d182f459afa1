"""What an idle peer costs: resident memory, and processor time."""

import time

import psutil

from tests.benchmarks.figures import Figure, local_mesh, median

WINDOW_S = 10.0


def run() -> list[Figure]:
    """Medians over five peers, ten seconds after convergence."""
    with local_mesh(5) as (_, up):
        processes = [psutil.Process(peer["pid"]) for peer in up["peers"]]
        time.sleep(2)
        before = [_processor_s(process) for process in processes]
        time.sleep(WINDOW_S)
        after = [_processor_s(process) for process in processes]
        resident = [process.memory_info().rss / 1e6 for process in processes]
    used = [(b - a) / WINDOW_S * 100 for a, b in zip(before, after, strict=True)]
    return [
        Figure("an idle peer's resident memory", median(resident), "MB", "<= 60"),
        Figure("an idle peer's processor time", median(used), "% of a core", "<= 2"),
    ]


def _processor_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
