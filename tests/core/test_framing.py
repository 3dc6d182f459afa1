"""Frames: nothing is lost between messages and frames, and nothing is taken twice."""

from hypothesis import given
from hypothesis import strategies as st

from mesh.core.framing import EPOCHS_REMEMBERED, FrameOrder, FrameWriter
from protocols.wire import FRAME_LIMIT, decode_frame, encode


@given(st.lists(st.integers(0, 60_000), max_size=60))
def test_messages_come_out_of_frames_as_they_went_in(sizes: list[int]) -> None:
    messages = [encode(bytes(size)) for size in sizes]
    frames = FrameWriter(7).frames(messages)
    assert all(len(frame) <= FRAME_LIMIT for frame in frames)
    decoded = [decode_frame(frame) for frame in frames]
    assert [bytes(raw) for frame in decoded for raw in frame.messages] == messages
    assert [frame.sequence for frame in decoded] == list(range(1, len(frames) + 1))


def test_a_repeated_or_late_frame_is_not_new() -> None:
    first, second = (decode_frame(f) for f in (*_one(1), *_one(1, skip=1)))
    order = FrameOrder()
    assert order.is_new(second)
    assert not order.is_new(second)
    assert not order.is_new(first)


def test_a_new_epoch_is_new_and_an_old_one_stays_old() -> None:
    order = FrameOrder()
    frames = [decode_frame(_one(epoch)[0]) for epoch in range(EPOCHS_REMEMBERED)]
    assert all(order.is_new(frame) for frame in frames)
    assert not any(order.is_new(frame) for frame in frames)


def _one(epoch: int, skip: int = 0) -> list[bytes]:
    writer = FrameWriter(epoch)
    for _ in range(skip):
        writer.frames([encode("skipped")])
    return writer.frames([encode("a message")])
