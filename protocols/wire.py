"""The wire codec: typed messages, size caps before decoding, signatures over received bytes.

A *message* is a frozen `msgspec.Struct`, array-like, tagged ``protocol.kind``.
A *frame* is what travels between two peers: link epoch, sequence number, and
the encoded messages. Sizes are checked before anything is decoded, and every
bounded field states its bound in its type.

A `Signed` message is an envelope around the encoded body. Its bytes are kept
and relayed as they were received, never re-encoded.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from protocols.errors import Malformed
from protocols.identity import Keyring

FRAME_LIMIT = 1024 * 1024
"""Bytes in one frame; a longer one is dropped unread, and its link closed by the socket."""
MESSAGES_PER_FRAME_LIMIT = 4096
MESSAGE_LIMIT = 64 * 1024
"""Bytes in one message that travels whole; a longer one goes in chunks."""
BULK_LIMIT = 16 * 1024 * 1024
"""Bytes in one message, chunks put together."""
SIGNED_BODY_LIMIT = 16 * 1024

PeerIdField = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
SignatureField = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
NameField = Annotated[str, msgspec.Meta(max_length=128)]
TextField = Annotated[str, msgspec.Meta(max_length=4096)]
CountField = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of all wire messages; subclasses name their tag, ``tag="gossip.ping"``."""


class Signed(Message, frozen=True, array_like=True, tag="signed"):
    """An envelope: `body` is an encoded message whose tag is `domain`."""

    domain: Annotated[str, msgspec.Meta(max_length=64)]
    author: PeerIdField
    body: Annotated[bytes, msgspec.Meta(max_length=SIGNED_BODY_LIMIT)]
    signature: SignatureField


M = TypeVar("M", bound=msgspec.Struct)


class Verified(msgspec.Struct, Generic[M], frozen=True, gc=False):
    """A signed message whose signature was good: the decoded body, and the envelope to relay."""

    message: M
    envelope: Signed


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One frame between two peers."""

    epoch: CountField
    sequence: CountField
    messages: Annotated[tuple[msgspec.Raw, ...], msgspec.Meta(max_length=MESSAGES_PER_FRAME_LIMIT)]


_encoder = msgspec.msgpack.Encoder()
_frame_decoder = msgspec.msgpack.Decoder(Frame)


def encode(value: Any) -> bytes:
    """MessagePack of a message, a record or a plain value."""
    return _encoder.encode(value)


def tag_of(kind: type[msgspec.Struct]) -> str:
    """The tag of a message type."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str), f"{kind.__name__} has no tag"
    return tag


def seal(keyring: Keyring, message: msgspec.Struct) -> Signed:
    """Signs a message under its own tag as domain."""
    domain = tag_of(type(message))
    body = _encoder.encode(message)
    return Signed(domain, keyring.peer, body, keyring.sign(domain, body))


def encode_frame(epoch: int, sequence: int, messages: Iterable[bytes]) -> bytes:
    """One frame of messages that are encoded already."""
    # A list encodes as `Frame` does, for one object less a frame.
    return _encoder.encode((epoch, sequence, list(map(msgspec.Raw, messages))))


def decode_frame(data: bytes) -> Frame:
    """Decodes a frame, not yet its messages.

    Raises:
        Malformed: too long, too many messages, or not a frame.
    """
    if len(data) > FRAME_LIMIT:
        raise Malformed(f"a frame of {len(data)} bytes is over {FRAME_LIMIT}")
    try:
        return _frame_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(f"not a frame: {error}") from None


class Codec:
    """Decodes the messages of a fixed set of types.

    An unknown kind decodes to None, so that a newer neighbour may speak of
    things this release does not know.
    """

    def __init__(self, kinds: Iterable[type[msgspec.Struct]]) -> None:
        """Takes every message type that may be received; tags must be distinct."""
        self.kinds = {tag_of(kind): kind for kind in kinds}
        self._tags = frozenset(tag.encode() for tag in self.kinds)
        union: Any = None
        for kind in self.kinds.values():
            union = kind if union is None else union | kind
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(union)

    def __reduce__(self) -> tuple[type["Codec"], tuple[tuple[type[msgspec.Struct], ...]]]:
        return Codec, (tuple(self.kinds.values()),)

    def decode(self, data: bytes | msgspec.Raw, limit: int = MESSAGE_LIMIT) -> Any:
        """Decodes one message of at most `limit` bytes; None when its kind is unknown.

        Raises:
            Malformed: too long, or not what its kind should hold.
        """
        if len(data) > limit:
            raise Malformed(f"a message of {len(data)} bytes is over {limit}")
        try:
            return self._decoder.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            if self._is_unknown_kind(data):
                return None
            raise Malformed(str(error)) from None

    def _is_unknown_kind(self, data: bytes | msgspec.Raw) -> bool:
        # By hand, because it decides about bytes that are wrong already: a decoder would
        # first make an object of each of the millions of elements that they may claim.
        view = memoryview(data)
        array = _header_bytes(view, *_ARRAYS)
        name = view[array:] if array else view[:0]
        start = _header_bytes(name, *_STRINGS)
        if not start:
            return False
        size = name[0] & 0x1F if start == 1 else int.from_bytes(name[1:start], "big")
        tag = name[start : start + size].tobytes()
        return len(tag) == size and tag not in self._tags


_ARRAYS = (0x90, 0x9F, {0xDC: 3, 0xDD: 5})
_STRINGS = (0xA0, 0xBF, {0xD9: 2, 0xDA: 3})


def _header_bytes(data: memoryview, least: int, most: int, longer: dict[int, int]) -> int:
    """The bytes of the MessagePack header that `data` begins with; 0 where it is another one."""
    if not data:
        return 0
    return 1 if least <= data[0] <= most else longer.get(data[0], 0)
