"""What peers say to each other about blobs."""

from typing import Annotated

import msgspec

from protocols.blobs.naming import BlobField, ChunkField, DataField, HashesField, SizeField
from protocols.wire import Message

WANTED_LIMIT = 16
"""Chunks in one request: 1 MiB, as much as waits for one peer's credit."""


class WantIndex(Message, frozen=True, array_like=True, tag="blobs.want-index"):
    """What are the hashes of its chunks?"""

    blob: BlobField


class BlobIndex(Message, frozen=True, array_like=True, tag="blobs.index"):
    """These; their hash is the blob's name."""

    blob: BlobField
    size: SizeField
    hashes: HashesField


class WantChunks(Message, frozen=True, array_like=True, tag="blobs.want-chunks"):
    """Send these chunks."""

    blob: BlobField
    chunks: Annotated[tuple[ChunkField, ...], msgspec.Meta(max_length=WANTED_LIMIT)]


class BlobChunk(Message, frozen=True, array_like=True, tag="blobs.chunk"):
    """One chunk."""

    blob: BlobField
    chunk: ChunkField
    data: DataField


class Lacks(Message, frozen=True, array_like=True, tag="blobs.lacks"):
    """The sender has no such blob, or not any more."""

    blob: BlobField


KINDS = (WantIndex, BlobIndex, WantChunks, BlobChunk, Lacks)
