"""Long messages in chunks: whole or not at all, whatever the network does to the chunks."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core import bulk, bulk_traffic
from mesh.core.bulk import (
    CHUNK_BYTES,
    OUTGOING_LIMIT,
    STALLED_SESSIONS_LIMIT,
    WINDOW,
    Chunk,
    Incoming,
    Outgoing,
)
from mesh.core.bulk_traffic import BulkTraffic
from protocols.wire import BULK_LIMIT


def carry(outgoing: Outgoing, incoming: Incoming, drop: set[int] | None = None) -> list[bytes]:
    """Carries chunks and credits to and fro until nothing moves; drops the numbered chunks."""
    whole: list[bytes] = []
    count = 0
    while chunks := outgoing.chunks(0):
        for chunk in chunks:
            count += 1
            if drop and count in drop:
                continue
            message, credit = incoming.take(chunk)
            if message is not None:
                whole.append(message)
            if credit is not None:
                outgoing.credit(credit, 0)
    return whole


def test_long_messages_arrive_whole_and_in_order() -> None:
    outgoing, incoming = Outgoing(1), Incoming()
    messages = [random.Random(n).randbytes(n * 300_000 + 1) for n in range(1, 6)]
    for message in messages:
        assert outgoing.offer(message)
    assert carry(outgoing, incoming) == messages


def test_no_more_than_a_window_leaves_without_credit() -> None:
    outgoing = Outgoing(1)
    outgoing.offer(bytes(4 * WINDOW))
    sent = sum(len(chunk.data) for chunk in outgoing.chunks(0))
    assert WINDOW <= sent < WINDOW + CHUNK_BYTES
    assert outgoing.chunks(0) == []


def test_a_message_that_lost_a_chunk_is_dropped_and_the_next_one_arrives() -> None:
    outgoing, incoming = Outgoing(1), Incoming()
    outgoing.offer(bytes(200_000))
    outgoing.offer(b"x" * 200_000)
    assert carry(outgoing, incoming, drop={2}) == [b"x" * 200_000]


def test_a_new_session_sends_the_message_under_way_again() -> None:
    outgoing, incoming = Outgoing(1), Incoming()
    outgoing.offer(bytes(3 * WINDOW))
    for chunk in outgoing.chunks(0):
        incoming.take(chunk)
    outgoing.restart()
    assert carry(outgoing, incoming) == [bytes(3 * WINDOW)]


def test_chunks_of_an_old_session_are_ignored() -> None:
    incoming = Incoming()
    incoming.take(Chunk(5, 0, 0, 0, b"new"))
    assert incoming.take(Chunk(4, 0, 0, 0, b"old")) == (None, None)


def test_a_queue_that_nobody_takes_is_dropped_in_the_end() -> None:
    outgoing = Outgoing(1)
    outgoing.offer(bytes(3 * WINDOW))
    for _ in range(STALLED_SESSIONS_LIMIT):
        assert outgoing.chunks(0)
        assert outgoing.stalls_at is not None
        outgoing.stall()
    assert outgoing.chunks(0) == []
    assert outgoing.stalls_at is None


def test_what_waits_for_one_peer_is_bounded() -> None:
    outgoing = Outgoing(1)
    message = bytes(BULK_LIMIT)
    taken = 0
    while outgoing.offer(message):
        taken += 1
    assert taken == OUTGOING_LIMIT // BULK_LIMIT


def test_a_message_over_the_limit_is_not_put_together() -> None:
    incoming = Incoming()
    whole, _ = incoming.take(Chunk(1, 0, 0, BULK_LIMIT, b"x"))
    assert whole is None
    whole, _ = incoming.take(Chunk(1, 1, 1, 0, b"y"))
    assert whole is None


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 400_000), min_size=1, max_size=6),
    drop=st.sets(st.integers(1, 30), max_size=4),
)
def test_what_arrives_was_sent_whole_in_order(sizes: list[int], drop: set[int]) -> None:
    outgoing, incoming = Outgoing(1), Incoming()
    messages = [random.Random(n).randbytes(size) for n, size in enumerate(sizes)]
    for message in messages:
        outgoing.offer(message)
    arrived = carry(outgoing, incoming, drop)
    remaining = iter(messages)
    assert all(any(message == sent for sent in remaining) for message in arrived)


@pytest.mark.parametrize("piece", [b"", b"xy"])
def test_a_liar_that_sends_tiny_chunks_costs_no_more_memory_than_bytes(piece: bytes) -> None:
    incoming = Incoming()
    count = 50_000
    tracemalloc.start()
    try:
        for n in range(count):
            offset = n * len(piece)
            incoming.take(Chunk(1, offset, offset, 1_000_000, piece))
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    # Of this module's lines only: another thread of the test run may allocate too.
    mine = snapshot.filter_traces([tracemalloc.Filter(True, bulk.__file__)])
    held = sum(trace.size for trace in mine.traces)
    assert held < 2 * count * len(piece) + 10_000


def sent_to(traffic: BulkTraffic, peer: bytes, message: bytes) -> list[Chunk]:
    """The chunks that leave for a peer at once."""
    traffic.offer(peer, message)
    return [chunk for to, chunks in traffic.take(0) for chunk in chunks if to == peer]


def test_a_peer_that_is_gone_leaves_nothing_behind_and_is_understood_when_it_is_back() -> None:
    traffic, theirs = BulkTraffic(boot=1), Incoming()
    for _ in range(3):
        for number in range(100):
            traffic.offer(number.to_bytes(2, "big"), bytes(100_000))
        (chunk, *_), message = sent_to(traffic, b"anna", b"x" * 1000), b"x" * 1000
        assert theirs.take(chunk)[0] == message
        traffic.restart(b"anna")
        for number in range(100):
            traffic.forget(number.to_bytes(2, "big"))
        traffic.forget(b"anna")
        assert traffic.peers == 0


def test_peers_that_long_messages_are_sent_to_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bulk_traffic, "PEERS_LIMIT", 2)
    traffic = BulkTraffic(boot=1)
    assert [len(sent_to(traffic, peer, b"x")) for peer in (b"a", b"b", b"c", b"a")] == [1, 1, 0, 1]
