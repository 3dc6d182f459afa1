"""Framing of the local protocol: a length, then MessagePack. No I/O."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import msgspec

from mesh.local.errors import Refused
from mesh.local.messages import MESSAGE_LIMIT, FromLocal, FromPeer, LocalMessage

LENGTH_BYTES = 4

M = TypeVar("M")


class ProtocolError(Exception):
    """The other side of a local socket does not speak the local protocol."""


_encoder = msgspec.msgpack.Encoder()


def encode_value(value: Any) -> msgspec.Raw:
    """Any plain value, encoded once.

    Raises:
        Refused: InvalidInput: it is none that can travel, and why.
        TypeError: it holds something of a type that cannot.
    """
    try:
        return msgspec.Raw(_encoder.encode(value))
    except OverflowError:
        why = "a whole number is beyond 64 bits: give it as text"
    except RecursionError:
        why = "it is nested too deep, or holds itself"
    except UnicodeEncodeError:
        why = "a text in it cannot be written as UTF-8"
    raise Refused("InvalidInput", why)


def pack(message: LocalMessage) -> bytes:
    """One message as it goes on the socket.

    Raises:
        ProtocolError: the message is longer than `MESSAGE_LIMIT`.
    """
    buffer = bytearray(LENGTH_BYTES)
    _encoder.encode_into(message, buffer, LENGTH_BYTES)
    size = len(buffer) - LENGTH_BYTES
    if size > MESSAGE_LIMIT:
        raise ProtocolError(f"a message of {size} bytes is over the limit of {MESSAGE_LIMIT}")
    buffer[:LENGTH_BYTES] = size.to_bytes(LENGTH_BYTES, "big")
    return bytes(buffer)


class Unpacker(Generic[M]):
    """Cuts received bytes into messages of one direction."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[M]) -> None:
        """Use `for_peer` or `for_local`."""
        self._decoder = decoder
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[M]:
        """Takes what was read and yields the messages that are whole.

        Raises:
            ProtocolError: too long, or not a message of this direction.
        """
        self._buffer += data
        start = 0
        available = len(self._buffer)
        try:
            while available - start >= LENGTH_BYTES:
                size = int.from_bytes(self._buffer[start : start + LENGTH_BYTES], "big")
                if size > MESSAGE_LIMIT:
                    raise ProtocolError(
                        f"a message of {size} bytes is over the limit of {MESSAGE_LIMIT}"
                    )
                end = start + LENGTH_BYTES + size
                if end > available:
                    break
                body = bytes(self._buffer[start + LENGTH_BYTES : end])
                start = end
                try:
                    message = self._decoder.decode(body)
                except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
                    raise ProtocolError(f"not a message of the local protocol: {error}") from None
                yield message
        finally:
            del self._buffer[:start]


def for_peer() -> Unpacker[FromLocal]:
    """What a peer reads from its local socket."""
    return Unpacker(msgspec.msgpack.Decoder(FromLocal))


def for_local() -> Unpacker[FromPeer]:
    """What a client or worker reads from its peer."""
    return Unpacker(msgspec.msgpack.Decoder(FromPeer))
