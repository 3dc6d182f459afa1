"""Says again, later and to others, what it has heard and said."""

from protocols.errors import Malformed
from protocols.wire import decode_frame
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

KEPT = 400


class Replayer(Adversary):
    """Old frames as they were, and old messages in new frames."""

    def __init__(self) -> None:
        self._heard: list[bytes] = []
        self._said: list[tuple[bytes, tuple[bytes, ...]]] = []

    def received(self, world: World, peer: SimulatedPeer, sender: bytes, frame: bytes) -> None:
        """Keeps what others say."""
        self._heard.append(frame)
        del self._heard[:-KEPT]

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Keeps what its core says, and says it."""
        self._said.append((to, messages))
        del self._said[:-KEPT]
        return messages

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Shows everybody a few old things."""
        rng = world.faults_rng
        for other in world.honest:
            if self._heard:
                frame = rng.choice(self._heard)
                world.inject_frame(peer, other.peer, frame)
                try:
                    messages = tuple(bytes(each) for each in decode_frame(frame).messages)
                except Malformed:
                    continue
                world.inject(peer, other.peer, messages)
            if self._said:
                to, said = rng.choice(self._said)
                world.inject(peer, to, said)
        world.coverage["a liar replays"] += 1
