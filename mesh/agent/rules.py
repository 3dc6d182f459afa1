"""Local rules: what one agent decides by what it sees, so that many of them agree.

Each rule is a function of its arguments alone. None asks anybody or keeps anything,
so a handler may use it on what it reads from the blackboard, on results of other
skills, or in a test.
"""

import random
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def least_loaded(loads: Mapping[K, float], rng: random.Random, draws: int = 2) -> K:
    """Of a few drawn at random, the one with the least load.

    Drawing two is nearly as even as looking at all, and agents that look at the same
    stale loads at the same time do not all choose the same.

    Args:
        loads: how busy each is, in any unit.
        rng: draws.
        draws: how many are compared.

    Raises:
        ValueError: there is nothing to choose from.
    """
    if not loads or draws < 1:
        raise ValueError("at least one to choose from, and one to draw")
    drawn = rng.sample(list(loads), min(draws, len(loads)))
    return min(drawn, key=lambda each: loads[each])


def follow_marks(marks: Mapping[K, float], rng: random.Random, *, explore: float = 0.05) -> K:
    """One of many, the more likely the stronger its mark: how a forager follows a trail.

    Args:
        marks: how strong the pheromone at each is; nothing below 0.
        rng: draws.
        explore: the share of choices that no mark bends, so that better places are found.

    Raises:
        ValueError: there is nothing to choose from, or a mark is below 0.
    """
    if not marks:
        raise ValueError("at least one to choose from")
    if min(marks.values()) < 0:
        raise ValueError("a mark is not below 0")
    each = list(marks)
    if not any(marks.values()) or rng.random() < explore:
        return rng.choice(each)
    return rng.choices(each, weights=list(marks.values()))[0]


class Merged(msgspec.Struct, Generic[K, T], frozen=True):
    """What came of a merge.

    Attributes:
        agreed: by key, the value of all that said something of it.
        conflicts: by key, the different values, in the order in which they were first said.
    """

    agreed: dict[K, T]
    conflicts: dict[K, list[T]]


def merge(
    said: Iterable[tuple[K, T]], *, same: Callable[[T, T], bool] | None = None
) -> Merged[K, T]:
    """Merges what agrees and flags what conflicts; decides nothing.

    Args:
        said: pairs of what is spoken of, and what is said of it.
        same: when two values agree; by default when they are equal.
    """
    by_key: dict[K, list[T]] = {}
    for key, value in said:
        values = by_key.setdefault(key, [])
        if not any(value == other if same is None else same(value, other) for other in values):
            values.append(value)
    agreed = {key: values[0] for key, values in by_key.items() if len(values) == 1}
    conflicts = {key: values for key, values in by_key.items() if len(values) > 1}
    return Merged(agreed, conflicts)


class Sorted(msgspec.Struct, Generic[T], frozen=True):
    """What may stand, and what somebody has to look at."""

    sure: list[T]
    unsure: list[T]


def escalate_below(
    threshold: float, values: Iterable[T], confidence: Callable[[T], float | None]
) -> Sorted[T]:
    """Parts what is sure enough from what is to be escalated.

    Args:
        threshold: from 0 to 1; what reaches it is sure.
        values: what is to be judged.
        confidence: how sure a value is; None, and what is no number, is never sure.
    """
    sure: list[T] = []
    unsure: list[T] = []
    for value in values:
        found = confidence(value)
        (sure if found is not None and found >= threshold else unsure).append(value)
    return Sorted(sure, unsure)
