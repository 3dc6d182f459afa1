"""The error of a disk that does not do what it is asked."""

from protocols.errors import MeshError


class StorageFailed(MeshError):
    """The disk refused a write or a read; the peer must stop, and nothing was acknowledged.

    What the journal holds up to that moment stays readable at the next start.
    """
