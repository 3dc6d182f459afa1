"""Blobs as scripts and plain handlers use them: up to 64 MiB of bytes, by their content.

A blob is put at the peer that is asked, and stays there until it is removed. Whoever has
the reference gets it from any peer: that one fetches it, piece by piece, from whichever
peers have it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mesh.local.blob_requests import (
    PATIENCE_S,
    BlobRef,
    BlobUse,
    Content,
    Progress,
    RefLike,
    Steps,
    get_steps,
    ls_asked,
    put_steps,
    rm_asked,
)
from mesh.local.board_requests import BoardAsked
from mesh.local.errors import Refused


class Blobs:
    """Blobs, for callers that wait."""

    def __init__(self, ask: Callable[[BoardAsked], Any]) -> None:
        """Takes what sends a request and waits for its answer."""
        self._ask = ask

    def put(self, content: Content) -> BlobRef:
        """Puts bytes, or the file at a path (a `str` is a path). They are on the disk on return.

        Raises:
            Refused: TooLarge (over 64 MiB), QuotaExceeded, DiskFault.
            OSError: the file cannot be read.
        """
        ref: BlobRef = self._follow(put_steps(content))
        return ref

    def get(self, ref: RefLike, *, wait: float = PATIENCE_S) -> bytes:
        """The bytes of a blob, wherever it lies.

        Args:
            ref: what `put` gave, or a dict of it, or the blob's name.
            wait: seconds; what came until then stays, and the next call goes on from it.

        Raises:
            Refused: NoHolder (no peer that is there has it), QuotaExceeded, DiskFault.
            TimeoutError: it has not come in time, such as while the peer that has it is away.
        """
        whole = bytearray()
        self._follow(get_steps(ref, whole.extend, wait, None))
        return bytes(whole)

    def save(
        self,
        ref: RefLike,
        path: str | os.PathLike[str],
        *,
        wait: float = PATIENCE_S,
        progress: Progress | None = None,
    ) -> int:
        """Writes a blob to a file, which is there only when it is whole; its size in bytes.

        Raises:
            Refused, TimeoutError: as `get`.
            OSError: the file cannot be written.
        """
        target = Path(path)
        part = target.with_name(f"{target.name}.part")
        try:
            with part.open("wb") as file:
                size: int = self._follow(get_steps(ref, file.write, wait, progress))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return size

    def ls(self) -> BlobUse:
        """What the peer that is asked holds."""
        use: BlobUse = self._ask(ls_asked())
        return use

    def rm(self, ref: RefLike) -> bool:
        """Removes a blob where it was put; copies at other peers go by themselves.

        Raises:
            Refused: UnknownBlob.
        """
        return bool(self._ask(rm_asked(ref)))

    def _follow(self, steps: Steps) -> Any:
        answer: Any = None
        refused: Refused | None = None
        try:
            while True:
                asked = steps.throw(refused) if refused is not None else steps.send(answer)
                refused = None
                try:
                    answer = self._ask(asked)
                except Refused as error:
                    refused = error
        except StopIteration as end:
            return end.value
        finally:
            steps.close()
