"""Seals and opens bids that claim far too little: it wins, and then is slow."""

import msgspec

from protocols.auction.messages import Commit, Reveal, Unit
from protocols.auction.sealing import commitment
from protocols.wire import encode, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

COMMIT, REVEAL = (encode(tag_of(kind)) for kind in (Commit, Reveal))
SLOWNESS = 8
_commit = msgspec.msgpack.Decoder(Commit)
_reveal = msgspec.msgpack.Decoder(Reveal)
_SCHEDULE = (Unit(1, 0, 1_000_000),)


class Understater(Adversary):
    """Keeps to the letter of the auction. Its record must catch up with it."""

    def __init__(self) -> None:
        self._nonces: dict[str, bytes] = {}

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """The same lies in the sealed bid and in its reveal."""
        peer.speed = 1 / SLOWNESS
        return tuple(self._bent(world, peer, message) for message in messages)

    def _bent(self, world: World, peer: SimulatedPeer, message: bytes) -> bytes:
        if COMMIT in message[:24]:
            lot = _commit.decode(message).lot
            nonce = self._nonces.setdefault(lot, world.faults_rng.randbytes(32))
            world.coverage["a liar understates its bid"] += 1
            return encode(Commit(lot, commitment(lot, peer.peer, nonce, _SCHEDULE)))
        if REVEAL in message[:24]:
            lot = _reveal.decode(message).lot
            if lot in self._nonces:
                return encode(Reveal(lot, self._nonces[lot], _SCHEDULE))
        return message
