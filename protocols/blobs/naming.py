"""What a blob is called: a hash over its size and the hashes of its chunks.

Two levels, so that each chunk can be checked by itself when it comes, whoever it comes
from: SHA-256 over a domain, the size, and the SHA-256 of each chunk in order.
"""

import hashlib
from typing import Annotated

import msgspec

CHUNK_BYTES = 64 * 1024
SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes in one blob."""
CHUNKS_LIMIT = SIZE_LIMIT // CHUNK_BYTES
HASH_BYTES = 32
DOMAIN = b"stigmesh/blob/1\0"

BlobField = Annotated[bytes, msgspec.Meta(min_length=HASH_BYTES, max_length=HASH_BYTES)]
SizeField = Annotated[int, msgspec.Meta(ge=0, le=SIZE_LIMIT)]
HashesField = Annotated[bytes, msgspec.Meta(max_length=CHUNKS_LIMIT * HASH_BYTES)]
"""The hashes of all chunks, one after the other."""
ChunkField = Annotated[int, msgspec.Meta(ge=0, lt=CHUNKS_LIMIT)]
DataField = Annotated[bytes, msgspec.Meta(max_length=CHUNK_BYTES)]


def chunk_count(size: int) -> int:
    """How many chunks a blob of so many bytes has."""
    return -(-size // CHUNK_BYTES)


def chunk_size(size: int, chunk: int) -> int:
    """How many bytes one of its chunks has."""
    return min(CHUNK_BYTES, size - chunk * CHUNK_BYTES)


def chunk_hash(data: bytes) -> bytes:
    """What a chunk is checked by."""
    return hashlib.sha256(data).digest()


def hashes_of(content: bytes) -> bytes:
    """The hashes of all chunks of a content."""
    starts = range(0, len(content), CHUNK_BYTES)
    return b"".join(chunk_hash(content[start : start + CHUNK_BYTES]) for start in starts)


def name_of(size: int, hashes: bytes) -> bytes:
    """The name of the blob of this size whose chunks have these hashes."""
    return hashlib.sha256(DOMAIN + size.to_bytes(8, "big") + hashes).digest()


class Index(msgspec.Struct, frozen=True):
    """What a blob's chunks are checked by."""

    size: int
    hashes: bytes

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return chunk_count(self.size)

    def names(self, blob: bytes) -> bool:
        """Whether this is the index of that blob: proof, for the name is a hash over it."""
        whole = len(self.hashes) == self.count * HASH_BYTES
        return whole and name_of(self.size, self.hashes) == blob

    def fits(self, chunk: int, data: bytes) -> bool:
        """Whether these are the bytes of a chunk."""
        if not 0 <= chunk < self.count or len(data) != chunk_size(self.size, chunk):
            return False
        return self.hashes[chunk * HASH_BYTES : (chunk + 1) * HASH_BYTES] == chunk_hash(data)
