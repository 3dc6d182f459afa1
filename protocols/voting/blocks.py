"""What is put in order: electors' orders, in blocks that follow one another.

An order is a batch of actions that one elector asks for, signed, so that no leader can make
one up or change one. Its number grows; an elector has one order under way at a time, and the
next replaces it. A block has a height, the digest of the block before it, a time and at most
one order of each elector. Every `STATE_EVERY` heights it has the digest of the ledger's state
before it, so that a quorum has then finalised what a lagging elector may start from.

Log time follows wall clocks: a block's is later than its parent's and at most `CLOCK_SLACK_MS`
ahead of the clock of an elector that notarises it. So at least one honest elector's clock had
nearly reached it, and it never runs backwards.
"""

import hashlib
from typing import Annotated

import msgspec

from protocols.identity import Keyring
from protocols.voting.ledger import Action
from protocols.voting.roll import BUNDLE_LIMIT
from protocols.wire import CountField, Message, PeerIdField, SignatureField, encode

ORDER_DOMAIN = "voting.order"
HEIGHT_DOMAIN = b"stigmesh/voting.log/1\x00"
ACTIONS_LIMIT = 64
"""Actions in one order."""
ORDER_LIMIT = 16 * 1024
"""Bytes of an encoded order."""
BLOCK_LIMIT = 56 * 1024
"""Bytes of an encoded block; it travels whole."""
ORDERS_LIMIT = 31
STATE_EVERY = 64
CLOCK_SLACK_MS = 1_000
GENESIS = b"\x00" * 32
"""What the first block follows."""

OrderField = Annotated[bytes, msgspec.Meta(max_length=ORDER_LIMIT)]


class Order(Message, frozen=True, array_like=True, tag="voting.order"):
    """What an elector signs."""

    submitter: PeerIdField
    number: CountField
    actions: Annotated[tuple[Action, ...], msgspec.Meta(min_length=1, max_length=ACTIONS_LIMIT)]


class SignedOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order as it travels, and as it stands in a block."""

    body: OrderField
    signature: SignatureField


class Block(Message, frozen=True, array_like=True, tag="voting.block"):
    """What is finalised at one height."""

    height: CountField
    parent: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    time_ms: CountField
    state: Annotated[bytes, msgspec.Meta(max_length=32)]
    orders: Annotated[tuple[SignedOrder, ...], msgspec.Meta(max_length=ORDERS_LIMIT)]
    electorate: Annotated[bytes, msgspec.Meta(max_length=BUNDLE_LIMIT)] = b""
    """The bundle of a later epoch, which settles all heights after this one."""


_order_decoder = msgspec.msgpack.Decoder(Order)
_block_decoder = msgspec.msgpack.Decoder(Block)


def instance_of(epoch: int, height: int) -> bytes:
    """The name of the Simplex instance that settles a height."""
    return hashlib.sha256(HEIGHT_DOMAIN + encode((epoch, height))).digest()


def sign_order(keyring: Keyring, number: int, actions: tuple[Action, ...]) -> SignedOrder:
    """An order of this peer's."""
    body = encode(Order(keyring.peer, number, actions))
    return SignedOrder(body, keyring.sign(ORDER_DOMAIN, body))


def open_order(signed: SignedOrder, keyring: Keyring) -> Order | None:
    """The order within; None where it is none, or not signed by whom it names."""
    try:
        order = _order_decoder.decode(signed.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    if not keyring.verify(ORDER_DOMAIN, order.submitter, signed.body, signed.signature):
        return None
    return order


def decode_block(payload: bytes) -> Block | None:
    """A block in its one encoding; None where it is none."""
    if len(payload) > BLOCK_LIMIT:
        return None
    try:
        block = _block_decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    return block if encode(block) == payload else None
