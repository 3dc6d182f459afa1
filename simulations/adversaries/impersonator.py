"""Speaks in the name of others: their records, farewells and accusations, signed by itself."""

from protocols.gossip.messages import Accusation, MemberRecord
from protocols.machine import MILLISECOND_NS
from protocols.wire import Signed, encode, tag_of
from simulations.adversaries.slanderer import incarnation_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World


class Impersonator(Adversary):
    """Says that somebody leaves, or has moved to the liar's own door."""

    offences = ("a wrong signature on gossip.member", "a wrong signature on gossip.accusation")
    interval_ns = 300 * MILLISECOND_NS

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """A goodbye and a new door in a victim's name, and its word against another."""
        rng = world.faults_rng
        victim = rng.choice(world.honest)
        number = incarnation_of(peer, victim.peer) + 1
        suspect = rng.choice(world.honest).peer
        bodies = [
            MemberRecord(victim.peer, number, leaving, victim.name, door, 9, (), victim.credential)
            for leaving, door in ((True, victim.door), (False, peer.door))
        ]
        words = [Accusation(suspect, incarnation_of(peer, suspect), victim.peer)]
        for other in world.honest:
            messages = []
            for body in (*bodies, *words):
                encoded, domain = encode(body), tag_of(type(body))
                signature = peer.keyring.sign(domain, encoded)
                messages.append(encode(Signed(domain, victim.peer, encoded, signature)))
            world.inject(peer, other.peer, tuple(messages))
        world.coverage["a liar speaks in another's name"] += 1
