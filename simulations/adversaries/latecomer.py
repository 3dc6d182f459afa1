"""Answers with old tokens: results of earlier attempts, of ended tasks, and twice."""

import msgspec

from protocols.tasks.messages import Outcome, Results
from protocols.wire import encode, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

RESULTS = encode(tag_of(Results))
KEPT = 64
_results = msgspec.msgpack.Decoder(Results)


class Latecomer(Adversary):
    """Everything that it says of an attempt it says again, under other numbers."""

    def __init__(self) -> None:
        self._said: list[tuple[bytes, Outcome]] = []

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Keeps its results."""
        for message in messages:
            if RESULTS in message[:20]:
                self._said += [(to, outcome) for outcome in _results.decode(message).outcomes]
        del self._said[:-KEPT]
        return messages

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Old results, to whom they belong and to others, with false values."""
        rng = world.faults_rng
        if not self._said:
            return
        to, outcome = rng.choice(self._said)
        lie = msgspec.Raw(encode({"index": -2}))
        replace = msgspec.structs.replace
        outcomes = (
            outcome,
            replace(outcome, value=lie),
            replace(outcome, attempt=max(0, outcome.attempt - 1), value=lie),
            replace(outcome, attempt=outcome.attempt + 1, value=lie),
        )
        for receiver in (to, rng.choice(world.honest).peer):
            if world.by_id[receiver].liar is None:
                results = Results(rng.getrandbits(40), outcomes)
                world.inject(peer, receiver, (encode(results),))
        world.coverage["a liar answers with an old token"] += 1
