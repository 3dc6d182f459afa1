"""Scenarios under faults: fresh seeds with each commit; every seed that ever failed is slow.

Fresh seeds begin with the commit's first eight hexadecimal digits. To have many of
them in little time their runs are brief: four seconds of load and faults, and fewer
tasks; `mesh sim sweep` runs them at full length. `MESH_SIM_SEEDS` sets how many
there are of everything-at-once. Of the scenarios of one liar each commit has half,
and the next one perhaps the others; the slow tests have all.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulations.load import Load
from simulations.plan import Plan, draw, save
from simulations.run import Run, run
from simulations.scenario import SCENARIOS, Scenario
from tests.conftest import RUN_SEED
from tests.simulation.regressions import SEEDS

FRESH_SEEDS = int(os.environ.get("MESH_SIM_SEEDS", "48"))
PARTS = 8
"""Tests that the fresh seeds are dealt to, so that every worker of pytest has some."""
BRIEF_S = 4
BRIEF_SUBMISSIONS = 25
BRIEF_VOTES = 12


def fresh() -> Iterator[Any]:
    """The scenarios; half of the liars' are slow ones at this commit."""
    of_liars = [name for name in sorted(SCENARIOS) if name.startswith("byzantine-")]
    later = of_liars[RUN_SEED % 2 :: 2]
    for name in sorted(SCENARIOS):
        yield pytest.param(name, marks=[pytest.mark.slow] if name in later else [])


def brief(name: str, seed: int) -> Plan:
    scenario = SCENARIOS[name]
    load = msgspec.structs.replace(
        scenario.load, submissions=min(scenario.load.submissions, BRIEF_SUBMISSIONS)
    )
    voting = msgspec.structs.replace(
        scenario.voting,
        ballots=min(scenario.voting.ballots, BRIEF_VOTES),
        orders=min(scenario.voting.orders, BRIEF_VOTES),
    )
    shorter = msgspec.structs.replace(scenario, duration_s=BRIEF_S, load=load, voting=voting)
    return draw(shorter, seed)


def held(plan: Plan, folder: Path) -> int:
    """How many tasks a run had; a plan that fails is saved, and the message tells where."""
    try:
        return Run(plan).execute().tasks
    except AssertionError as failure:
        path = folder / f"{plan.scenario.name}-{plan.seed}.json"
        save(plan, path)
        failure.add_note(f"mesh sim replay {path}")
        raise


@pytest.mark.parametrize("name", list(fresh()))
def test_a_scenario_holds_under_a_fresh_seed(name: str, run_seed: int, tmp_path: Path) -> None:
    assert held(brief(name, run_seed), tmp_path) > 0


@pytest.mark.parametrize("part", range(PARTS))
def test_everything_at_once_holds_under_fresh_seeds(
    part: int, run_seed: int, tmp_path: Path
) -> None:
    for seed in range(run_seed + 1 + part, run_seed + 1 + FRESH_SEEDS, PARTS):
        assert held(brief("everything-at-once", seed), tmp_path) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), SEEDS)
def test_a_seed_that_once_failed_holds(name: str, seed: int) -> None:
    run(name, seed)


def test_the_same_seed_gives_the_same_trace_in_another_process(run_seed: int) -> None:
    code = (
        "from simulations.run import Run; from tests.simulation.test_scenarios import brief; "
        f"print(Run(brief('everything-at-once', {run_seed})).execute().digest)"
    )
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


def test_real_signatures_change_no_outcome(run_seed: int) -> None:
    # The stand-in makes other bytes, so other peer ids and other placement: what
    # must agree is that the same tasks are accepted and done, not where they ran.
    load = Load(submissions=30, keyed=0, cancelled=0, deadline=0, short_timeout=0)
    plain = draw(Scenario(name="plain", load=load), run_seed)
    signed = msgspec.structs.replace(plain.scenario, signatures="ed25519")
    real = Run(draw(signed, run_seed)).execute()
    fast = Run(plain).execute()
    assert real.digest != fast.digest
    assert real.states == fast.states == {"done": real.tasks}
