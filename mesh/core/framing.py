"""Frames of one outgoing link: epoch, sequence, and as many messages as fit."""

from collections.abc import Iterable

from protocols.wire import FRAME_LIMIT, MESSAGES_PER_FRAME_LIMIT, Frame, encode_frame

FRAME_TARGET = FRAME_LIMIT // 2
"""Bytes after which a frame is closed: one message on top still fits the limit."""
EPOCHS_REMEMBERED = 4


class FrameWriter:
    """The sending side of one link. A new link has a new writer, with a new random epoch."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._sequence = 0

    def frames(self, messages: Iterable[bytes]) -> list[bytes]:
        """Puts messages, in order, into as few frames as their size allows."""
        made: list[bytes] = []
        batch: list[bytes] = []
        size = 0
        for message in messages:
            if batch and (
                size + len(message) > FRAME_TARGET or len(batch) >= MESSAGES_PER_FRAME_LIMIT
            ):
                made.append(self._frame(batch))
                batch, size = [], 0
            batch.append(message)
            size += len(message)
        if batch:
            made.append(self._frame(batch))
        return made

    def _frame(self, batch: list[bytes]) -> bytes:
        self._sequence += 1
        return encode_frame(self._epoch, self._sequence, batch)


class FrameOrder:
    """The receiving side: which frames of a peer are new. Late and repeated ones are not."""

    def __init__(self) -> None:
        self._epochs: list[tuple[int, int]] = []
        self.epoch: int | None = None
        """The epoch of the newest link; None before the first frame."""

    def is_new(self, frame: Frame) -> bool:
        """Whether this frame comes after all taken before in its epoch; remembers it."""
        if frame.epoch == self.epoch:
            if frame.sequence <= self._epochs[-1][1]:
                return False
            self._epochs[-1] = (frame.epoch, frame.sequence)
            return True
        for index, (epoch, newest) in enumerate(self._epochs):
            if epoch == frame.epoch:
                if frame.sequence <= newest:
                    return False
                self._epochs[index] = (epoch, frame.sequence)
                return True
        self._epochs.append((frame.epoch, frame.sequence))
        self.epoch = frame.epoch
        del self._epochs[:-EPOCHS_REMEMBERED]
        return True
