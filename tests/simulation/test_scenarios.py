"""Scenarios under faults: a few fresh seeds a run, and every seed that ever failed."""

import os
import subprocess
import sys

import pytest

from simulations.scenario import SCENARIOS, run
from tests.simulation.regressions import SEEDS

FRESH_SEEDS = 3


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_scenario_holds_under_fresh_seeds(name: str, run_seed: int) -> None:
    for offset in range(FRESH_SEEDS):
        report = run(name, run_seed + offset)
        assert report.tasks > 0


@pytest.mark.parametrize(("name", "seed"), SEEDS)
def test_a_seed_that_once_failed_holds(name: str, seed: int) -> None:
    run(name, seed)


def test_the_same_seed_gives_the_same_trace_in_another_process(run_seed: int) -> None:
    code = f"from simulations.scenario import run; print(run('everything', {run_seed}).digest)"
    digests = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert digests[0] == digests[1]
