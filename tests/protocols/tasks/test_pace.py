"""How many attempts a slot has out, from what was seen of it."""

from protocols.tasks.pace import HANDING_US, Pace

TARGET_US = 4_000


def seen(mean_us: int, interval_us: float) -> Pace:
    pace = Pace()
    pace.observe(32, 32 * mean_us)
    pace.observe_interval(interval_us)
    return pace


def test_a_busy_machine_does_not_make_batches_of_short_tasks_small() -> None:
    assert seen(10, 2_000).window(TARGET_US, 0) >= TARGET_US / (10 + HANDING_US)


def test_a_slot_gets_no_more_than_it_was_seen_to_take() -> None:
    assert seen(10, 100).window(TARGET_US, 0) < seen(10, 50).window(TARGET_US, 0)


def test_long_tasks_are_bound_one_by_one_however_seldom_they_end() -> None:
    assert seen(20_000, 40_000).window(TARGET_US, 0) == 1
