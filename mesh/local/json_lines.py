"""The local protocol as lines of JSON, for languages without MessagePack. No I/O.

The first byte that a connection sends decides: a length begins with 0, 1 or 2, a JSON
object with a brace. From then on each message is one line, both ways. Fields and
meanings are the same; encoded values are plain JSON, and a skill's schemas may be JSON
objects instead of text.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from mesh.local.codec import ProtocolError, for_peer, pack
from mesh.local.messages import MESSAGE_LIMIT, FromLocal, LocalMessage

OPENING = b"{"
MALFORMED = msgspec.Raw(b'{"malformed":true}')
"""Stands for a value that JSON cannot say: values are passed on undecoded, whoever sent them."""

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

_Fault = (msgspec.MsgspecError, RecursionError, ValueError, TypeError, OverflowError)


class Reader(Protocol):
    """Cuts what a connection receives into messages."""

    def feed(self, data: bytes) -> Iterator[FromLocal]:
        """Takes what was read, and yields the messages that are whole."""


def by_first_byte(data: bytes) -> tuple[Reader, Callable[[LocalMessage], bytes]]:
    """What reads a new connection, from its first bytes, and what packs its answers."""
    if data.startswith(OPENING):
        return LineReader(), pack_line
    return for_peer(), pack


def pack_line(message: LocalMessage) -> bytes:
    """One message as a line.

    Raises:
        ProtocolError: the message is longer than `MESSAGE_LIMIT`.
    """
    line = _encode_json(_plain(message)) + b"\n"
    if len(line) > MESSAGE_LIMIT:
        raise ProtocolError(f"a message of {len(line)} bytes is over the limit of {MESSAGE_LIMIT}")
    return line


class LineReader:
    """Cuts received bytes into lines, and those into messages from a client or worker."""

    def __init__(self) -> None:
        self._decoder = msgspec.msgpack.Decoder(FromLocal)
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[FromLocal]:
        """Takes what was read and yields the messages that are whole.

        Raises:
            ProtocolError: too long, or not a message of a client or worker.
        """
        self._buffer += data
        start = 0
        try:
            while (end := self._buffer.find(b"\n", max(start, self._searched))) >= 0:
                line = bytes(self._buffer[start:end])
                start = end + 1
                if line.strip():
                    yield self._message(line)
        finally:
            del self._buffer[:start]
            self._searched = len(self._buffer)
        if len(self._buffer) > MESSAGE_LIMIT:
            raise ProtocolError(f"a line is over the limit of {MESSAGE_LIMIT} bytes")

    def _message(self, line: bytes) -> FromLocal:
        if len(line) > MESSAGE_LIMIT:
            raise ProtocolError(f"a line is over the limit of {MESSAGE_LIMIT} bytes")
        try:
            message = _decode_json(line)
            if isinstance(message, dict) and message.get("type") == "register":
                _schemas_as_text(message)
            decoded: FromLocal = self._decoder.decode(_encode(message))
        except _Fault as error:
            raise ProtocolError(f"not a message of the local protocol: {error}") from None
        return decoded


def _schemas_as_text(message: dict[str, Any]) -> None:
    for skill in message.get("skills") or ():
        for field in ("input_schema", "output_schema"):
            if isinstance(skill, dict) and isinstance(skill.get(field), dict | bool):
                skill[field] = _encode_json(skill[field]).decode()


def _plain(value: Any) -> Any:
    """A message as what JSON can say, the values in it encoded already."""
    if isinstance(value, msgspec.Raw):
        return _value(value)
    if isinstance(value, msgspec.Struct):
        fields = {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
        tag = value.__struct_config__.tag
        return {"type": tag, **fields} if tag else fields
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _value(raw: msgspec.Raw) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode_json(_decode(raw)))
    except _Fault:
        return MALFORMED
