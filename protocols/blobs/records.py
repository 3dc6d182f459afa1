"""What a peer keeps of its blobs in the journal; their bytes are files."""

from typing import Annotated

import msgspec

from protocols.blobs.naming import BlobField, HashesField, SizeField

HolderField = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class ShelvedBlob(msgspec.Struct, frozen=True, array_like=True, tag="blobs.shelved"):
    """A blob whose bytes are on disk."""

    blob: BlobField
    size: SizeField
    hashes: HashesField


class HeldBlob(msgspec.Struct, frozen=True, array_like=True, tag="blobs.held"):
    """Somebody needs it."""

    blob: BlobField
    holder: HolderField


class ReleasedBlob(msgspec.Struct, frozen=True, array_like=True, tag="blobs.released"):
    """This one does not need it any more."""

    blob: BlobField
    holder: HolderField


class DroppedBlob(msgspec.Struct, frozen=True, array_like=True, tag="blobs.dropped"):
    """Its bytes may be gone."""

    blob: BlobField


RECORDS = (ShelvedBlob, HeldBlob, ReleasedBlob, DroppedBlob)
