"""What a local writer may put, and what an op of anybody's holds."""

import msgspec

from protocols.blackboard.keys import VALUE_BYTES_LIMIT
from protocols.blackboard.ops import Op, is_value
from protocols.blackboard.pheromones import Deposit, deposit_of
from protocols.errors import Malformed, Refused

_canonical = msgspec.msgpack.Encoder(order="deterministic")


def canonical(value: bytes) -> bytes:
    """An element's one encoding, whichever way it was encoded.

    Raises:
        Refused: it is no value.
    """
    check_value(value)
    try:
        return _canonical.encode(msgspec.msgpack.decode(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused("BadValue", f"not an element of a set: {error}") from None


def check_value(value: bytes) -> None:
    """Asserts that a value can be written.

    Raises:
        Refused: it is too large, or none.
    """
    if len(value) > VALUE_BYTES_LIMIT:
        raise Refused(
            "TooLarge",
            f"a value of {len(value)} bytes is over {VALUE_BYTES_LIMIT}: "
            "split it over several keys, or write where it is kept",
        )
    if not is_value(value):
        raise Refused("BadValue", "not a value in MessagePack")


def count_of(op: Op) -> int:
    """What an op counts; nothing, where a liar wrote it."""
    try:
        return msgspec.msgpack.decode(op.value, type=int)
    except (msgspec.MsgspecError, RecursionError):
        return 0


def deposit_in(op: Op) -> Deposit | None:
    """What an op deposits; None, where a liar wrote it."""
    try:
        return deposit_of(msgspec.msgpack.decode(op.value))
    except (Malformed, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def whole(value: bytes, least: int, most: int, what: str) -> int:
    """A whole number between two.

    Raises:
        Refused: it is none.
    """
    try:
        number = msgspec.msgpack.decode(value, type=int)
    except (msgspec.MsgspecError, RecursionError):
        raise Refused("BadValue", f"{what} is a whole number") from None
    if not least <= number <= most:
        raise Refused("BadValue", f"{what} is from {least} to {most}, not {number}")
    return number
