"""The bytes of blobs: a file each, checked by its chunks' hashes; what jobs of blobs do.

A blob that comes in pieces is a file with the ending ``.part`` until all of it is there
and synced; only then has it its name. What a kill leaves of a ``.part`` is read again
when the blob is wanted again, and its good chunks need not come a second time.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from mesh.storage.files import make_private_folder
from protocols.blobs import commands, jobs
from protocols.blobs.naming import CHUNK_BYTES, SIZE_LIMIT, Index, chunk_hash, name_of

PARTS_LIMIT = 16
"""Unfinished blobs that are kept, in the hope that they are wanted again; the oldest goes."""
FILE_MODE = 0o600


class Upload:
    """A blob that is being put. Its name is known when all of it is there.

    Attributes:
        size: the bytes so far.
    """

    def __init__(self, path: Path, descriptor: int, name: Callable[[bytes], None]) -> None:
        """Use `BlobStore.upload`."""
        self._path = path
        self._descriptor = descriptor
        self._name = name
        self._hashes: list[bytes] = []
        self._rest = bytearray()
        self._is_over = False
        self.size = 0

    def write(self, piece: bytes) -> None:
        """Takes the next bytes.

        Raises:
            ValueError: it is over the limit.
            OSError: the disk does not take it.
        """
        self.size += len(piece)
        if self.size > SIZE_LIMIT:
            raise ValueError(f"a blob has at most {SIZE_LIMIT} bytes")
        self._rest += piece
        whole = len(self._rest) - len(self._rest) % CHUNK_BYTES
        for start in range(0, whole, CHUNK_BYTES):
            self._chunk(bytes(self._rest[start : start + CHUNK_BYTES]))
        del self._rest[:whole]

    def finish(self) -> tuple[bytes, Index]:
        """All of it is there: syncs it, and gives it its name; see `BlobStore.put`.

        Raises:
            OSError: the disk does not take it.
        """
        if self._rest:
            self._chunk(bytes(self._rest))
            self._rest.clear()
        index = Index(self.size, b"".join(self._hashes))
        blob = name_of(self.size, index.hashes)
        self._name(blob)
        self._close()
        return blob, index

    def abandon(self) -> None:
        """Removes what there is of it."""
        if not self._is_over:
            self._path.unlink(missing_ok=True)
            self._close()

    def _chunk(self, data: bytes) -> None:
        _write_at(self._descriptor, data, len(self._hashes) * CHUNK_BYTES)
        self._hashes.append(chunk_hash(data))

    def _close(self) -> None:
        self._is_over = True
        os.close(self._descriptor)


class BlobStore:
    """The blobs in one folder. One process has it open; its calls block."""

    def __init__(self, folder: Path) -> None:
        """Takes the folder, and makes it where there is none.

        Raises:
            ConfigurationError: it cannot be made.
        """
        self._folder = folder
        make_private_folder(folder)
        self._open: dict[bytes, tuple[int, Index]] = {}
        self._puts = 0

    def close(self) -> None:
        """Closes what is unfinished; it stays on disk."""
        for descriptor, _ in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def perform(self, job: msgspec.Struct) -> msgspec.Struct | None:
        """Does a job of blobs; the command that says how it ended."""
        match job:
            case jobs.OpenBlob():
                try:
                    have = self.open(job.blob, Index(job.size, job.hashes))
                except OSError as error:
                    return commands.BlobOpened(job.blob, b"", str(error))
                return commands.BlobOpened(job.blob, have)
            case jobs.WriteChunk():
                fault = self._fault(lambda: self.write(job.blob, job.chunk, job.data))
                return commands.ChunkWritten(job.blob, job.chunk, fault)
            case jobs.CloseBlob():
                return commands.BlobClosed(job.blob, self._fault(lambda: self.finish(job.blob)))
            case jobs.ReadChunk():
                return commands.ChunkRead(job.number, self.read(job.blob, job.chunk))
            case jobs.DropBlob():
                # What cannot be removed now is, at the next start.
                with contextlib.suppress(OSError):
                    self.drop(job.blob)
                return None
        raise AssertionError(f"{type(job).__name__} is no job of blobs")

    def put(self, pieces: Iterable[bytes]) -> tuple[bytes, Index]:
        """Writes a whole blob, synced; its name, and the index that `KeepBlob` wants.

        Raises:
            ValueError: it is over the limit; nothing is left of it.
            OSError: the disk does not take it; nothing is left of it.
        """
        upload = self.upload()
        try:
            for piece in pieces:
                upload.write(piece)
            return upload.finish()
        except BaseException:
            upload.abandon()
            raise

    def upload(self) -> "Upload":
        """Begins a whole blob that comes in pieces, in order.

        Raises:
            OSError: the disk has no place for it.
        """
        self._puts += 1
        path = self._folder / f"put-{self._puts}.part"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        return Upload(path, descriptor, lambda blob: self._name(descriptor, path, blob))

    def open(self, blob: bytes, index: Index) -> bytes:
        """Makes a file for a blob that is to come; a byte per chunk, 1 where it is there.

        Raises:
            OSError: the disk has no place for it.
        """
        self._let_go(blob)
        path = self._part(blob)
        if not path.exists():
            self._make_room()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        self._open[blob] = (descriptor, index)
        starts = range(index.count)
        found = (os.pread(descriptor, CHUNK_BYTES, chunk * CHUNK_BYTES) for chunk in starts)
        # A file that is longer than the blob is cut where the blob ends.
        os.ftruncate(descriptor, min(os.fstat(descriptor).st_size, index.size))
        return bytes(index.fits(chunk, data) for chunk, data in zip(starts, found, strict=True))

    def write(self, blob: bytes, chunk: int, data: bytes) -> None:
        """Writes one chunk of an open blob.

        Raises:
            OSError: the disk does not take it.
        """
        if blob not in self._open:
            raise OSError("the blob is not open")
        _write_at(self._open[blob][0], data, chunk * CHUNK_BYTES)

    def finish(self, blob: bytes) -> None:
        """Syncs an open blob that is all there, and gives it its name.

        Raises:
            OSError: the disk does not take it.
        """
        if blob not in self._open:
            raise OSError("the blob is not open")
        self._name(self._open[blob][0], self._part(blob), blob)
        self._let_go(blob)

    def read(self, blob: bytes, chunk: int) -> bytes:
        """One chunk of a blob; empty where it cannot be read. Nothing is checked here."""
        try:
            with self.path(blob).open("rb") as file:
                file.seek(chunk * CHUNK_BYTES)
                return file.read(CHUNK_BYTES)
        except OSError:
            return b""

    def piece(self, blob: bytes, index: Index, offset: int, size: int) -> bytes | None:
        """Bytes of a whole blob, checked; None where they are not what they were."""
        end = min(offset + size, index.size)
        first = offset // CHUNK_BYTES
        found = bytearray()
        for chunk in range(first, -(-end // CHUNK_BYTES)):
            data = self.read(blob, chunk)
            if not index.fits(chunk, data):
                return None
            found += data
        begin = offset - first * CHUNK_BYTES
        return bytes(found[begin : begin + max(0, end - offset)])

    def drop(self, blob: bytes) -> None:
        """Removes a blob, whole or not."""
        self._let_go(blob)
        self.path(blob).unlink(missing_ok=True)
        self._part(blob).unlink(missing_ok=True)

    def keep_only(self, blobs: Collection[bytes]) -> None:
        """At start: what no record names goes, the newest unfinished ones aside."""
        names = {blob.hex() for blob in blobs}
        for path in self._folder.iterdir():
            if path.name.startswith("put-") or (not path.suffix and path.name not in names):
                path.unlink()

    def path(self, blob: bytes) -> Path:
        """Where the bytes of a whole blob are."""
        return self._folder / blob.hex()

    def _part(self, blob: bytes) -> Path:
        return self._folder / f"{blob.hex()}.part"

    def _make_room(self) -> None:
        """Removes the oldest unfinished blobs that nobody waits for, down to the limit."""
        busy = {self._part(blob) for blob in self._open}
        idle = [path for path in self._folder.glob("*.part") if path not in busy]
        idle.sort(key=lambda path: (path.stat().st_mtime_ns, path.name))
        for path in idle[: max(0, len(idle) + len(busy) + 1 - PARTS_LIMIT)]:
            path.unlink()

    def _name(self, descriptor: int, part: Path, blob: bytes) -> None:
        os.fsync(descriptor)
        part.rename(self.path(blob))
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _let_go(self, blob: bytes) -> None:
        known = self._open.pop(blob, None)
        if known is not None:
            with contextlib.suppress(OSError):
                os.close(known[0])

    def _fault(self, act: Callable[[], None]) -> str:
        try:
            act()
        except OSError as error:
            return str(error)
        return ""


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    """Writes all of it, however little the system takes at once."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
