"""A peer that missed every second word of another: more gaps than a vector can tell of."""

import itertools

import msgspec
import pytest

from protocols.blackboard.events import PeerReset
from protocols.blackboard.messages import Push
from protocols.blackboard.vectors import SPANS_LIMIT, Reach, Spans, is_all_told, reaches_of
from protocols.wire import encode
from tests.protocols.blackboard.boards import Boards, Peer

COUNT = 2 * SPANS_LIMIT + 40
CHAIN = (b"w" * 32, 7)


def gappy(count: int) -> Spans:
    spans = Spans(3)
    for number in range(count):
        spans.add(10 + 2 * number, 10 + 2 * number)
    return spans


def test_a_vector_tells_of_so_many_spans_and_of_the_first() -> None:
    spans = gappy(SPANS_LIMIT + 5)
    (reach,) = reaches_of({CHAIN: spans})
    assert len(reach.beyond) == SPANS_LIMIT
    assert reach.beyond[0] == (10, 10)
    assert msgspec.msgpack.decode(encode(reach), type=Reach) == reach
    assert not is_all_told({CHAIN: spans})
    assert is_all_told({CHAIN: gappy(SPANS_LIMIT - 1)})


def test_what_lengthens_a_span_has_room_where_no_further_one_has() -> None:
    spans = gappy(SPANS_LIMIT)
    assert spans.is_full
    assert spans.adjoins(4)
    assert spans.adjoins(11)
    assert not spans.adjoins(5000)


@pytest.mark.slow
@pytest.mark.parametrize("keys", [COUNT, 30], ids=["all live", "most superseded"])
def test_what_came_in_more_pieces_than_a_vector_tells_of_is_joined_all_the_same(keys: int) -> None:
    boards = Boards(3)
    a, b, _ = boards.peers
    pushes = itertools.count()

    def every_second(sender: Peer, receiver: Peer, message: msgspec.Struct) -> bool:
        return receiver is b and isinstance(message, Push) and next(pushes) % 2 == 0

    boards.loses = every_second
    for number in range(COUNT):
        boards.put(a, f"key-{number % keys}", number)
    assert len(b.live()) < len(a.live()) or keys < COUNT
    boards.loses = lambda sender, receiver, message: False
    boards.wait(30)
    assert boards.are_equal
    assert [boards.value(b, f"key-{n % keys}") for n in range(COUNT - keys, COUNT)] == list(
        range(COUNT - keys, COUNT)
    )
    assert not any(peer.blamed for peer in boards.peers)
    assert not any(isinstance(each, PeerReset) for peer in boards.peers for each in peer.told)
