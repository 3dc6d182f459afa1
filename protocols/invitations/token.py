"""The token of an invitation: what a person carries to the host that is to join.

One word, lower-case, so that it survives terminals, chats and double clicks::

    mesh1_<base32 of the encoded token and four bytes of its SHA-256>

The secret in it is the seed of the *invitation key*; the peer that made the
invitation knows the public half only.
"""

import base64
import binascii
import hashlib
import re
from typing import Annotated

import msgspec

from protocols.credentials import CurveField
from protocols.errors import MeshError
from protocols.identity import Ed25519Keyring
from protocols.wire import PeerIdField, encode

SECRET_BYTES = 16
DOORS_LIMIT = 4
DOOR_LIMIT = 256
"""Characters in an address of a door."""
TOKEN_LIMIT = 4096
"""Characters of a token, blanks included."""
VERSION = 1
_CHECK_BYTES = 4
_SHAPE = re.compile(r"mesh([0-9]{1,4})_([a-z2-7]+)")
_KEY_DOMAIN = b"stigmesh/invitation"

DoorField = Annotated[str, msgspec.Meta(max_length=DOOR_LIMIT)]


class NotAToken(MeshError):
    """The text is no token, or a damaged one; says what to try."""


class Token(msgspec.Struct, frozen=True, array_like=True):
    """What a newcomer must know to join."""

    mesh: PeerIdField
    """The mesh's id: the root's public key."""
    door_key: CurveField
    """The CURVE public key of the door."""
    secret: Annotated[bytes, msgspec.Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]
    not_after_s: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    doors: Annotated[tuple[DoorField, ...], msgspec.Meta(min_length=1, max_length=DOORS_LIMIT)]

    def __repr__(self) -> str:
        # Secrets stay out of logs and tracebacks.
        return f"Token({', '.join(self.doors)})"


_decoder = msgspec.msgpack.Decoder(Token)


def invitation_keyring(secret: bytes, mesh: bytes) -> Ed25519Keyring:
    """Signs as the invitation itself; its `peer` is the invitation key."""
    return Ed25519Keyring(hashlib.sha256(_KEY_DOMAIN + secret).digest(), mesh)


def encode_token(token: Token) -> str:
    """The token as people carry it."""
    data = encode(token)
    text = base64.b32encode(data + _check(data)).decode().rstrip("=").lower()
    return f"mesh{VERSION}_{text}"


def decode_token(text: str) -> Token:
    """Reads a token; blanks and line breaks in it are passed over, as are capitals.

    Raises:
        NotAToken: it is none, is damaged, or comes from a newer release.
    """
    if len(text) > TOKEN_LIMIT:
        raise NotAToken(f"{len(text)} characters are no token: one has about 250")
    found = _SHAPE.fullmatch("".join(text.split()).lower())
    if found is None:
        raise NotAToken(
            f"this is no token, which is one word that begins with mesh{VERSION}_: copy what "
            "`mesh invite` printed"
        )
    if int(found[1]) != VERSION:
        raise NotAToken(
            f"the token has version {found[1]}, and this release knows {VERSION}: use the same "
            "release of stigmesh on both hosts"
        )
    try:
        data = base64.b32decode(found[2].upper() + "=" * (-len(found[2]) % 8))
    except binascii.Error:
        data = b""
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if not body or check != _check(body):
        raise NotAToken("the token is damaged, or a part of it is missing: copy it again, whole")
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise NotAToken(f"the token does not read ({error}): ask for another one") from None


def _check(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK_BYTES]
