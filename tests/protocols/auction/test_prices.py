"""What agents ask for their work, and who wins by it."""

import pytest

from protocols.auction.commands import ObserveWork, ReleaseSlots, SetPrice
from protocols.auction.events import SlotsWon
from protocols.auction.parameters import PRICES_LIMIT
from protocols.auction.supply import Supply
from protocols.errors import Refused
from tests.protocols.auction.mesh import SKILL, Mesh


def winner_between(b: SetPrice, c: SetPrice) -> str:
    """Who of two with the same measured speed wins the one slot."""
    mesh = Mesh("a", "b", "c")
    mesh.host(1, "b", "c")
    for name, price in (("b", b), ("c", c)):
        mesh.submit(name, ObserveWork(*SKILL, 0, 9_000))
        mesh.submit(name, price)
    mesh.seek("a", 1)
    mesh.settle()
    (winner,) = (name for name in "bc" if sum(mesh[name].granted.values()))
    return winner


@pytest.mark.parametrize(
    "dear",
    [
        SetPrice(*SKILL, duration_us=9_001),
        SetPrice(*SKILL, cost=1),
        SetPrice(*SKILL, confidence=900_000),
    ],
)
def test_the_one_that_asks_less_wins(dear: SetPrice) -> None:
    free = SetPrice(*SKILL)
    assert winner_between(free, dear) == "b"
    assert winner_between(dear, free) == "c"


def test_a_price_stands_for_what_was_measured_until_it_is_taken_back() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "b")
    mesh.submit("b", ObserveWork(*SKILL, 0, 9_000))
    for price, claimed in ((SetPrice(*SKILL, 70_000), 70_000), (SetPrice(*SKILL), 9_000)):
        mesh.submit("b", price)
        mesh.submit("b", ObserveWork(*SKILL, 0, 9_000))
        mesh.seek("a", 1)
        mesh.settle()
        won = [e for e in mesh["a"].events if isinstance(e, SlotsWon)]
        assert won[-1].completion_us == claimed
        mesh.seek("a", 0)
        mesh.submit("a", ReleaseSlots(won[-1].lot, mesh["b"].id, 1))
        mesh.settle()


def test_a_price_outlives_a_time_without_slots() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "b")
    mesh.submit("b", SetPrice(*SKILL, 70_000))
    mesh.host(0, "b")
    mesh.host(1, "b")
    mesh.seek("a", 1)
    mesh.settle()
    assert [e.completion_us for e in mesh["a"].events if isinstance(e, SlotsWon)] == [70_000]


def test_a_price_out_of_range_is_brought_into_it() -> None:
    supply = Supply()
    host = supply.add(*SKILL)
    supply.price(SetPrice(*SKILL, -5, 2**80, 2**80))
    assert host.price == SetPrice(*SKILL, 0, 2**62, 1_000_000)


def test_no_more_than_so_many_skills_have_a_price() -> None:
    supply = Supply()
    for number in range(PRICES_LIMIT):
        supply.price(SetPrice("skill", str(number), cost=1))
    with pytest.raises(Refused, match="have a price already"):
        supply.price(SetPrice("skill", "more", cost=1))
    supply.price(SetPrice("skill", "0"))
    supply.price(SetPrice("skill", "more", cost=1))
