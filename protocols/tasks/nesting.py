"""How deep a value may nest.

A decoder goes as deep as its stack allows, and an input that just passes where
it comes in lies some levels deeper in the message to its worker, and again in a
record. A limit far below that is the same at every peer.
"""

from typing import Any

import msgspec

NESTING_LIMIT = 128
"""Arrays and objects within each other, in one input or output."""

_CONTAINER_HEADS = {*range(0x80, 0xA0), *range(0xDC, 0xE0)}
_OTHERS = bytes(byte for byte in range(256) if byte not in _CONTAINER_HEADS)


def is_too_deep(value: msgspec.Raw) -> bool:
    """Whether an encoded value nests deeper than the limit. Never raises.

    Cheap for nearly all: each level takes a byte at least, and one that begins an
    array or an object.
    """
    if len(value) <= NESTING_LIMIT:
        return False
    if len(bytes(memoryview(value)).translate(None, _OTHERS)) <= NESTING_LIMIT:
        return False
    try:
        return _nests_deeper(msgspec.msgpack.decode(value))
    except RecursionError:
        return True
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError):
        return False


def _nests_deeper(value: object) -> bool:
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(NESTING_LIMIT):
        below: list[Any] = []
        for each in level:
            parts = each.values() if isinstance(each, dict) else each
            below += [part for part in parts if isinstance(part, dict | list)]
        level = below
    return bool(level)
