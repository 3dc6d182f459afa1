"""The laws of clearing, for any bids at all."""

import hashlib
import random

from hypothesis import given
from hypothesis import strategies as st

from protocols.auction.clearing import SPREAD, clear, score
from protocols.auction.messages import Opened, Unit

MILLION = 1_000_000
SEED = bytes(32)
NONCE = bytes(32)


def bidder(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()


units = st.builds(
    Unit, st.integers(0, 40), st.integers(0, 40), st.sampled_from([0, 500_000, 900_000, MILLION])
)
schedules = st.lists(units, max_size=6).map(lambda us: tuple(sorted(us, key=order)))
multipliers = st.sampled_from([500_000, MILLION, 1_250_000])


def order(unit: Unit) -> int:
    return score(unit, MILLION)


@st.composite
def books(draw: st.DrawFn) -> tuple[list[Opened], dict[bytes, int]]:
    """Bids with valid schedules, and some with any multiplier, which may make them fall."""
    count = draw(st.integers(0, 5))
    opened = [Opened(bidder(n), NONCE, draw(schedules)) for n in range(count)]
    weights = {bid.bidder: draw(multipliers) for bid in opened}
    return opened, weights


def offered(bid: Opened, multiplier: int) -> int:
    ranked = [score(unit, multiplier) for unit in bid.schedule]
    return len(ranked) if ranked == sorted(ranked) else 0


lots = st.integers(1, 20)


def outcome(
    count: int, weights: dict[bytes, int], opened: list[Opened], limits: dict[bytes, int]
) -> dict[bytes, int]:
    return {w.bidder: w.slots for w in clear(count, weights, SEED, opened, limits)}


@given(books(), lots, st.randoms(use_true_random=False))
def test_the_order_of_bids_does_not_matter(
    book: tuple[list[Opened], dict[bytes, int]], count: int, rng: random.Random
) -> None:
    opened, weights = book
    expected = clear(count, weights, SEED, opened, {})
    shuffled = opened[:]
    rng.shuffle(shuffled)
    assert clear(count, dict(reversed(weights.items())), SEED, shuffled, {}) == expected


@given(books(), lots)
def test_as_many_are_awarded_as_are_wanted_and_offered(
    book: tuple[list[Opened], dict[bytes, int]], count: int
) -> None:
    opened, weights = book
    won = outcome(count, weights, opened, {})
    offers = {bid.bidder: offered(bid, weights[bid.bidder]) for bid in opened}
    assert sum(won.values()) == min(count, sum(offers.values()))
    assert all(0 < slots <= offers[peer] for peer, slots in won.items())


@given(books(), lots)
def test_nobody_who_lost_had_offered_less(
    book: tuple[list[Opened], dict[bytes, int]], count: int
) -> None:
    opened, weights = book
    won = outcome(count, weights, opened, {})
    winning: list[int] = []
    losing: list[int] = []
    for bid in opened:
        multiplier = weights[bid.bidder]
        for index in range(offered(bid, multiplier)):
            side = winning if index < won.get(bid.bidder, 0) else losing
            side.append(score(bid.schedule[index], multiplier) * (SPREAD + index) // SPREAD)
    assert not winning or not losing or max(winning) <= min(losing)


@given(books(), lots, st.integers(0, 4), st.data())
def test_a_better_bid_never_wins_less(
    book: tuple[list[Opened], dict[bytes, int]], count: int, who: int, data: st.DataObject
) -> None:
    opened, weights = book
    if who >= len(opened):
        return
    bid = opened[who]
    weights = {**weights, bid.bidder: MILLION}
    better = [
        Unit(
            data.draw(st.integers(0, unit.completion_us)),
            data.draw(st.integers(0, unit.cost)),
            data.draw(st.integers(unit.confidence, MILLION)),
        )
        for unit in bid.schedule
    ]
    # Sorting keeps each place at least as good as it was.
    better.sort(key=order)
    if better:
        better += [better[-1]] * data.draw(st.integers(0, 2))
    improved = [*opened[:who], Opened(bid.bidder, NONCE, tuple(better)), *opened[who + 1 :]]
    before = outcome(count, weights, opened, {}).get(bid.bidder, 0)
    assert outcome(count, weights, improved, {}).get(bid.bidder, 0) >= before


@given(books(), lots, st.integers(0, 4), st.integers(0, 6))
def test_a_limit_takes_slots_from_its_bidder_only(
    book: tuple[list[Opened], dict[bytes, int]], count: int, who: int, limit: int
) -> None:
    opened, weights = book
    if who >= len(opened):
        return
    limited = opened[who].bidder
    before = outcome(count, weights, opened, {})
    after = outcome(count, weights, opened, {limited: limit})
    assert after.get(limited, 0) <= limit
    assert all(after.get(peer, 0) >= slots for peer, slots in before.items() if peer != limited)


@given(books(), lots)
def test_bids_of_the_uninvited_do_not_count(
    book: tuple[list[Opened], dict[bytes, int]], count: int
) -> None:
    opened, weights = book
    stranger = Opened(bidder(200), NONCE, (Unit(0, 0, MILLION),) * 20)
    assert outcome(count, weights, [stranger, *opened], {}) == outcome(count, weights, opened, {})


def test_equal_bids_are_spread_evenly_and_only_the_rest_is_drawn_by_lot() -> None:
    same = (Unit(1_000, 0, MILLION),) * 8
    opened = [Opened(bidder(n), NONCE, same) for n in range(4)]
    weights = {bid.bidder: MILLION for bid in opened}
    assert sorted(outcome(12, weights, opened, {}).values()) == [3, 3, 3, 3]
    assert sorted(outcome(13, weights, opened, {}).values()) == [3, 3, 3, 4]
    favoured = set()
    for number in range(40):
        seed = hashlib.sha256(bytes([number])).digest()
        winners = clear(1, weights, seed, opened, {})
        favoured.add(winners[0].bidder)
    assert len(favoured) == 4, "no bidder is lucky with every seed"


def test_a_schedule_that_falls_or_is_empty_or_too_long_is_no_bid() -> None:
    falling = (Unit(2, 0, MILLION), Unit(1, 0, MILLION))
    for schedule in (falling, (), (Unit(1, 0, MILLION),) * 257):
        opened = [Opened(bidder(1), NONCE, schedule)]
        assert clear(5, {bidder(1): MILLION}, SEED, opened, {}) == ()


def test_certainty_nil_is_dear_and_divides_by_nothing() -> None:
    assert score(Unit(1_000, 0, 0), MILLION) == 100_000
    assert score(Unit(1_000, 0, 500_000), MILLION) == 2_000
    assert score(Unit(1_000, 0, MILLION), 1_500_000) == 1_500
    assert score(Unit(1_000, 500, MILLION), MILLION) == 1_500
