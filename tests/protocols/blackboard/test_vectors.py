"""How far a chain is known: a prefix, and spans beyond it."""

import random

import pytest

from protocols.blackboard.vectors import (
    SPANS_LIMIT,
    Spans,
    covers,
    decode_vector,
    encode_vector,
    least,
)
from protocols.errors import Malformed

ONE, OTHER = (bytes(32), 1), (bytes(31) + b"1", 7)


def test_spans_hold_exactly_what_was_added() -> None:
    rng = random.Random(1)
    for _ in range(300):
        spans, model = Spans(), set[int]()
        for _ in range(rng.randint(1, 30)):
            first = rng.randint(1, 40)
            last = first + rng.randint(0, 5)
            spans.add(first, last)
            model |= set(range(first, last + 1))
            assert {number for number in range(1, 60) if number in spans} == model
            prefix = next(number for number in range(60) if number + 1 not in model)
            assert spans.prefix == prefix
            assert spans.last == max(model)
            missing = [n for low, high in spans.missing(3, 30) for n in range(low, high + 1)]
            assert missing == [n for n in range(3, 31) if n not in model]


def test_spans_that_touch_become_one() -> None:
    spans = Spans()
    spans.add(3, 4)
    spans.add(7, 8)
    spans.add(5, 6)
    assert spans.beyond == [(3, 8)]


def test_a_chain_in_too_many_pieces_is_full() -> None:
    spans = Spans()
    for piece in range(SPANS_LIMIT):
        assert not spans.is_full
        spans.add(3 + 2 * piece, 3 + 2 * piece)
    assert spans.is_full


def test_a_cursor_says_what_was_put_in() -> None:
    assert decode_vector(encode_vector({ONE: 3, OTHER: 9})) == {ONE: 3, OTHER: 9}
    assert encode_vector({ONE: 3, OTHER: 9}) == encode_vector({OTHER: 9, ONE: 3})


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x93\xa1a\x01\x01", b"\x91" * 2000])
def test_other_bytes_are_no_cursor(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_vector(data)


def test_the_least_of_vectors_is_known_to_all() -> None:
    assert least([{ONE: 3, OTHER: 2}, {ONE: 5}]) == {ONE: 3}
    assert least([]) == {}


def test_a_vector_covers_what_it_knows_as_much_of() -> None:
    assert covers({ONE: 3, OTHER: 1}, {ONE: 3})
    assert not covers({ONE: 3}, {ONE: 3, OTHER: 1})
