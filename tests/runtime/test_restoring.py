"""A value that was taken in can be read back, however deeply it is nested."""

import sys

import msgspec
import pytest

from mesh.core.records import decode_entries, encode_entries
from mesh.runtime.restoring import reading_back


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A record with a value that was passed through undecoded."""

    values: tuple[msgspec.Raw, ...]


def test_what_was_taken_in_at_the_limit_of_nesting_is_read_back_at_restart() -> None:
    depth = sys.getrecursionlimit() - 1
    value = msgspec.Raw(b"\x91" * depth + b"\x01")
    record = encode_entries([("tasks", Kept((value,)))])
    with pytest.raises(RecursionError):
        decode_entries(record)
    before = sys.getrecursionlimit()
    with reading_back():
        (entry,) = decode_entries(record)
    assert sys.getrecursionlimit() == before
    assert memoryview(entry.record).nbytes > depth
