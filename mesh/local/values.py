"""Values as they travel: what JSON can say, encoded as MessagePack.

Dataclasses, structs, dates, enums and the like become plain values, as
`msgspec.to_builtins` has it; bytes become base64 text.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from mesh.local.codec import encode_value
from mesh.local.errors import Refused, TaskFailed
from mesh.local.messages import INPUT_LIMIT, SettledTask
from mesh.local.options import ReadValue

_decode = msgspec.msgpack.Decoder().decode


def encode_plain(value: Any) -> msgspec.Raw:
    """Any value, made plain and encoded.

    Raises:
        Refused, TypeError: as of `encode_value`.
    """
    try:
        plain = msgspec.to_builtins(value, str_keys=True)
    except RecursionError:
        plain = value  # which is refused with the same reason
    return encode_value(plain)


def encode_inputs(inputs: Mapping[str, Any]) -> msgspec.Raw:
    """The keyword inputs of one task.

    Raises:
        Refused: TooLarge, InvalidInput.
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


def value_of_done(end: SettledTask, read: ReadValue | None) -> Any:
    """The value of a task that is done, as `read` makes it where there is one.

    Raises:
        TaskFailed: InvalidOutput: `read` does not take it.
    """
    value = decode_value(end.value)
    if read is None:
        return value
    try:
        return read(value)
    except msgspec.ValidationError as error:
        raise TaskFailed(
            end.task,
            end.state,
            "InvalidOutput",
            f"the result is not what the function here returns: {error}. "
            "Do the peers run another version of it?",
            end.attempts,
        ) from None
