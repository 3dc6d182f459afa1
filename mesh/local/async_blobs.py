"""Blobs as coroutines use them: as `blobs.Blobs`, and every call is awaited.

Files are read and written on the loop, a mebibyte at a time.
"""

import os
from collections.abc import Awaitable, Callable
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


class AsyncBlobs:
    """Blobs, for coroutines: as `Blobs`, and every call is awaited."""

    def __init__(self, ask: Callable[[BoardAsked], Awaitable[Any]]) -> None:
        """Takes what sends a request and awaits its answer."""
        self._ask = ask

    async def put(self, content: Content) -> BlobRef:
        """See `Blobs.put`."""
        ref: BlobRef = await self._follow(put_steps(content))
        return ref

    async def get(self, ref: RefLike, *, wait: float = PATIENCE_S) -> bytes:
        """See `Blobs.get`."""
        whole = bytearray()
        await self._follow(get_steps(ref, whole.extend, wait, None))
        return bytes(whole)

    async def save(
        self,
        ref: RefLike,
        path: str | os.PathLike[str],
        *,
        wait: float = PATIENCE_S,
        progress: Progress | None = None,
    ) -> int:
        """See `Blobs.save`."""
        target = Path(path)
        part = target.with_name(f"{target.name}.part")
        try:
            with part.open("wb") as file:
                size: int = await self._follow(get_steps(ref, file.write, wait, progress))
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return size

    async def ls(self) -> BlobUse:
        """See `Blobs.ls`."""
        use: BlobUse = await self._ask(ls_asked())
        return use

    async def rm(self, ref: RefLike) -> bool:
        """See `Blobs.rm`."""
        return bool(await self._ask(rm_asked(ref)))

    async def _follow(self, steps: Steps) -> Any:
        answer: Any = None
        refused: Refused | None = None
        try:
            while True:
                asked = steps.throw(refused) if refused is not None else steps.send(answer)
                refused = None
                try:
                    answer = await self._ask(asked)
                except Refused as error:
                    refused = error
        except StopIteration as end:
            return end.value
        finally:
            steps.close()
