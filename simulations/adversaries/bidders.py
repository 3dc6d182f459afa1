"""Bidders that do not keep to the auction's rules."""

import msgspec

from protocols.auction.messages import Commit, Reveal, Unit
from protocols.wire import encode, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

REVEAL = encode(tag_of(Reveal))
COMMIT = encode(tag_of(Commit))
_reveal = msgspec.msgpack.Decoder(Reveal)
RESULTS, BEAT = (encode(tag) for tag in ("tasks.results", "tasks.beat"))


class Unrevealed(Adversary):
    """Bids, and never shows its bid: a lot must not wait for it for ever."""

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Everything but its reveals."""
        kept = tuple(message for message in messages if REVEAL not in message[:24])
        world.coverage["a liar does not reveal"] += len(messages) - len(kept)
        return kept


class Underbidder(Adversary):
    """Reveals a better schedule than the one it committed to: it must not win with it."""

    offences = ("reveal does not match",)

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Reveals of another schedule, the fastest that there is."""
        return tuple(
            self._bent(world, message) if REVEAL in message[:24] else message
            for message in messages
        )

    def _bent(self, world: World, message: bytes) -> bytes:
        reveal = _reveal.decode(message)
        world.coverage["a liar reveals another schedule"] += 1
        better = tuple(Unit(1, 0, 1_000_000) for _ in reveal.schedule)
        world.bent_lots[reveal.lot] = None
        return encode(Reveal(reveal.lot, reveal.nonce, better))


class Defaulter(Adversary):
    """Wins work, and never says anything of it again: others have to do it."""

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Everything but results and heartbeats."""
        kept = tuple(
            message
            for message in messages
            if RESULTS not in message[:20] and BEAT not in message[:20]
        )
        world.coverage["a liar defaults"] += len(messages) - len(kept)
        return kept
