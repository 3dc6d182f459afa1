"""Values as they travel: what JSON can say, encoded as MessagePack.

Dataclasses, structs, dates, enums and the like become plain values, as
`msgspec.to_builtins` has it; bytes become base64 text.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from mesh.local.errors import Refused
from mesh.local.messages import INPUT_LIMIT

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def encode_plain(value: Any) -> msgspec.Raw:
    """Any value, made plain and encoded.

    Raises:
        TypeError: it holds something that cannot travel.
    """
    return msgspec.Raw(_encode(msgspec.to_builtins(value, str_keys=True)))


def encode_inputs(inputs: Mapping[str, Any]) -> msgspec.Raw:
    """The keyword inputs of one task.

    Raises:
        Refused: TooLarge.
        TypeError: they hold something that cannot travel.
    """
    raw = encode_plain(inputs)
    size = memoryview(raw).nbytes
    if size > INPUT_LIMIT:
        raise Refused("TooLarge", f"an input of {size} bytes is over the limit of {INPUT_LIMIT}")
    return raw


def decode_value(raw: msgspec.Raw) -> Any:
    """The plain value behind encoded bytes."""
    return _decode(raw)
