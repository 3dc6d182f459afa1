"""Taps on connections that ZeroMQ holds."""

import os
import tempfile

import pytest

from mesh.runtime.taps import Tap


def next_descriptor() -> int:
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


def test_a_number_that_a_file_was_given_meanwhile_costs_no_descriptor() -> None:
    with tempfile.TemporaryFile() as file:
        before = next_descriptor()
        for _ in range(3):
            with pytest.raises(OSError, match="non-socket"):
                Tap(file.fileno())
        assert next_descriptor() == before
