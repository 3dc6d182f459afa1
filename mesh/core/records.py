"""What a step writes: one atomic record that holds everything its machines persisted."""

import functools
import operator
from collections.abc import Iterable, Mapping

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


def decode_records(
    records: Iterable[bytes], kinds: Mapping[str, tuple[type[msgspec.Struct], ...]]
) -> dict[str, list[msgspec.Struct]]:
    """What each machine persisted, in order.

    Args:
        records: the data of step records, oldest first.
        kinds: the types that each machine may have written.

    Raises:
        StorageCorrupt: a record does not decode, or names a machine that is not in `kinds`.
    """
    decoders = {
        name: msgspec.msgpack.Decoder(functools.reduce(operator.or_, types))
        for name, types in kinds.items()
    }
    restored: dict[str, list[msgspec.Struct]] = {name: [] for name in kinds}
    for data in records:
        for entry in decode_entries(data):
            decoder = decoders.get(entry.machine)
            if decoder is None:
                raise StorageCorrupt(f"the journal names an unknown machine {entry.machine!r}")
            try:
                restored[entry.machine].append(decoder.decode(entry.record))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise StorageCorrupt(
                    f"a record of {entry.machine} does not decode: {error}"
                ) from None
    return restored
