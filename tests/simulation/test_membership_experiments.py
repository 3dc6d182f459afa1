"""Small versions of the experiments on membership: seconds of processor time, not hours."""

import pytest

from protocols.machine import SECOND_NS
from simulations.experiments.catalogue import EXPERIMENTS
from simulations.experiments.detection import (
    Kill,
    Peace,
    Slander,
    false_deaths,
    kill,
    slandered_to_death,
)
from simulations.experiments.dissemination import Rest, Rumour, rest, rumour
from simulations.experiments.lifeguard import Cell, Job, KillJob, run_cell, run_kill
from simulations.experiments.partition import Partition, heal
from simulations.experiments.stage import percentile


@pytest.mark.slow
def test_blocked_peers_bury_the_living_by_plain_swim_and_not_by_ours() -> None:
    plain, ours = (
        run_cell(Job(variant, Cell(4, 10_000, 1), 1, peers=12, duration_ns=20 * SECOND_NS))
        for variant in ("plain SWIM", "ours")
    )
    assert plain.false_positives > 0
    assert ours.false_positives <= plain.false_positives // 50
    assert ours.at_healthy == 0
    assert ours.blocked_held_dead >= 4 * 10, "who is silent for ten seconds is held dead"


def test_our_detection_is_faster_than_plain_swim() -> None:
    plain, ours = (
        run_kill(KillJob(variant, 1, peers=12, killed=1)) for variant in ("plain SWIM", "ours")
    )
    assert ours.every[-1] < plain.every[0]


@pytest.mark.parametrize(("loss", "seconds"), [(0.0, 6.0), (0.5, 15.0)])
def test_a_kill_is_known_to_all_and_nobody_else_is_held_dead(loss: float, seconds: float) -> None:
    known = kill(Kill(12, loss, False, 1))
    assert len(known.seconds) == 11
    assert known.seconds[-1] < seconds
    assert known.false_deaths == 0


def test_half_of_all_frames_may_be_lost_and_nobody_is_held_dead(run_seed: int) -> None:
    assert false_deaths(Peace(10, 0.5, 30, run_seed)) == 0


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_one_liar_too_few_kills_nobody(loss: float, run_seed: int) -> None:
    assert slandered_to_death(Slander(8, loss, 8, run_seed)) == 0


def test_a_rumour_reaches_all_though_one_frame_in_fifty_is_lost(run_seed: int) -> None:
    reached = rumour(Rumour(20, 0.02, run_seed))
    assert len(reached.seconds) == 19


def test_ten_peers_at_rest_send_little(run_seed: int) -> None:
    figure = rest(Rest(10, 30, run_seed))
    assert 0 < figure.frames < 4
    assert figure.total_kilobytes < 15


def test_a_partition_of_any_shape_heals_at_once_and_for_good(run_seed: int) -> None:
    healed = heal(Partition(10, run_seed))
    assert sum(healed.groups) == 10
    assert healed.seconds <= 10
    assert healed.churn == 0


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert "lifeguard" in EXPERIMENTS
