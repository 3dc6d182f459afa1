"""Where a flight recording lies on disk: segments, rotated and bounded.

One file a segment, ``BOOT-SEGMENT.rec``, mode 0600; the oldest go first when all
together would be over the limit, those of earlier starts included, so that what led
to a crash is still there when the peer is up again.

Writing happens on a thread of its own, because a recording is worth no wait: a disk
that is slow, full or hanging ends the recording, and the peer goes on. Nothing is
synced: what was written survives the process, and may not survive a power cut.

Invariants:
    recording-bounded: all segments of a peer together take at most the limit, and the
        bytes that wait to be written at most `BACKLOG_LIMIT`, each but for one block.
    recording-leaves-room: nothing is written while less than `RESERVE_BYTES` are free,
        so that the journal never finds the disk full of recordings.
"""

import os
import queue
import threading
from pathlib import Path

import msgspec

from mesh.core.recording import MAGIC, framed
from mesh.storage.files import PRIVATE_FILE, make_private_folder
from protocols.errors import MeshError

SUFFIX = ".rec"
BACKLOG_LIMIT = 64 * 1024 * 1024
"""Bytes that may wait for a slow disk before the recording ends."""
RESERVE_BYTES = 256 * 1024 * 1024
"""Free space that a recording leaves to others."""
CLOSE_S = 2.0
"""How long a peer that stops waits for the last blocks."""


class _Segment(msgspec.Struct, frozen=True):
    """A segment begins: its file's name, and its first blocks."""

    name: str
    payloads: tuple[bytes, bytes]
    most: int


class Recorder:
    """Writes the blocks of one peer's recording, on a thread of its own.

    Attributes:
        failure: why nothing is written until the next segment; "" while all is well.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Takes the folder for the segments, made where missing, and the limit in bytes."""
        self.failure = ""
        self._folder = folder
        self._limit = limit
        self._queue: queue.SimpleQueue[_Segment | bytes | None] = queue.SimpleQueue()
        # Each is written by one thread alone, and their difference is the backlog.
        self._given = 0
        self._written = 0
        self._file: int | None = None
        self._index = 0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    # Called by the peer. Nothing here waits.

    @property
    def is_idle(self) -> bool:
        """Whether all that was given is written, or dropped after a failure."""
        return self._given == self._written

    def begin(self, name: str, payloads: tuple[bytes, bytes], most: int) -> None:
        """Begins a segment with these blocks; it will take about `most` bytes."""
        if self.is_idle:
            self.failure = ""
        self._put(_Segment(name, payloads, most))

    def append(self, payload: bytes) -> None:
        """Takes the next block."""
        self._put(payload)

    def close(self) -> None:
        """Writes what waits, unless that takes too long."""
        self._queue.put(None)
        self._thread.join(CLOSE_S)

    def _put(self, item: _Segment | bytes) -> None:
        size, waiting = _size(item), self._given - self._written
        if waiting and waiting + size > BACKLOG_LIMIT:
            self.failure = self.failure or f"the disk is too slow: {waiting} bytes wait for it"
        if not self.failure:
            self._given += size
            self._queue.put(item)

    # On the recorder's own thread.

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if not self.failure:
                try:
                    self._write(item)
                except (OSError, MeshError) as error:
                    self.failure = str(error)
            self._written += _size(item)
        if self._file is not None:
            os.close(self._file)

    def _write(self, item: _Segment | bytes) -> None:
        if isinstance(item, _Segment):
            self._open(item)
            blocks: tuple[bytes, ...] = item.payloads
        else:
            blocks = (item,)
        for payload in blocks:
            self._write_whole(framed(self._index, payload))
            self._index += 1

    def _open(self, segment: _Segment) -> None:
        make_private_folder(self._folder)
        self._make_room(segment.most)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self._folder / (segment.name + SUFFIX), flags, PRIVATE_FILE)
        if self._file is not None:
            os.close(self._file)
        self._file, self._index = file, 0
        self._write_whole(MAGIC)

    def _make_room(self, coming: int) -> None:
        """Removes the oldest segments, so that the next one fits the limit at full length."""
        sizes = {path: path.stat().st_size for path in self._folder.glob(f"*{SUFFIX}")}
        kept = sum(sizes.values())
        for path in sorted(sizes):
            if kept + coming <= self._limit:
                return
            path.unlink()
            kept -= sizes[path]

    def _write_whole(self, data: bytes) -> None:
        assert self._file is not None, "a block before its segment"
        room = os.fstatvfs(self._file)
        if room.f_bavail * room.f_frsize < RESERVE_BYTES + len(data):
            raise MeshError(
                f"less than {RESERVE_BYTES >> 20} MiB are free in {self._folder}: free some "
                "space, then start the peer again"
            )
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]


def _size(item: _Segment | bytes) -> int:
    return len(item) if isinstance(item, bytes) else sum(map(len, item.payloads))
