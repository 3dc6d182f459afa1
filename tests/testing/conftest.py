"""What tests of the simulated mesh share."""

import pytest

from tests.testing.agents import diary


@pytest.fixture(autouse=True)
def _an_empty_diary() -> None:
    diary.clear()
