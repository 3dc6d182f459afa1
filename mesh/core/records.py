"""What a step writes: one atomic record that holds everything its machines persisted."""

from collections.abc import Iterable

import msgspec

from protocols.errors import StorageCorrupt
from protocols.wire import encode


class StepRecord(msgspec.Struct, frozen=True):
    """One step's durable record. `number` grows by one per record within a boot."""

    number: int
    data: bytes
    sync: bool


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One machine's part of a record."""

    machine: str
    record: msgspec.Raw


_decoder = msgspec.msgpack.Decoder(tuple[Entry, ...])


def encode_entries(entries: Iterable[tuple[str, msgspec.Struct]]) -> bytes:
    """One record of what machines persisted in one step, in order."""
    return encode([(machine, record) for machine, record in entries])


def decode_entries(data: bytes) -> tuple[Entry, ...]:
    """The parts of a record.

    Raises:
        StorageCorrupt: the bytes are not a record.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StorageCorrupt(f"a journal record does not decode: {error}") from None
