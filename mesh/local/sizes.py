"""Amounts of memory, as people write them."""

import re

_UNITS: dict[str, int] = {"": 1, "B": 1} | {
    unit: base**power
    for base, ending in ((1000, "B"), (1024, "iB"))
    for power, unit in enumerate((f"{letter}{ending}" for letter in "KMGT"), 1)
}
_BY_LOWER: dict[str, int] = {unit.lower(): factor for unit, factor in _UNITS.items()}
_PATTERN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")

WORKER_LEAST = 40_000_000
"""The least limit of a worker's memory, in bytes: one whose coroutines run holds 30 MB."""


def bytes_of(amount: str | int) -> int:
    """How many bytes ``"512MB"``, ``"1.5GiB"`` or a plain number are.

    Raises:
        ValueError: not an amount; says how to write one.
    """
    match = _PATTERN.fullmatch(str(amount))
    factor = _BY_LOWER.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f'{amount!r} is not an amount of memory: write "512MB", "2GiB" or bytes')
    return round(float(match[1]) * factor)


def worker_limit(amount: str | int) -> int:
    """How many bytes a worker process may hold; 0 for no limit.

    Raises:
        ValueError: not an amount, or less than a worker needs to start.
    """
    limit = bytes_of(amount)
    if 0 < limit < WORKER_LEAST:
        raise ValueError(f"a worker needs at least {shown(WORKER_LEAST)}, and {amount} is less")
    return limit


def shown(amount: int) -> str:
    """Bytes in whole megabytes, for people."""
    return f"{amount / 1_000_000:.0f} MB"
