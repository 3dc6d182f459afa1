"""What is asked of a peer for blobs, and what its answers mean. No I/O.

`blobs` and `async_blobs` are what people use; both follow the steps that are made here:
a step is a request, and is sent the answer to it.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mesh.local.board_requests import BoardAsked
from mesh.local.errors import Refused

PIECE = 1024 * 1024
"""Bytes put and read at once."""
WAIT_S = 5.0
"""How long a peer is asked to wait for a blob, before it is asked again."""
PATIENCE_S = 60.0
BLOB_LIMIT = 64 * 1024 * 1024
"""Bytes in one blob."""
AGAIN = ("UnknownBlob", "Damaged")
"""Refusals of a read after which the blob is fetched once more."""
FETCHES_LIMIT = 4
LOST_PUT = ("UnknownUpload", "WrongOffset", "OutcomeUnknown")
"""Refusals of a piece after which all of it is put once more, perhaps at another peer."""
PUTS_LIMIT = 3

Steps = Generator[BoardAsked, Any, Any]
Content = bytes | bytearray | memoryview | str | os.PathLike[str]
Progress = Callable[[int, int], None]


class BlobRef(msgspec.Struct, frozen=True):
    """A blob, as it travels in inputs, results and on the blackboard.

    Attributes:
        blob: its name, 64 hexadecimal digits, a hash of its bytes.
        size: in bytes; 0 where it is not known.
        at: the id of a peer that has it; "" asks all.
    """

    blob: str
    size: int = 0
    at: str = ""


RefLike = BlobRef | Mapping[str, Any] | str


class BlobRow(msgspec.Struct, frozen=True):
    """A blob on a peer's disk. One that is not `kept` is a copy that goes when it must."""

    blob: str
    size: int
    kept: bool


class BlobUse(msgspec.Struct, frozen=True):
    """What a peer holds, and how many bytes of its quota that takes."""

    blobs: list[BlobRow]
    used: int
    quota: int


def ref_of(given: RefLike) -> BlobRef:
    """A reference, however it was given.

    Raises:
        TypeError: it is none.
    """
    if isinstance(given, str):
        return BlobRef(given)
    try:
        return msgspec.convert(given, BlobRef, from_attributes=True)
    except msgspec.ValidationError as error:
        raise TypeError(f"not a reference to a blob: {error}") from None


def put_steps(content: Content) -> Steps:
    """Puts bytes, or the file at a path; ends with the reference.

    Raises:
        Refused: TooLarge, before anything is sent where the size is known.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        view = memoryview(content).cast("B")
        starts = range(0, len(view), PIECE)
        ref = yield from _put(lambda: (bytes(view[at : at + PIECE]) for at in starts), len(view))
        return ref
    with Path(content).open("rb") as file:
        ref = yield from _put(lambda: _read(file), os.fstat(file.fileno()).st_size)
        return ref


def _put(pieces: Callable[[], Iterator[bytes]], size: int) -> Steps:
    if size > BLOB_LIMIT:
        raise Refused(
            "TooLarge",
            f"a blob has at most {BLOB_LIMIT // 1024**2} MiB ({BLOB_LIMIT} bytes), "
            f"and this has {size}: split it",
        )
    for attempt in range(1, PUTS_LIMIT + 1):
        try:
            return (yield from _put_once(pieces(), size))
        except Refused as refused:
            if refused.kind not in LOST_PUT or attempt == PUTS_LIMIT:
                raise
    raise AssertionError("the last attempt returns or raises")


def _put_once(pieces: Iterator[bytes], size: int) -> Steps:
    upload, offset, piece = 0, 0, b""
    for following in pieces:
        if piece:
            answer = yield _piece(upload, offset, piece, size, is_last=False)
            upload, offset = answer["upload"], answer["offset"]
        piece = following
    return ref_of((yield _piece(upload, offset, piece, size, is_last=True)))


def _piece(upload: int, offset: int, data: bytes, size: int, *, is_last: bool) -> BoardAsked:
    arguments = {"upload": upload, "offset": offset, "data": data, "size": size, "last": is_last}
    # Where a later piece was lost with its connection, all begins anew: see `_put`.
    return BoardAsked("blob.put", arguments, _same, is_repeatable=not upload)


def _read(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(PIECE):
        yield piece


def get_steps(
    given: RefLike, write: Callable[[bytes], object], wait: float, progress: Progress | None
) -> Steps:
    """Has the peer fetch a blob, and hands its bytes to `write` in order; ends with their number.

    Raises:
        Refused: NoHolder, QuotaExceeded, DiskFault: it cannot be had.
        TimeoutError: not within `wait` seconds.
    """
    ref = ref_of(given)
    until = time.monotonic() + wait
    done = 0
    for attempt in range(1, FETCHES_LIMIT + 1):
        size = yield from _fetched(ref, until, wait, progress)
        try:
            while done < size:
                data = yield _reading(ref.blob, done)
                write(data)
                done += len(data)
        except Refused as refused:
            if refused.kind not in AGAIN or attempt == FETCHES_LIMIT:
                raise
        else:
            return done
    raise AssertionError("the last attempt returns or raises")


def _fetched(ref: BlobRef, until: float, wait: float, progress: Progress | None) -> Steps:
    while True:
        left = until - time.monotonic()
        wait_ms = int(1000 * min(WAIT_S if progress is None else 0.2, max(0.0, left)))
        arguments = {"blob": ref.blob, "at": ref.at, "wait_ms": wait_ms}
        answer = yield BoardAsked("blob.fetch", arguments, _same)
        if progress is not None:
            progress(answer["have"], answer["size"])
        if answer["here"]:
            return answer["size"]
        if left <= 0:
            raise TimeoutError(
                f"blob {ref.blob[:16]}… has not come within {wait:g} s "
                f"({answer['have']} of {answer['size'] or 'unknown'} bytes); asking again goes on"
            )


def _reading(blob: str, offset: int) -> BoardAsked:
    arguments = {"blob": blob, "offset": offset, "bytes": PIECE}
    return BoardAsked("blob.read", arguments, lambda answer: answer["data"])


def ls_asked() -> BoardAsked:
    """What the peer holds."""
    return BoardAsked("blob.ls", {}, lambda answer: msgspec.convert(answer, BlobUse))


def rm_asked(given: RefLike) -> BoardAsked:
    """Removes a blob from the peer's disk; False where something else needs it there."""
    arguments = {"blob": ref_of(given).blob}
    return BoardAsked("blob.rm", arguments, lambda answer: bool(answer["removed"]), False)


def _same(answer: Any) -> Any:
    return answer
