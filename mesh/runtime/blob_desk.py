"""The blobs of a peer: their files, and the part of the local protocol that is about them.

Putting and reading go in pieces, so that no message is long and nobody else waits. What
is put is synced, then recorded, then answered; it stays until it is removed. A fetch goes
on as long as somebody asks for it: where all that have the blob are away, it is tried
again until one is back.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import trio

from mesh.core.peer import PeerCore
from mesh.runtime.disk_line import DiskLine, Work
from mesh.runtime.local_requests import Driver
from mesh.storage.blobs import BlobStore, Upload
from protocols.blobs import commands, events, jobs
from protocols.blobs.naming import HASH_BYTES
from protocols.errors import Refused
from protocols.identity import text_id
from protocols.machine import SECOND_NS

PUT = "put"
"""Who needs a blob that was put here: whoever put it, until it is removed."""
JOBS = (jobs.OpenBlob, jobs.WriteChunk, jobs.CloseBlob, jobs.ReadChunk, jobs.DropBlob)
PIECE_LIMIT = 4 * 1024 * 1024
"""Bytes in one request or answer."""
UPLOADS_LIMIT = 16
"""Blobs that are being put at once."""
UPLOAD_IDLE_S = 60.0
SWEEP_S = 5.0
WAIT_LIMIT_MS = 20_000
ASKED_FOR_S = 5.0
"""A fetch that nobody has asked for during so long, on top of their wait, is not begun again."""
AGAIN_S = 0.5
BUSY_RETRY_NS = SECOND_NS
AWAY = ("suspect", "dead")


class _Put(msgspec.Struct):
    upload: int = 0
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    data: Annotated[bytes, msgspec.Meta(max_length=PIECE_LIMIT)] = b""
    """Or base64 text."""
    size: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of all of it, where it is known."""
    last: bool = False


class _Fetch(msgspec.Struct):
    blob: str
    at: str = ""
    """A peer that has it, by its id."""
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=WAIT_LIMIT_MS)] = 10_000


class _Read(msgspec.Struct):
    blob: str
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    bytes: Annotated[int, msgspec.Meta(ge=0, le=PIECE_LIMIT)] = 1024 * 1024


class _Blob(msgspec.Struct):
    blob: str


class _Uploading:
    """A blob that a client is putting."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.touched_at = trio.current_time()
        self.taken = 0
        self.is_busy = False


class _Fetching:
    """A blob that somebody waits for. `fault` is why it cannot be had."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.fault: Refused | None = None
        self.asked_until = 0.0


