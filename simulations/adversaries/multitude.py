"""Joins as many: one key under many names, doors, boots and credentials at once."""

from protocols.gossip.messages import MemberRecord
from protocols.machine import MILLISECOND_NS
from protocols.wire import encode, seal
from simulations.adversaries.slanderer import incarnation_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

FACES = 12


class Multitude(Adversary):
    """It is one member to everybody, whatever it calls itself."""

    interval_ns = 400 * MILLISECOND_NS

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """A face for everybody, of the same incarnation as every other."""
        number = incarnation_of(peer, peer.peer) + 1
        faces = [
            MemberRecord(
                peer.peer, number, face == 1, f"face-{face}", f"sim://face-{face}", face, (),
                peer.credential,
            )
            for face in range(FACES)
        ]  # fmt: skip
        for index, other in enumerate(world.honest):
            shown = faces[index % FACES :][:4]
            messages = tuple(encode(seal(peer.keyring, face)) for face in shown)
            world.inject(peer, other.peer, messages)
        world.coverage["a liar has many faces"] += 1
