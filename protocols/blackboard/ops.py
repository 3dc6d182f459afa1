"""Ops: what writers do to cells, as they are signed and stored."""

from typing import Annotated

import msgspec

from protocols.blackboard.segments import GenerationField, SequenceField
from protocols.errors import Malformed
from protocols.wire import CountField, PeerIdField

OP_BYTES_LIMIT = 128 * 1024
CONTEXT_LIMIT = 1024


class Op(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change of one cell, or of all cells of a key."""

    writer: PeerIdField
    generation: GenerationField
    sequence: SequenceField
    key: str
    type: str
    field: bytes
    action: str
    value: bytes
    context: Annotated[tuple[tuple[bytes, int, int], ...], msgspec.Meta(max_length=CONTEXT_LIMIT)]
    stamp: CountField
    expires_ms: CountField = 0

    @property
    def is_tombstone(self) -> bool:
        """Whether it only removes."""
        return self.action in ("clear", "delete")

    @property
    def is_lasting(self) -> bool:
        """Whether nothing but another op ever ends it."""
        return not self.expires_ms and not self.is_tombstone


_decoder = msgspec.msgpack.Decoder(Op)


def decode_op(encoded: bytes) -> Op:
    """What was signed.

    Raises:
        Malformed: it is no op.
    """
    if len(encoded) > OP_BYTES_LIMIT:
        raise Malformed("an op that is too long")
    try:
        return _decoder.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not an op: {error}") from None
