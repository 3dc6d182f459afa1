"""Two sets tell their differences by coded symbols."""

import random

import pytest

from protocols.blackboard.reconciliation import SYMBOL, Symbols, check_of, item_of, places
from protocols.errors import Malformed


def test_the_differences_of_two_sets_are_read_off() -> None:
    rng = random.Random(1)
    shared = [rng.getrandbits(64) for _ in range(300)]
    mine = [rng.getrandbits(64) for _ in range(20)]
    theirs = [rng.getrandbits(64) for _ in range(30)]
    symbols = Symbols(128, shared + mine)
    found = symbols.difference(Symbols(128, theirs + shared).encoded(0))
    assert found is not None
    assert (sorted(found[0]), sorted(found[1])) == (sorted(theirs), sorted(mine))


def test_equal_sets_differ_in_nothing() -> None:
    items = [3, 5, 9]
    assert Symbols(1, items).difference(Symbols(1, items).encoded(0)) == ([], [])


def test_too_few_symbols_ask_for_more() -> None:
    rng = random.Random(2)
    theirs = [rng.getrandbits(64) for _ in range(40)]
    assert Symbols(32, ()).difference(Symbols(32, theirs).encoded(0)) is None


def test_a_symbol_costs_less_than_twice_for_a_hundred_differences() -> None:
    rng = random.Random(3)
    for _ in range(5):
        theirs = [rng.getrandbits(64) for _ in range(100)]
        assert Symbols(200, ()).difference(Symbols(200, theirs).encoded(0)) is not None


def test_symbols_that_no_set_makes_ask_for_more_and_never_for_ever() -> None:
    rng = random.Random(4)
    for _ in range(20):
        made = b"".join(
            SYMBOL.pack(item, check_of(item), rng.choice((-1, 1)))
            for item in (rng.getrandbits(64) for _ in range(64))
        )
        assert Symbols(64, ()).difference(made) is None


def test_another_number_of_symbols_is_malformed() -> None:
    with pytest.raises(Malformed):
        Symbols(4, ()).difference(bytes(5 * SYMBOL.size))


def test_every_item_is_in_the_first_symbol_and_its_places_are_frozen() -> None:
    assert places(1, 40) == PLACES_OF_ONE
    assert all(places(item, 8)[0] == 0 for item in range(50))


def test_another_salt_gives_other_items() -> None:
    assert item_of(b"a" * 16, b"op") != item_of(b"b" * 16, b"op")


PLACES_OF_ONE = [0, 1, 2, 9]
