"""Ops: what writers do to cells, as they are signed and stored.

    cell         (key, type, field): what one op replaces
    put          a value for a cell
    delete       nothing more in a cell

An op supersedes what its context names in its cell. Live ops are those that no other
supersedes.
"""

from typing import Annotated

import msgspec

from protocols.blackboard.keys import (
    EMBEDDING_BYTES_LIMIT,
    FIELD_BYTES_LIMIT,
    KEY_BYTES_LIMIT,
    SET,
    VALUE_BYTES_LIMIT,
    is_key,
)
from protocols.blackboard.segments import GenerationField, SequenceField
from protocols.errors import Malformed
from protocols.wire import CountField, PeerIdField

OP_BYTES_LIMIT = 128 * 1024
CONTEXT_LIMIT = 1024

PUT, DELETE = "put", "delete"

Context = tuple[tuple[bytes, int, int], ...]
"""The highest superseded sequence of each writer and generation, in order of those."""


class Op(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One change of one cell.

    Attributes:
        writer, generation, sequence: the dot, which names it.
        key, type, field: the cell.
        action: put; delete, or any other word, removes.
        value: MessagePack; empty where it only removes.
        context: what it supersedes, with all that those superseded.
        stamp: hybrid logical clock, milliseconds << 16 | counter; decides between ops that
            did not know of each other, and nothing else.
        expires_ms: wall clock from which it reads as absent; 0 for never.
        embedding: float32, little-endian.
    """

    writer: PeerIdField
    generation: GenerationField
    sequence: SequenceField
    key: Annotated[str, msgspec.Meta(max_length=KEY_BYTES_LIMIT)]
    type: Annotated[str, msgspec.Meta(max_length=16)]
    field: Annotated[bytes, msgspec.Meta(max_length=FIELD_BYTES_LIMIT)]
    action: Annotated[str, msgspec.Meta(max_length=16)]
    value: Annotated[bytes, msgspec.Meta(max_length=VALUE_BYTES_LIMIT)]
    context: Annotated[tuple[tuple[bytes, int, int], ...], msgspec.Meta(max_length=CONTEXT_LIMIT)]
    stamp: CountField
    expires_ms: CountField = 0
    embedding: Annotated[bytes, msgspec.Meta(max_length=EMBEDDING_BYTES_LIMIT)] = b""

    @property
    def is_tombstone(self) -> bool:
        """Whether it only removes."""
        return self.action != PUT

    @property
    def is_lasting(self) -> bool:
        """Whether nothing but another op ever ends it."""
        return self.action == PUT and not self.expires_ms

    @property
    def order(self) -> tuple[int, bytes, int, int]:
        """Which of two ops that did not know of each other reads as the later one."""
        return self.stamp, self.writer, self.generation, self.sequence


_decoder = msgspec.msgpack.Decoder(Op)


def decode_op(encoded: bytes | msgspec.Raw) -> Op:
    """What was signed.

    Raises:
        Malformed: it is no op.
    """
    if len(encoded) > OP_BYTES_LIMIT:
        raise Malformed("an op that is too long")
    try:
        op = _decoder.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not an op: {error}") from None
    if not is_key(op.key):
        raise Malformed("an op on a key that is none")
    if op.action == PUT and not (is_value(op.value) and (op.type != SET or is_value(op.field))):
        raise Malformed("an op that puts no value")
    return op


def is_value(encoded: bytes) -> bool:
    """Whether bytes are one value in MessagePack, and nothing more."""
    try:
        msgspec.msgpack.decode(encoded)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        return False
    return True
