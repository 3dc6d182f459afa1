"""Amounts of memory as people write them."""

import pytest

from mesh.agent import Agent
from mesh.local.sizes import bytes_of


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("512MB", 512_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("2kib", 2048),
        ("7B", 7),
        ("0", 0),
        (4096, 4096),
    ],
)
def test_an_amount_is_a_number_with_a_unit(text: str | int, count: int) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["", "MB", "-1MB", "1 mile", "1e9", "12 MBs", True])
def test_anything_else_is_not(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory"):
        bytes_of(text)


def test_an_agent_may_not_have_less_than_its_worker_needs_to_start() -> None:
    with pytest.raises(ValueError, match="at least 40 MB, and 10MB"):
        Agent("tiny", memory="10MB")
