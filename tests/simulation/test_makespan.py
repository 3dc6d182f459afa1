"""How close the whole stack comes to what no scheduler could beat, in virtual time."""

import pytest

from protocols.machine import MILLISECOND_NS
from simulations.experiments.makespan import (
    Batch,
    bound_ns,
    compare,
    exponential,
    greedy_ns,
    measure,
)

SEEDS = range(5)


def test_the_bound_and_the_greedy_scheduler_are_what_they_say() -> None:
    assert bound_ns([30, 10], [1.0, 1.0]) == 30
    assert bound_ns([10, 10, 10], [1.0, 2.0]) == 10
    assert greedy_ns([10, 10, 10], [1.0, 2.0]) == 10
    assert greedy_ns([10, 30], [2.0, 1.0]) == 30, "in the order of submission"


@pytest.mark.parametrize(
    ("known", "wrong", "most"),
    [
        (False, 0.0, 1.04),
        pytest.param(True, 0.0, 0.98, marks=pytest.mark.slow),
        pytest.param(False, 0.5, 1.07, marks=pytest.mark.slow),
    ],
)
def test_300_exponential_tasks_end_about_when_a_central_greedy_scheduler_would_be_done(
    known: bool, wrong: float, most: float
) -> None:
    figure = compare(exponential, SEEDS, known=known, wrong=wrong)
    assert figure.over_greedy <= most, "few seeds; the experiment's page has many"
    assert figure.over_bound > 1


def test_one_task_costs_an_auction_and_a_round_trip_on_top() -> None:
    one = measure(Batch((100 * MILLISECOND_NS,), (1.0, 1.0)), 1)
    assert 1 < one.over_bound < 1.25
