"""Who votes and finalises: an agreed list with its epoch, signed by the mesh's root.

The bundle is what proves it: the encoded list and the root's signature, in their one
encoding. A list of a higher epoch, signed by the root, replaces an earlier one. Gossip has
no part in it.
"""

import hashlib
from typing import Annotated

import msgspec

from protocols.identity import Keyring
from protocols.quorum import quorum, tolerated
from protocols.wire import CountField, Message, PeerIdField, SignatureField, encode

ROLL_DOMAIN = "voting.roll"
ELECTORS_LIMIT = 31
BUNDLE_LIMIT = 4096


class Roll(Message, frozen=True, array_like=True, tag="voting.roll"):
    """The electors of an epoch; an elector's index is its place here."""

    mesh: PeerIdField
    epoch: CountField
    electors: Annotated[
        tuple[PeerIdField, ...], msgspec.Meta(min_length=1, max_length=ELECTORS_LIMIT)
    ]

    @property
    def tolerates(self) -> int:
        """How many of them may lie."""
        return tolerated(len(self.electors))

    @property
    def quorum(self) -> int:
        """How many settle something."""
        return quorum(len(self.electors))

    def order(self, instance: bytes) -> tuple[int, ...]:
        """The order in which electors lead an instance: by hash, another one for each."""
        places = range(len(self.electors))
        return tuple(sorted(places, key=lambda place: _place(instance, place)))


class RollBundle(Message, frozen=True, array_like=True, tag="voting.roll-bundle"):
    """A roll and the root's signature of it."""

    roll: Annotated[bytes, msgspec.Meta(max_length=BUNDLE_LIMIT)]
    signature: SignatureField


_roll_decoder = msgspec.msgpack.Decoder(Roll)
_bundle_decoder = msgspec.msgpack.Decoder(RollBundle)


def make_bundle(root: Keyring, epoch: int, electors: tuple[bytes, ...]) -> bytes:
    """Signs a list of electors; `root` signs as the mesh itself."""
    assert 0 < len(electors) <= ELECTORS_LIMIT, "1 to 31 electors"
    assert len(set(electors)) == len(electors), "each once"
    body = encode(Roll(root.peer, epoch, electors))
    return encode(RollBundle(body, root.sign(ROLL_DOMAIN, body)))


def open_bundle(bundle: bytes, mesh: bytes, keyring: Keyring) -> Roll | None:
    """The roll that a bundle proves; None where it proves none."""
    try:
        found = _bundle_decoder.decode(bundle)
        roll = _roll_decoder.decode(found.roll)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None
    if encode(found) != bundle or encode(roll) != found.roll:
        return None
    if roll.mesh != mesh or len(set(roll.electors)) != len(roll.electors):
        return None
    return roll if keyring.verify(ROLL_DOMAIN, mesh, found.roll, found.signature) else None


def _place(instance: bytes, place: int) -> bytes:
    return hashlib.sha256(b"stigmesh/voting.leader/1\x00" + instance + bytes([place])).digest()
