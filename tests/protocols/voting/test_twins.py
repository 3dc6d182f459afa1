"""Twins: one elector of four runs twice under one key, and the network is cut anew each view.

A scenario is a list of rounds: who leads a view, and which places hear each other in it.
After the last round everybody hears everybody, and all must settle. The arena asserts
agreement, validity, sound proofs, and that nobody honest signs against itself.
"""

import itertools
import random
from collections.abc import Iterator, Sequence

import pytest

from protocols.voting.marks import FINALISE, NOTARISE
from tests.protocols.voting.arena import Arena, Place

TWIN = 3
"""The elector that runs twice: places 3 and 4."""
Cut = tuple[int, ...]
"""For each place the number of its side."""


def cuts(places: int = 5) -> Iterator[Cut]:
    """All ways to cut a network: 52 for five places."""

    def longer(cut: Cut) -> Iterator[Cut]:
        if len(cut) == places:
            yield cut
            return
        for side in range(max(cut, default=-1) + 2):
            yield from longer((*cut, side))

    return longer(())


CUTS = tuple(cuts())
Round = tuple[int, Cut]
ROUNDS: tuple[Round, ...] = tuple(itertools.product(range(4), CUTS))


def canonical(rounds: Sequence[Round]) -> tuple[Round, ...]:
    """The same scenario for all namings of the honest three, and of the twins."""
    return min(
        tuple((naming.index(leader), _cut(cut, naming)) for leader, cut in rounds)
        for naming in _namings()
    )


def _namings() -> Iterator[tuple[int, ...]]:
    for honest in itertools.permutations(range(3)):
        yield (*honest, 3, 4)
        yield (*honest, 4, 3)


def _cut(cut: Cut, naming: tuple[int, ...]) -> Cut:
    sides: dict[int, int] = {}
    return tuple(sides.setdefault(cut[place], len(sides)) for place in naming)


def play(rounds: Sequence[Round]) -> Arena:
    """Plays a scenario to its end."""
    arena = Arena(4, order=[leader for leader, _ in rounds] + [0, 1, 2, 3], twins=[TWIN])
    places = {id(place): number for number, place in enumerate(arena.places)}

    def passes(sender: Place, receiver: Place) -> bool:
        view = sender.settlement.view
        if view > len(rounds):
            return True
        cut = rounds[view - 1][1]
        return cut[places[id(sender)]] == cut[places[id(receiver)]]

    arena.passes = passes
    arena.begin()
    arena.run(8, lambda: all(place.settlement.view > len(rounds) for place in arena.honest))
    arena.passes = lambda sender, receiver: True
    arena.run(300)
    assert arena.is_settled(), f"not settled after the network is whole: {rounds}"
    return arena


def sampled(seed: int, count: int, least: int = 3, most: int = 7) -> Iterator[tuple[Round, ...]]:
    """Scenarios drawn at random."""
    rng = random.Random(seed)
    for _ in range(count):
        yield tuple(rng.choice(ROUNDS) for _ in range(rng.randint(least, most)))


def test_a_canonical_scenario_stands_for_its_renamings() -> None:
    one = ((0, (0, 0, 1, 0, 1)), (3, (0, 1, 1, 0, 0)))
    other = ((2, (0, 1, 1, 0, 1)), (4 - 1, (0, 0, 1, 1, 1)))
    assert canonical(one) == canonical(canonical(one))
    assert len({canonical((each,)) for each in ROUNDS}) < len(ROUNDS) / 4
    assert canonical(other) in {canonical(scenario) for scenario in (one, other)}


def test_twins_of_three_to_seven_rounds_do_not_divide_the_others() -> None:
    for rounds in sampled(20_260, 120):
        play(rounds)


def test_twins_that_lead_show_each_side_another_payload_and_are_found_out() -> None:
    # Both twins lead view 1, each heard by its own side, and all hear all in view 2.
    arena = play([(3, (0, 0, 1, 0, 1)), (3, (0, 0, 1, 0, 1))])
    marks = [mark for place in arena.places for mark, _ in place.disk if place.seat == TWIN]
    digests = {mark.digest for mark in marks if (mark.view, mark.phase) == (1, NOTARISE)}
    assert len(digests) == 2, "the twins proposed two payloads"
    assert {mark.phase for place in arena.honest for mark, _ in place.disk} >= {FINALISE}


@pytest.mark.slow
def test_all_scenarios_of_two_rounds() -> None:
    scenarios = {canonical(pair) for pair in itertools.product(ROUNDS, repeat=2)}
    for rounds in sorted(scenarios):
        play(rounds)


@pytest.mark.slow
def test_many_scenarios_of_three_to_seven_rounds() -> None:
    for rounds in sampled(7, 3_000):
        play(rounds)
