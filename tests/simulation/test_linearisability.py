"""The checker of linearisable histories, on histories that are and that are not."""

import pytest

from simulations.linearisability import Operation, is_linearisable


def write(began: int, ended: int, value: bytes, read: bytes | None = None) -> Operation:
    return Operation(began, ended, is_write=True, wrote=value, read=read)


def read(began: int, ended: int, value: bytes | None) -> Operation:
    return Operation(began, ended, read=value)


def swap(began: int, ended: int, expected: bytes | None, value: bytes, done: bool) -> Operation:
    held = expected if done else b"other"
    return Operation(began, ended, True, True, expected, value, held, done)


LEGAL = {
    "nothing": [],
    "a read of nothing": [read(0, 1, None)],
    "one after another": [write(0, 1, b"a"), read(2, 3, b"a")],
    "a read beside a write sees either": [write(0, 9, b"a"), read(1, 2, None), read(3, 4, b"a")],
    "two writes at once": [write(0, 9, b"a"), write(0, 9, b"b", b"a"), read(10, 11, b"b")],
    "a swap of nothing": [swap(0, 1, None, b"a", True), read(2, 3, b"a")],
    "a write without an answer may have been": [
        Operation(0, is_write=True, wrote=b"a"), read(5, 6, b"a")
    ],
    "a write without an answer may never be": [
        Operation(0, is_write=True, wrote=b"a"), read(5, 6, None)
    ],
}  # fmt: skip
ILLEGAL = {
    "a read of what nobody wrote": [read(0, 1, b"a")],
    "a stale read": [write(0, 1, b"a"), read(2, 3, None)],
    "a read that goes back": [write(0, 9, b"a"), read(1, 2, b"a"), read(3, 4, None)],
    "two swaps of one value": [swap(0, 9, None, b"a", True), swap(0, 9, None, b"b", True)],
    "a lost write": [write(0, 1, b"a"), write(2, 3, b"b", b"a"), read(4, 5, b"a")],
    "a swap that should have been": [swap(0, 1, None, b"a", False)],
    "a write before it was asked": [
        read(0, 1, b"a"), Operation(5, is_write=True, wrote=b"a")
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", LEGAL.values(), ids=LEGAL)
def test_a_legal_history_is_linearisable(history: list[Operation]) -> None:
    assert is_linearisable(history)


@pytest.mark.parametrize("history", ILLEGAL.values(), ids=ILLEGAL)
def test_an_illegal_history_is_not(history: list[Operation]) -> None:
    assert not is_linearisable(history)
