"""What blobs ask of the disk. Each is performed in the order in which it was asked for."""

import msgspec


class OpenBlob(msgspec.Struct, frozen=True, gc=False):
    """Make room for a blob that is fetched, and say which good chunks are there already."""

    blob: bytes
    size: int
    hashes: bytes


class WriteChunk(msgspec.Struct, frozen=True, gc=False):
    """Write one chunk of an open blob."""

    blob: bytes
    chunk: int
    data: bytes


class CloseBlob(msgspec.Struct, frozen=True, gc=False):
    """All chunks are written: sync it and give it its name."""

    blob: bytes


class ReadChunk(msgspec.Struct, frozen=True, gc=False):
    """Read one chunk of a blob that is kept."""

    number: int
    blob: bytes
    chunk: int


class DropBlob(msgspec.Struct, frozen=True, gc=False):
    """Remove a blob, whole or not."""

    blob: bytes
