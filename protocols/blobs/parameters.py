"""The limits and times of blobs."""

import msgspec

from protocols.machine import SECOND_NS

GIB = 1024**3


class BlobParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one peer.

    Attributes:
        quota_bytes: of all blobs on its disk, those under way included.
        shelved: how many blobs it keeps.
        holders: how many may need one blob.
        fetches: how many are fetched at once.
        sources: how many peers one is fetched from.
        window: chunks asked of one peer and not yet written.
        patience_ns: how long a peer that is asked may say nothing; doubles with each time.
        strikes: how often it may do so.
        reads: chunks that are read for others at once, and for one of them.
        grace_ns: how long a blob is kept that nobody needs.
    """

    quota_bytes: int = 4 * GIB
    shelved: int = 16_384
    holders: int = 4096
    fetches: int = 16
    sources: int = 16
    window: int = 16
    patience_ns: int = 2 * SECOND_NS
    strikes: int = 5
    reads: int = 256
    reads_per_peer: int = 32
    grace_ns: int = 600 * SECOND_NS
