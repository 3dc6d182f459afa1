"""Sweeps over processes, where one is killed and where nobody wants the rest."""

import multiprocessing
import os
import signal

import pytest

from simulations.load import Load
from simulations.scenario import Scenario
from simulations.sweep import WorkerDied, sweep

QUIET = Scenario(name="quiet", peers=2, duration_s=1, load=Load(submissions=3))


def test_a_sweep_that_is_stopped_leaves_no_process() -> None:
    outcomes = sweep(QUIET, range(1_000), jobs=2)
    assert next(outcomes).failure is None
    assert len(multiprocessing.active_children()) == 2
    outcomes.close()
    assert multiprocessing.active_children() == []


def test_a_sweep_whose_process_is_killed_says_so() -> None:
    outcomes = sweep(QUIET, range(1_000), jobs=2)
    next(outcomes)
    pid = multiprocessing.active_children()[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerDied):
        list(outcomes)
