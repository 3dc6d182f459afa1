"""Free answers: which are the same vote, and which are none."""

import hashlib
import math

import pytest

from protocols.voting.normalising import (
    ANSWER_LIMIT,
    EXACT,
    NoAnswer,
    choice_of,
    normalised,
    number,
    number_value,
    option,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Yes.", "  yes "),
        ("Ja!", "ja"),
        ("ﬁne", "FINE"),
        ("Straße", "STRASSE"),
        ("a\n  b", "a b"),
        ("é", "e\u0301"),
        (1, 1.0),
        ({"b": 1, "a": ["X."]}, {"a": ["x"], "b": 1.0}),
        ((1, 2), [1, 2]),
        (-0.0, 0),
    ],
)
def test_answers_that_differ_in_form_alone_are_one_vote(one: object, other: object) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("yes", "yes, but"),
        (1, True),
        (0, False),
        (1, "1"),
        ("", "x"),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"A": 1}),
        (0.1, 0.2),
        (b"a", "a"),
        (2.0**60, 2**60),
    ],
)
def test_answers_that_differ_in_substance_are_two(one: object, other: object) -> None:
    assert normalised(one) != normalised(other)


def test_an_exact_answer_keeps_its_letters() -> None:
    assert normalised("Yes.", EXACT) != normalised("yes", EXACT)
    assert normalised({"b": 1, "a": 2}, EXACT) == normalised({"a": 2, "b": 1}, EXACT)


@pytest.mark.parametrize(
    "answer",
    [None, math.nan, [math.inf], object(), {1: 2}, 2**64, "x" * ANSWER_LIMIT, "\ud800"],
)
def test_what_is_no_answer_abstains(answer: object) -> None:
    with pytest.raises(ValueError, match=r"answer|value|surrogates"):
        normalised(answer)


def test_an_answer_nested_too_deep_abstains() -> None:
    deep: object = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(NoAnswer, match="deeper"):
        normalised(deep)


def test_an_answer_that_is_no_option_abstains() -> None:
    options = (normalised("ship"), normalised("hold"))
    assert option("Ship!", options) == options[0]
    assert option("ship", ()) == options[0]
    with pytest.raises(NoAnswer, match="none of the options"):
        option("wait", options)


def test_numbers_are_votes_in_micro_units() -> None:
    assert number(2) == number(2.0)
    assert number_value(number(-1.5)) == -1.5
    assert number_value(number(3)) == 3
    assert number(0.1234564) == number(0.123456)


@pytest.mark.parametrize("answer", [True, "3", math.nan, 10**13, -1e300, None])
def test_what_is_no_number_abstains(answer: object) -> None:
    with pytest.raises(NoAnswer):
        number(answer)


def test_a_choice_is_a_hash_under_a_domain_of_its_own() -> None:
    text = normalised("yes")
    assert text == b"\xa3yes"
    assert choice_of(text) == hashlib.sha256(b"stigmesh/voting.answer/1\x00\xa3yes").digest()
