"""Every rule against every world: all placements of f liars and of the votes left out."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import pytest

from protocols.quorum import quorum, tolerated
from protocols.voting.rules import (
    CERTIFIED,
    LEANING,
    MEDIAN,
    NO_CHOICE,
    SUPERMAJORITY,
    UNANIMOUS,
    UNDECIDED,
    VETOES,
    Rule,
    is_lost,
    number_choice,
    number_of,
    parse_rule,
    tally,
)

RULES = (
    "majority",
    "supermajority:2/3",
    "supermajority:3/4",
    "supermajority:2/3:vetoes",
    "unanimous",
)
CHOICES = (b"a", b"b", b"c")
ALL_N = [n if n < 7 else pytest.param(n, marks=pytest.mark.slow) for n in range(4, 11)]

Votes = tuple[int, ...]
"""Votes for a, b and c, then abstentions."""


def sums(total: int, parts: int) -> Iterator[Votes]:
    """All ways to put `total` into so many parts."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in sums(total - first, parts - 1):
            yield (first, *rest)


def worlds(seen: Votes, left_out: int, liars: int) -> Iterator[Votes]:
    """What honest voters may have said, all in all: seen are votes in S, some of them lies."""
    for lies in product(*(range(min(liars, votes) + 1) for votes in seen)):
        honest_left_out = left_out - (liars - sum(lies))
        if sum(lies) > liars:
            continue
        for hidden_honest in range(max(0, honest_left_out), left_out + 1):
            for hidden in sums(hidden_honest, len(seen)):
                yield tuple(
                    votes - lie + more for votes, lie, more in zip(seen, lies, hidden, strict=True)
                )


def is_true(rule: Rule, winner: int, honest: Votes) -> bool:
    """Whether the claim of a certified outcome holds among honest voters alone."""
    votes, cast = honest[winner], sum(honest[:3])
    rivals = [other for index, other in enumerate(honest[:3]) if index != winner]
    if votes <= max(rivals):
        return False
    if rule.name == UNANIMOUS:
        return votes == cast
    if rule.name == SUPERMAJORITY and rule.against != VETOES:
        return Fraction(votes, cast) >= Fraction(rule.numerator, rule.denominator)
    return True


def answers_of(seen: Votes) -> list[bytes]:
    said: list[bytes] = []
    for choice, votes in zip((*CHOICES, NO_CHOICE), seen, strict=True):
        said += [choice] * votes
    return said


def scenes(n: int) -> Iterator[tuple[Votes, int]]:
    """Every set of answers with |S| of n - f or more, and how many were left out."""
    f = tolerated(n)
    for left_out in range(f + 1):
        for seen in sums(n - left_out, 4):
            # Names of choices do not matter: only those scenes with a ahead of b ahead of c.
            if seen[0] >= seen[1] >= seen[2]:
                yield seen, left_out


@pytest.mark.parametrize("n", ALL_N)
@pytest.mark.parametrize("text", RULES)
def test_a_certified_outcome_is_true_in_every_world(text: str, n: int) -> None:
    rule, f = parse_rule(text), tolerated(n)
    certified = 0
    for seen, left_out in scenes(n):
        result = tally(rule, n, f, answers_of(seen))
        if result.status == CERTIFIED:
            certified += 1
            winner = CHOICES.index(result.choice)
            assert all(is_true(rule, winner, world) for world in worlds(seen, left_out, f))
    assert certified, "the rule certifies something at all"


@pytest.mark.parametrize("n", ALL_N)
@pytest.mark.parametrize("text", [rule for rule in RULES if not rule.endswith(VETOES)])
def test_what_only_leans_is_untrue_in_some_world(text: str, n: int) -> None:
    rule, f = parse_rule(text), tolerated(n)
    for seen, left_out in scenes(n):
        result = tally(rule, n, f, answers_of(seen))
        if result.status == LEANING:
            winner = CHOICES.index(result.choice)
            assert not all(is_true(rule, winner, world) for world in worlds(seen, left_out, f))