class BlobDesk:
    """Answers what clients and handlers ask of blobs, and does the core's work on their files."""

    def __init__(
        self,
        core: PeerCore,
        driver: Driver,
        find_peer: Callable[[str], bytes | None],
        folder: Path,
    ) -> None:
        """Takes the core, the way to it, who knows peers, and the folder of the files."""
        self._core = core
        self._driver = driver
        self._find_peer = find_peer
        self._store = BlobStore(folder)
        self._line = DiskLine(driver.flush)
        self._number = 0
        self._beginning = 0
        self._uploads: dict[int, _Uploading] = {}
        self._fetches: dict[bytes, _Fetching] = {}
        self._ends: dict[int, Callable[[msgspec.Struct], None]] = {}
        self._nursery: trio.Nursery | None = None

    def verbs(self) -> dict[str, Callable[[Any], Any]]:
        """The verbs of ``ask``, and what answers them."""
        return {
            "blob.put": self.put,
            "blob.fetch": self.fetch,
            "blob.read": self.read,
            "blob.ls": self.ls,
            "blob.rm": self.remove,
        }

    async def run(self) -> None:
        """Works until cancelled."""
        self._store.keep_only([blob for blob, _, _ in self._core.blobs.listed()])
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._line.run)
                while True:
                    await trio.sleep(SWEEP_S)
                    self._sweep()
        finally:
            self._store.close()

    # The core's side.

    def execute(self, job: msgspec.Struct) -> bool:
        """Does a job of blobs, soon; False where it is another job."""
        if not isinstance(job, JOBS):
            return False
        label = job.blob if isinstance(job, jobs.DropBlob) else None
        self._line.add(Work(lambda: self._store.perform(job), self._performed, label))
        return True

    def _performed(self, end: msgspec.Struct | None, error: BaseException | None) -> None:
        if error is not None:
            raise error
        if end is not None:
            self._driver.submit(end)

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        if isinstance(event, events.BlobKept | events.BlobFetched | events.BlobNotFetched):
            ended = self._ends.pop(event.number, None)
            if ended is not None:
                ended(event)

    # Putting.

    async def put(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.put``: takes a piece; with the last one the blob is kept."""
        wanted = _converted(arguments, _Put)
        data = wanted.data
        number, uploading = await self._uploading(wanted)
        if uploading.is_busy or wanted.offset != uploading.taken:
            raise Refused(
                "WrongOffset", f"{uploading.taken} bytes of this blob are here: go on from there"
            )
        size = max(wanted.size, uploading.taken + len(data))
        uploading.is_busy = True
        try:
            self._core.blobs.refuse_unfit(size)
            await self._disk(lambda: uploading.upload.write(data))
            uploading.taken += len(data)
            uploading.touched_at = trio.current_time()
            if not wanted.last:
                return {"upload": number, "offset": uploading.taken}
            return await self._finish(number, uploading)
        except Refused:
            await self._abandon(number)
            raise
        finally:
            uploading.is_busy = False

    async def _uploading(self, wanted: _Put) -> tuple[int, _Uploading]:
        if wanted.upload:
            known = self._uploads.get(wanted.upload)
            if known is None:
                raise Refused("UnknownUpload", "no such blob is being put here: begin again")
            return wanted.upload, known
        self._core.blobs.refuse_unfit(wanted.size)
        # Those that wait for the disk are counted too: else many could come at once.
        if len(self._uploads) + self._beginning >= UPLOADS_LIMIT:
            text = f"{UPLOADS_LIMIT} blobs are being put here already"
            raise Refused("Busy", text, BUSY_RETRY_NS)
        self._beginning += 1
        try:
            uploading = _Uploading(await self._disk(self._store.upload))
        finally:
            self._beginning -= 1
        number = self._next()
        self._uploads[number] = uploading
        return number, uploading

    async def _finish(self, number: int, uploading: _Uploading) -> dict[str, Any]:
        blob, index = await self._disk(uploading.upload.finish)
        del self._uploads[number]
        # Nobody may remove what was just put, for having dropped an older copy of it.
        self._line.drop(blob)
        command = commands.KeepBlob(self._next(), blob, index.size, index.hashes, PUT)
        kept = trio.Event()
        self._ends[command.number] = lambda _: kept.set()
        try:
            self._driver.submit(command)
        except Refused:
            self._ends.pop(command.number)
            if not self._core.blobs.has(blob):
                await self._disk(lambda: self._store.drop(blob))
            raise
        self._driver.flush()
        await kept.wait()
        return {"blob": blob.hex(), "size": index.size, "at": text_id(self._core.peer)}

    async def _abandon(self, number: int) -> None:
        uploading = self._uploads.pop(number, None)
        if uploading is not None:
            await self._line.do(uploading.upload.abandon)

    def _sweep(self) -> None:
        """Removes what clients began to put and left."""
        assert self._nursery is not None, "swept while it runs"
        before = trio.current_time() - UPLOAD_IDLE_S
        for number, uploading in list(self._uploads.items()):
            if uploading.touched_at < before and not uploading.is_busy:
                self._nursery.start_soon(self._abandon, number)

    # Fetching and reading.

    async def fetch(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.fetch``: when the blob is here, cannot be had, or the time is up."""
        wanted = _converted(arguments, _Fetch)
        blob = _name(wanted.blob)
        index = self._core.blobs.index(blob)
        if index is None or blob in self._fetches:
            await self._wait_for(blob, wanted)
            index = self._core.blobs.index(blob)
        else:
            self._driver.submit(commands.UseBlob(blob))
        have, size = (index.size,) * 2 if index is not None else self._core.blobs.arrived(blob)
        return {"blob": wanted.blob, "here": index is not None, "have": have, "size": size}

    async def _wait_for(self, blob: bytes, wanted: _Fetch) -> None:
        assert self._nursery is not None, "clients come while it runs"
        fetching = self._fetches.get(blob)
        if fetching is None:
            fetching = self._fetches[blob] = _Fetching()
            self._nursery.start_soon(self._fetch, blob, fetching, wanted.at)
        wait_s = wanted.wait_ms / 1000
        until = trio.current_time() + wait_s + ASKED_FOR_S
        fetching.asked_until = max(fetching.asked_until, until)
        with trio.move_on_after(wait_s):
            await fetching.over.wait()
        if fetching.fault is not None:
            raise fetching.fault

    async def _fetch(self, blob: bytes, fetching: _Fetching, at: str) -> None:
        """Has the core fetch it, again while nobody that is there has it and somebody is away."""
        try:
            while True:
                end = await self._fetched(blob, at)
                if end is None:
                    return
                if not self._may_come(end.kind) or trio.current_time() >= fetching.asked_until:
                    fetching.fault = end
                    return
                await trio.sleep(AGAIN_S)
        finally:
            del self._fetches[blob]
            fetching.over.set()

    def _may_come(self, kind: str) -> bool:
        """Whether it may be had later: somebody that may have it is not there now."""
        if kind == "NoHolder":
            return any(member.state in AWAY for member in self._core.gossip.members())
        return kind == "HolderAway"

    async def _fetched(self, blob: bytes, at: str) -> Refused | None:
        ended = trio.Event()
        end: list[msgspec.Struct] = []

        def take(event: msgspec.Struct) -> None:
            end.append(event)
            ended.set()

        number = self._next()
        self._ends[number] = take
        try:
            self._driver.submit(commands.FetchBlob(number, blob, self._holders(at)))
        except Refused as refused:
            self._ends.pop(number)
            return refused
        self._driver.flush()
        await ended.wait()
        event = end[0]
        if isinstance(event, events.BlobNotFetched):
            return Refused(event.kind, event.reason)
        return None

    def _holders(self, at: str) -> tuple[bytes, ...]:
        """Who is asked: all that are there, whoever is said to have it first."""
        alive = self._core.gossip.alive()
        first = self._find_peer(at) if at else None
        return tuple(sorted(alive, key=lambda peer: peer != first))

    async def read(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.read``: a piece of a blob that is here, checked."""
        wanted = _converted(arguments, _Read)
        blob = _name(wanted.blob)
        index = self._core.blobs.index(blob)
        if index is None:
            raise Refused("UnknownBlob", "this peer does not hold it: fetch it first")
        data = await self._disk(lambda: self._store.piece(blob, index, wanted.offset, wanted.bytes))
        if data is None:
            self._driver.submit(commands.BlobRotten(blob))
            raise Refused("Damaged", "its file is not what it was, and is dropped: fetch it again")
        return {"data": data, "size": index.size}

    # Listing and removing.

    def ls(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.ls``: what is here, and how much room there is."""
        machine = self._core.blobs
        rows = [
            {"blob": blob.hex(), "size": size, "kept": is_kept}
            for blob, size, is_kept in machine.listed()
        ]
        return {"blobs": rows, "used": machine.kept_bytes, "quota": machine.quota_bytes}

    async def remove(self, arguments: Any) -> dict[str, Any]:
        """Answers ``blob.rm``: removes a blob from this peer's disk, its file too."""
        wanted = _converted(arguments, _Blob)
        blob = _name(wanted.blob)
        self._driver.submit(commands.RemoveBlob(blob, PUT))
        self._driver.flush()
        await self._disk(lambda: None)
        return {"blob": wanted.blob, "removed": not self._core.blobs.has(blob)}

    # Inside.

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _disk(self, act: Callable[[], Any]) -> Any:
        try:
            return await self._line.do(act)
        except OSError as error:
            raise Refused("DiskFault", f"the disk does not take it: {error}") from None


def _converted(arguments: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(arguments if arguments is not None else {}, kind)
    except msgspec.ValidationError as error:
        raise Refused("InvalidInput", str(error)) from None


def _name(text: str) -> bytes:
    try:
        blob = bytes.fromhex(text)
    except ValueError:
        blob = b""
    if len(blob) != HASH_BYTES:
        raise Refused("InvalidInput", f"{text[:80]!r} is no blob's name: 64 hexadecimal digits")
    return blob
