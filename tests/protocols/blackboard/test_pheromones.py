"""How marks evaporate."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.blackboard.pheromones import AMOUNT_LIMIT, Deposit, left_of
from tests.protocols.blackboard.board_values import Writer, edit

MINUTE_MS = 60_000
AMOUNTS = st.integers(0, AMOUNT_LIMIT)
TIMES = st.integers(0, 10**12)
HALF_LIVES = st.integers(1, 10**10)


def test_after_a_half_life_half_is_left() -> None:
    assert [left_of(1_000_000, n * MINUTE_MS, MINUTE_MS) for n in range(4)] == [
        1_000_000, 500_000, 250_000, 125_000,
    ]  # fmt: skip


def test_the_arithmetic_is_frozen() -> None:
    assert [left_of(10**12, elapsed, 1000) for elapsed in (1, 7, 250, 333, 999, 12_345)] == [
        999307790538, 995160323102, 840896415291, 793884473619, 500347043387, 192214014,
    ]  # fmt: skip


@given(AMOUNTS, TIMES, HALF_LIVES)
def test_it_is_close_to_the_exact_curve_and_never_grows(
    amount: int, elapsed: int, half_life: int
) -> None:
    left = left_of(amount, elapsed, half_life)
    exact = amount * 2.0 ** -(elapsed / half_life) if elapsed / half_life < 1000 else 0.0
    assert abs(left - exact) <= 2 + exact * 2e-6
    assert left_of(amount, elapsed + 1, half_life) <= left


@given(AMOUNTS, AMOUNTS, st.integers(0, 10**6), HALF_LIVES)
def test_a_further_deposit_adds_to_what_is_left(
    first: int, second: int, elapsed: int, half_life: int
) -> None:
    both = Deposit(first, 1000, half_life).and_more(second, 1000 + elapsed, half_life)
    left = left_of(first, elapsed, half_life)
    assert both.left(1000 + elapsed) == min(left + second, AMOUNT_LIMIT)


def test_deposits_of_several_writers_add_up_and_read_the_same_everywhere() -> None:
    a, b = Writer(1), Writer(2)
    a.write(edit("deposit", 1_000_000, half_life_ms=MINUTE_MS), wall_ms=0)
    b.sync_from(a)
    b.write(edit("deposit", 400_000), wall_ms=MINUTE_MS)
    a.sync_from(b)
    for wall_ms, expected in ((MINUTE_MS, 900_000), (2 * MINUTE_MS, 450_000)):
        assert a.value(wall_ms=wall_ms) == b.value(wall_ms=wall_ms) == expected
    assert a.value(wall_ms=100 * MINUTE_MS) is None
    assert len(a.image()) == 2
