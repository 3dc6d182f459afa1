"""How marks evaporate, in whole numbers: the same at every peer at the same time.

A deposit with half-life h is worth amount / 2**(t/h) after t milliseconds. Whole
half-lives are shifts. Of the rest, 2**-x is read from a table of 256 steps, with a
straight line between two of them, off by less than one part in a million. It is all
integers, rounded down, so that replicas agree to the last digit.
"""

from math import isqrt
from typing import NamedTuple

from protocols.errors import Malformed

STEPS_BITS = 8
STEPS = 1 << STEPS_BITS
ONE_BITS = 32
AMOUNT_LIMIT = 2**53
"""Micro-units in one cell: exact in every language."""
HALF_LIFE_LIMIT_MS = 100 * 365 * 24 * 3600 * 1000
DEFAULT_HALF_LIFE_MS = 10 * 60 * 1000


def _powers() -> tuple[int, ...]:
    """2**(32 - k/256), rounded, for k from 0 to 256; by roots of whole numbers."""
    scale_bits = 128
    roots, root = [], 1 << (scale_bits - 1)
    for _ in range(STEPS_BITS):
        root = isqrt(root << scale_bits)
        roots.append(root)
    table = []
    for step in range(STEPS):
        power = 1 << scale_bits
        for bit, each in enumerate(roots):
            if step >> (STEPS_BITS - 1 - bit) & 1:
                power = power * each >> scale_bits
        table.append((power + (1 << (scale_bits - ONE_BITS - 1))) >> (scale_bits - ONE_BITS))
    return (*table, 1 << (ONE_BITS - 1))


_POWERS = _powers()


def left_of(amount: int, elapsed_ms: int, half_life_ms: int) -> int:
    """What is left of an amount; all of it where no time has passed."""
    if elapsed_ms <= 0:
        return amount
    halves, rest = divmod(elapsed_ms, half_life_ms)
    if halves >= AMOUNT_LIMIT.bit_length():
        return 0
    step, between = divmod(rest * STEPS, half_life_ms)
    power = _POWERS[step] - (_POWERS[step] - _POWERS[step + 1]) * between // half_life_ms
    return (amount * power >> ONE_BITS) >> halves


class Deposit(NamedTuple):
    """What one writer has left at a key, in all.

    Attributes:
        amount: micro-units, as of `at_ms`.
        at_ms: wall clock, milliseconds.
        half_life_ms: of the key, as this writer knew it.
    """

    amount: int
    at_ms: int
    half_life_ms: int

    def left(self, wall_ms: int) -> int:
        """Micro-units that are left at a time."""
        return left_of(self.amount, wall_ms - self.at_ms, self.half_life_ms)

    def and_more(self, amount: int, wall_ms: int, half_life_ms: int) -> "Deposit":
        """The same after another deposit."""
        at_ms = max(wall_ms, self.at_ms)
        return Deposit(
            min(self.left(at_ms) + left_of(amount, at_ms - wall_ms, half_life_ms), AMOUNT_LIMIT),
            at_ms,
            half_life_ms,
        )


def deposit_of(value: object) -> Deposit:
    """A deposit as it was decoded from an op.

    Raises:
        Malformed: it is none.
    """
    if (
        isinstance(value, list)
        and len(value) == 3
        and all(type(each) is int for each in value)
        and 0 <= value[0] <= AMOUNT_LIMIT
        and 0 <= value[1] < 2**62
        and 0 < value[2] <= HALF_LIFE_LIMIT_MS
    ):
        return Deposit(*value)
    raise Malformed("not a deposit: amount, time and half-life")
