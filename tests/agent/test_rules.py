"""Local rules for agents."""

import random
from collections import Counter

import pytest

from mesh.agent.rules import Merged, escalate_below, follow_marks, least_loaded, merge


def test_of_two_drawn_the_less_loaded_is_taken_and_the_busiest_never() -> None:
    rng = random.Random(1)
    taken = Counter(least_loaded({"idle": 0, "busy": 5, "busiest": 9}, rng) for _ in range(600))
    assert taken["idle"] > taken["busy"] > 0
    assert "busiest" not in taken


def test_a_single_one_is_taken_and_of_none_there_is_no_choice() -> None:
    assert least_loaded({"only": 7}, random.Random(1)) == "only"
    with pytest.raises(ValueError, match="at least one"):
        least_loaded({}, random.Random(1))


def test_marks_are_followed_by_their_strength_and_some_explore() -> None:
    rng = random.Random(2)
    taken = Counter(follow_marks({"a": 9.0, "b": 1.0, "c": 0.0}, rng) for _ in range(2000))
    assert 0.82 < taken["a"] / 2000 < 0.93
    assert 0 < taken["c"] < 100
    without = Counter(follow_marks({"a": 1.0, "c": 0.0}, rng, explore=0) for _ in range(200))
    assert set(without) == {"a"}


def test_without_any_mark_all_are_as_likely() -> None:
    rng = random.Random(3)
    assert set(Counter(follow_marks({"a": 0.0, "b": 0.0}, rng) for _ in range(50))) == {"a", "b"}
    with pytest.raises(ValueError, match="below 0"):
        follow_marks({"a": -1.0}, rng)
    with pytest.raises(ValueError, match="at least one"):
        follow_marks({}, rng)


def test_what_agrees_is_merged_and_what_conflicts_is_flagged() -> None:
    said = [("x", 1), ("y", 2), ("x", 1), ("y", 3), ("y", 2)]
    assert merge(said) == Merged({"x": 1}, {"y": [2, 3]})


def test_what_agrees_may_be_said_otherwise() -> None:
    said = [("x", "Yes"), ("x", "yes")]
    assert merge(said, same=lambda a, b: a.lower() == b.lower()) == Merged({"x": "Yes"}, {})
    assert merge(said).conflicts == {"x": ["Yes", "yes"]}


def test_what_is_not_sure_enough_is_escalated() -> None:
    values = [("a", 0.9), ("b", 0.7), ("c", 0.69), ("d", None), ("e", float("nan"))]
    found = escalate_below(0.7, values, lambda value: value[1])
    assert [name for name, _ in found.sure] == ["a", "b"]
    assert [name for name, _ in found.unsure] == ["c", "d", "e"]
