"""What the live ops of a key say: one value, the same wherever the same ops are live.

Of a register the op with the greatest stamp is read, a delete too. A set's element and
a map's field are there while any put of them is live, so that an addition which a
removal did not know of stays. Counters and pheromones add up what each writer has said
of its own. What a value should not be (only a peer that lies writes it) reads as absent.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from protocols.blackboard.keys import (
    COUNTER,
    LOG,
    MAP,
    MULTIVALUE,
    PHEROMONE,
    REGISTER,
    SET,
    TYPES,
)
from protocols.blackboard.ops import PUT, Op
from protocols.blackboard.pheromones import deposit_of
from protocols.errors import Malformed

COUNT_LIMIT = 2**62

Cells = Mapping[bytes, Iterable[Op]]
"""The live ops of one type, by field."""

_encoder = msgspec.msgpack.Encoder()


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What a key reads as.

    Attributes:
        key: in full.
        type: see `keys.TYPES`.
        value: MessagePack of the plain value: that of a register; of a multivalue register
            the list of all that are in conflict; a whole number of a counter; a list of a
            set or a log; a map; micro-units of a pheromone.
        writer: whose op is the newest.
        stamp_ms: when that was, by the writer's wall clock.
        expires_ms: when the newest ends; 0 for never.
        conflicts: how many values of a register were written at once, less one.
        embedding: of the newest.
        position: counts the changes at this peer; the last of this key.
    """

    key: str
    type: str
    value: bytes
    writer: bytes
    stamp_ms: int
    expires_ms: int = 0
    conflicts: int = 0
    embedding: bytes = b""
    position: int = 0


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A value, and the newest op that it comes from."""

    value: bytes
    newest: Op
    conflicts: int = 0


def read(type_: str, cells: Cells, wall_ms: int) -> Reading | None:
    """What cells of one type read as at a time; None where nothing is there."""
    reader = _READERS.get(type_)
    return reader(cells, wall_ms) if reader is not None else None


def is_there(op: Op, wall_ms: int) -> bool:
    """Whether an op puts something, and its time has not run out."""
    return op.action == PUT and not 0 < op.expires_ms <= wall_ms


def _newest(ops: Iterable[Op]) -> Op | None:
    return max(ops, key=lambda op: op.order, default=None)


def _register(cells: Cells, wall_ms: int) -> Reading | None:
    ops = cells.get(b"", ())
    newest = _newest(ops)
    if newest is None or not is_there(newest, wall_ms):
        return None
    others = sum(1 for op in ops if is_there(op, wall_ms)) - 1
    return Reading(newest.value, newest, others)


def _multivalue(cells: Cells, wall_ms: int) -> Reading | None:
    ops = [op for op in cells.get(b"", ()) if is_there(op, wall_ms)]
    ops.sort(key=lambda op: op.order)
    if not ops:
        return None
    return Reading(_listed([op.value for op in ops]), ops[-1], len(ops) - 1)


def _counter(cells: Cells, wall_ms: int) -> Reading | None:
    total, newest = 0, None
    for ops in cells.values():
        for op in ops:
            count = _count_of(op) if is_there(op, wall_ms) else None
            if count is not None:
                total += count
                newest = op if newest is None or op.order > newest.order else newest
    if newest is None:
        return None
    return Reading(_encoder.encode(max(-COUNT_LIMIT, min(total, COUNT_LIMIT))), newest)


def _count_of(op: Op) -> int | None:
    try:
        return msgspec.msgpack.decode(op.value, type=int)
    except msgspec.MsgspecError:
        return None


def _pheromone(cells: Cells, wall_ms: int) -> Reading | None:
    total, newest = 0, None
    for ops in cells.values():
        for op in ops:
            if not is_there(op, wall_ms):
                continue
            try:
                total += deposit_of(msgspec.msgpack.decode(op.value)).left(wall_ms)
            except (Malformed, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            newest = op if newest is None or op.order > newest.order else newest
    if newest is None or not total:
        return None
    return Reading(_encoder.encode(min(total, COUNT_LIMIT)), newest)


def _winners(cells: Cells, wall_ms: int) -> dict[bytes, Op]:
    """The newest put of each field that has one, in the order of fields."""
    found = {}
    for field in sorted(cells):
        newest = _newest(op for op in cells[field] if is_there(op, wall_ms))
        if newest is not None:
            found[field] = newest
    return found


def _set(cells: Cells, wall_ms: int) -> Reading | None:
    winners = _winners(cells, wall_ms)
    newest = _newest(winners.values())
    return Reading(_listed(winners), newest) if newest is not None else None


def _map(cells: Cells, wall_ms: int) -> Reading | None:
    winners = {field.decode(errors="replace"): op for field, op in _winners(cells, wall_ms).items()}
    newest = _newest(winners.values())
    if newest is None:
        return None
    value = {field: msgspec.Raw(op.value) for field, op in winners.items()}
    return Reading(_encoder.encode(value), newest)


def _log(cells: Cells, wall_ms: int) -> Reading | None:
    ops = [op for each in cells.values() for op in each if is_there(op, wall_ms)]
    ops.sort(key=lambda op: op.order)
    return Reading(_listed([op.value for op in ops]), ops[-1]) if ops else None


def _listed(values: Iterable[bytes]) -> bytes:
    return _encoder.encode([msgspec.Raw(value) for value in values])


_READERS: dict[str, Callable[[Cells, int], Reading | None]] = {
    REGISTER: _register,
    MULTIVALUE: _multivalue,
    COUNTER: _counter,
    SET: _set,
    MAP: _map,
    LOG: _log,
    PHEROMONE: _pheromone,
}
assert tuple(_READERS) == TYPES, "each type is read"