@pytest.mark.parametrize("n", ALL_N)
@pytest.mark.parametrize("text", RULES)
def test_whatever_wins_has_a_vote_that_is_no_lie(text: str, n: int) -> None:
    rule, f = parse_rule(text), tolerated(n)
    for seen, _ in scenes(n):
        result = tally(rule, n, f, answers_of(seen))
        assert (result.choice == NO_CHOICE) == (result.status == UNDECIDED)
        if result.status != UNDECIDED:
            assert dict(result.counts)[result.choice] >= f + 1
            assert result.choice == b"a", "the most votes, and no tie"


@pytest.mark.parametrize("n", range(4, 11))
def test_a_quorum_of_votes_is_a_strict_majority_of_honest_voters(n: int) -> None:
    f, q = tolerated(n), quorum(n)
    assert 2 * (q - f) > n - f
    assert 2 * (q - 1 - f) <= n - f, "one vote fewer would not do"


@pytest.mark.parametrize("n", ALL_N)
def test_a_certified_median_lies_between_two_honest_numbers(n: int) -> None:
    rule, f = parse_rule(MEDIAN), tolerated(n)
    for left_out, abstained in product(range(f + 1), range(n)):
        numbers = list(range(max(0, n - left_out - abstained)))
        answers = [number_choice(each) for each in numbers]
        answers += [NO_CHOICE] * (n - left_out - len(numbers))
        result = tally(rule, n, f, answers)
        assert result.status == (
            CERTIFIED if len(numbers) > 2 * f else LEANING if len(numbers) > f else UNDECIDED
        )
        if result.status == CERTIFIED:
            # Liars do worst where all of them are at one end.
            value = number_of(result.choice)
            for low in range(f + 1):
                honest = numbers[low : len(numbers) - (f - low)]
                assert honest[0] <= value <= honest[-1]


@pytest.mark.parametrize("n", range(4, 8))
@pytest.mark.parametrize("text", [*RULES, MEDIAN])
def test_a_lost_ballot_is_undecided_whatever_is_said_yet(text: str, n: int) -> None:
    rule, f = parse_rule(text), tolerated(n)
    choices = [number_choice(index) for index in range(3)] if text == MEDIAN else list(CHOICES)
    found = set()
    for answered in range(n + 1):
        for seen in sums(answered, 4):
            answers: list[bytes] = []
            for choice, votes in zip((*choices, NO_CHOICE), seen, strict=True):
                answers += [choice] * votes
            ends = {
                tally(rule, n, f, [*answers, *more]).status
                for more in _completions(choices, n - answered)
            }
            lost = is_lost(rule, n, f, answers)
            assert lost == (ends == {UNDECIDED})
            found.add(lost)
    assert found == {True, False}


def _completions(choices: list[bytes], missing: int) -> Iterator[list[bytes]]:
    for more in sums(missing, 5):
        said: list[bytes] = []
        for choice, votes in zip((*choices, choices[0][:-1] + b"x", NO_CHOICE), more, strict=True):
            said += [choice] * votes
        yield said


@pytest.mark.parametrize(
    "text",
    [
        "", "plurality", "majority:2/3", "supermajority:1/2", "supermajority:3/2",
        "supermajority:2/3:both", "supermajority:2/0", "supermajority:x/3",
        "supermajority:2/3:fakes:vetoes", "supermajority:2001/3000", "supermajority:²/3",
    ],
)  # fmt: skip
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rule|share|supermajority"):
        parse_rule(text)


@pytest.mark.parametrize("text", [*RULES, MEDIAN, "supermajority:1/1"])
def test_a_rule_is_written_in_one_way(text: str) -> None:
    assert parse_rule(text).text == text


def test_a_supermajority_without_a_share_is_two_thirds_against_fakes() -> None:
    assert parse_rule(SUPERMAJORITY).text == "supermajority:2/3"
