"""Fewer voters than electors."""

from collections import Counter
from fractions import Fraction
from itertools import combinations

import pytest

from protocols.voting.normalising import choice_of, normalised
from protocols.voting.panels import panel_of, risk
from tests.protocols.voting.chamber import Chamber


def test_without_a_size_all_electors_vote() -> None:
    assert panel_of(b"b" * 32, 5, 0) == (0, 1, 2, 3, 4)


def test_a_panel_is_the_same_for_all_and_another_for_each_ballot() -> None:
    drawn = Counter(
        voter for ballot in range(2_000) for voter in panel_of(ballot.to_bytes(32, "big"), 10, 4)
    )
    assert sum(drawn.values()) == 8_000
    assert all(700 < drawn[voter] < 900 for voter in range(10)), "everybody about as often"
    assert panel_of(b"b" * 32, 10, 4) == panel_of(b"b" * 32, 10, 4)


@pytest.mark.parametrize(
    ("n", "liars", "size", "bound"), [(4, 1, 3, 0), (7, 2, 4, 1), (10, 3, 4, 1)]
)
def test_the_risk_is_that_of_counting_all_panels(n: int, liars: int, size: int, bound: int) -> None:
    panels = list(combinations(range(n), size))
    bad = sum(sum(voter < liars for voter in panel) > bound for panel in panels)
    assert risk(n, liars, size, bound) == Fraction(bad, len(panels))


def test_a_panel_votes_and_all_electors_settle_it() -> None:
    chamber = Chamber(7)
    chamber.open(voters=4)
    chamber.run()
    found = chamber.decisions()
    assert len(found) == 7
    for decision in found:
        assert len(decision.voters) == len(decision.answers) == 4
        assert {each.elector for each in decision.answers} == set(decision.voters)
        assert (decision.tally.voters, decision.tally.liars) == (4, 1)
        assert len(decision.signers) == 5, "a quorum of all seven"
        assert decision.tally.choice == choice_of(normalised("yes"))
