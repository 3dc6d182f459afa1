"""What a newcomer with a token says at a door, what it is answered, and the proofs in it.

These travel at the door, never in frames between peers.
"""

from typing import Annotated

import msgspec

from protocols.credentials import CHAIN_LIMIT, CurveField
from protocols.errors import Malformed
from protocols.identity import Keyring
from protocols.invitations.token import DoorField
from protocols.wire import NameField, PeerIdField, SignatureField, encode, tag_of

BODY_LIMIT = 512
SEEDS_LIMIT = 4


class JoinBody(msgspec.Struct, frozen=True, array_like=True):
    """Who wants to join, and by which invitation."""

    mesh: PeerIdField
    invitation: PeerIdField
    """The invitation key."""
    peer: PeerIdField
    curve: CurveField
    name: NameField
    wall_s: Annotated[int, msgspec.Meta(ge=0, le=2**40)]
    """What the newcomer's clock says, in seconds since 1970."""


class Join(msgspec.Struct, frozen=True, array_like=True, tag="door.join"):
    """An encoded `JoinBody`, signed by the invitation key and by the newcomer."""

    body: Annotated[bytes, msgspec.Meta(max_length=BODY_LIMIT)]
    proof: SignatureField
    signature: SignatureField


class Seed(msgspec.Struct, frozen=True, array_like=True):
    """A member that the newcomer may meet first."""

    peer: PeerIdField
    door: DoorField
    curve: CurveField


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="door.welcome"):
    """The newcomer's credential chain, the mesh's name for people, and whom to meet."""

    credential: Annotated[bytes, msgspec.Meta(max_length=CHAIN_LIMIT)]
    name: NameField
    seeds: Annotated[tuple[Seed, ...], msgspec.Meta(max_length=SEEDS_LIMIT)]


DOMAIN = tag_of(Join)
_body_decoder = msgspec.msgpack.Decoder(JoinBody)


def make_join(body: JoinBody, invitation: Keyring, newcomer: Keyring) -> Join:
    """A join with both its proofs."""
    encoded = encode(body)
    proof = invitation.sign(DOMAIN, encoded)
    return Join(encoded, proof, newcomer.sign(DOMAIN, encoded))


def decode_body(join: Join) -> JoinBody:
    """What a join says; nothing of it is verified.

    Raises:
        Malformed: its body is none.
    """
    try:
        return _body_decoder.decode(join.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise Malformed(f"not a join: {error}") from None


def is_proven(join: Join, body: JoinBody, keyring: Keyring) -> bool:
    """Whether whoever made this join holds the token, and the key that it names."""
    return keyring.verify(DOMAIN, body.invitation, join.body, join.proof) and keyring.verify(
        DOMAIN, body.peer, join.body, join.signature
    )
