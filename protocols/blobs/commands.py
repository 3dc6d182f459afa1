"""What a peer asks of its blobs, and how the work that they asked for ended."""

import msgspec


class KeepBlob(msgspec.Struct, frozen=True, gc=False):
    """All bytes of a blob are on this peer's disk, synced: keep it. Ends with `BlobKept`.

    `holder` needs it until `ReleaseBlob`; "" for nobody.
    """

    number: int
    blob: bytes
    size: int
    hashes: bytes
    holder: str = ""


class FetchBlob(msgspec.Struct, frozen=True, gc=False):
    """Get a blob from any of these peers. Ends with `BlobFetched` or `BlobNotFetched`."""

    number: int
    blob: bytes
    holders: tuple[bytes, ...]


class HoldBlob(msgspec.Struct, frozen=True, gc=False):
    """A blob is needed by somebody, such as a task, until `ReleaseBlob`."""

    blob: bytes
    holder: str


class ReleaseBlob(msgspec.Struct, frozen=True, gc=False):
    """It is no longer needed by this one."""

    blob: bytes
    holder: str


class RemoveBlob(msgspec.Struct, frozen=True, gc=False):
    """This one does not need it any more; where nobody else does, it goes at once."""

    blob: bytes
    holder: str


class UseBlob(msgspec.Struct, frozen=True, gc=False):
    """Somebody is about to read it: where nobody needs it, its time begins anew."""

    blob: bytes


class BlobRotten(msgspec.Struct, frozen=True, gc=False):
    """Its file does not hold its bytes any more: it is no blob of this peer."""

    blob: bytes


class HolderBack(msgspec.Struct, frozen=True, gc=False):
    """A peer is there (again): it may be asked at once."""

    peer: bytes


class HolderGone(msgspec.Struct, frozen=True, gc=False):
    """A peer died, or its link broke: what it was asked for is asked of others."""

    peer: bytes


class BlobOpened(msgspec.Struct, frozen=True, gc=False):
    """`OpenBlob` ended: a byte per chunk, 1 where a good one is on disk already.

    Without any, for a blob that has chunks, there is no place for it, as `fault` says.
    """

    blob: bytes
    have: bytes
    fault: str = ""


class ChunkRead(msgspec.Struct, frozen=True, gc=False):
    """`ReadChunk` ended; empty where it could not be read."""

    number: int
    data: bytes


class ChunkWritten(msgspec.Struct, frozen=True, gc=False):
    """`WriteChunk` ended, well where `fault` is empty."""

    blob: bytes
    chunk: int
    fault: str = ""


class BlobClosed(msgspec.Struct, frozen=True, gc=False):
    """`CloseBlob` ended: all of it is synced, where `fault` is empty."""

    blob: bytes
    fault: str = ""
