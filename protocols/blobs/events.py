"""What a peer is told of its blobs."""

import msgspec


class BlobKept(msgspec.Struct, frozen=True, gc=False, tag="blobs.kept"):
    """The blob is this peer's to serve, for as long as somebody needs it."""

    number: int
    blob: bytes


class BlobFetched(msgspec.Struct, frozen=True, gc=False, tag="blobs.fetched"):
    """All of it is here, verified and synced."""

    number: int
    blob: bytes
    size: int


class BlobNotFetched(msgspec.Struct, frozen=True, gc=False, tag="blobs.not-fetched"):
    """It cannot be had. `kind`: NoHolder, HolderAway, QuotaExceeded or DiskFault."""

    number: int
    blob: bytes
    kind: str
    reason: str


class BlobDamaged(msgspec.Struct, frozen=True, gc=False, tag="blobs.damaged"):
    """The disk gave back other bytes than it was given; the blob is dropped here."""

    blob: bytes


class BlobCollected(msgspec.Struct, frozen=True, gc=False, tag="blobs.collected"):
    """Nobody needs it, and it is gone from this disk."""

    blob: bytes
    size: int
