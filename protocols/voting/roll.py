"""Who votes and finalises: an agreed list with its epoch, signed by the mesh's root.

The bundle is what proves it: the encoded list and the root's signature, in their one
encoding. A list of a higher epoch, signed by the root, replaces an earlier one. Gossip has
no part in it.

A list is settled by the electors before it. Where too many of those are lost for good, a
recovery roll takes over without them, on the root's word alone: it says after which block.

Where the mesh's root has been succeeded, its successor signs, and the bundle shows how it became
the root. Once a list of a later root is followed, no list of an earlier one is.
"""

import hashlib
from typing import Annotated

import msgspec

from protocols.credentials import SUCCESSIONS_LIMIT, Succession
from protocols.identity import Keyring
from protocols.quorum import quorum, tolerated
from protocols.succession import shown
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


class RecoveryRoll(Roll, frozen=True, array_like=True, tag="voting.recovery-roll"):
    """Electors that take over because a quorum of those before is lost for good.

    Attributes:
        height: of the last block of the log that counts.
        head: that block's digest. What else was settled is gone.
    """

    height: CountField
    head: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class RollBundle(Message, frozen=True, array_like=True, tag="voting.roll-bundle"):
    """A roll and the root's signature of it."""

    roll: Annotated[bytes, msgspec.Meta(max_length=BUNDLE_LIMIT)]
    signature: SignatureField


class LaterRollBundle(Message, frozen=True, array_like=True, tag="voting.later-roll-bundle"):
    """A roll, a later root's signature of it, and how that one became the root."""

    roll: Annotated[bytes, msgspec.Meta(max_length=BUNDLE_LIMIT)]
    signature: SignatureField
    roots: Annotated[
        tuple[Succession, ...], msgspec.Meta(min_length=1, max_length=SUCCESSIONS_LIMIT)
    ]


_roll_decoder = msgspec.msgpack.Decoder(Roll | RecoveryRoll)
_bundle_decoder = msgspec.msgpack.Decoder(RollBundle | LaterRollBundle)


class Root(msgspec.Struct, frozen=True):
    """Who signs lists of electors.

    Attributes:
        mesh: the mesh's id, the key of its first root.
        keyring: signs as the root of today.
        roots: how it became that, from the first root on; empty where it is the first.
    """

    mesh: bytes
    keyring: Keyring
    roots: tuple[Succession, ...] = ()


def make_bundle(root: Root, epoch: int, electors: tuple[bytes, ...]) -> bytes:
    """Signs a list of electors."""
    return _signed(root, Roll(root.mesh, epoch, electors))


def make_recovery(
    root: Root, epoch: int, electors: tuple[bytes, ...], height: int, head: bytes
) -> bytes:
    """Signs a list of electors that take over after a block, without those before them."""
    return _signed(root, RecoveryRoll(root.mesh, epoch, electors, height, head))


def _signed(root: Root, roll: Roll) -> bytes:
    assert 0 < len(roll.electors) <= ELECTORS_LIMIT, "1 to 31 electors"
    assert len(set(roll.electors)) == len(roll.electors), "each once"
    body = encode(roll)
    signature = root.keyring.sign(ROLL_DOMAIN, body)
    if root.roots:
        return encode(LaterRollBundle(body, signature, root.roots))
    return encode(RollBundle(body, signature))


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
    author = mesh
    if isinstance(found, LaterRollBundle):
        roots = list(shown(found.roots, mesh, {mesh: None}, keyring))
        if len(roots) != 1 + len(found.roots):
            return None
        author = roots[-1]
    return roll if keyring.verify(ROLL_DOMAIN, author, found.roll, found.signature) else None


def is_outdated(bundle: bytes, today: bytes) -> bool:
    """Whether an earlier root than that of today's list signed one; both were verified before.

    The key of a root that was succeeded may be anybody's.
    """
    return _generation(bundle) < (_generation(today) if today else 0)


def _generation(bundle: bytes) -> int:
    """How many roots there were before the one that signed it."""
    found = _bundle_decoder.decode(bundle)
    return len(found.roots) if isinstance(found, LaterRollBundle) else 0


def electors_in(bundle: bytes) -> tuple[bytes, ...]:
    """The electors of a bundle that was verified before."""
    roll: Roll = _roll_decoder.decode(_bundle_decoder.decode(bundle).roll)
    return roll.electors


def _place(instance: bytes, place: int) -> bytes:
    return hashlib.sha256(b"stigmesh/voting.leader/1\x00" + instance + bytes([place])).digest()
