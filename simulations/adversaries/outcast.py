"""A peer whose credential is revoked, and that goes on as if it were not."""

from protocols.machine import SECOND_NS
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World


class Outcast(Adversary):
    """An honest peer, by what it says. Its misfortune is that a root has revoked it."""

    interval_ns = 2 * SECOND_NS

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Is revoked at some peer that runs; nobody else is told, but by gossip."""
        cores = [each.core for each in world.honest if each.core is not None]
        if any(peer.peer in core.trust.outcasts for core in cores):
            return
        # Nobody has it on disk yet, or nobody any more.
        running = [each for each in world.honest if each.is_running]
        if running and world.revoke(world.faults_rng.choice(running), peer):
            world.coverage["a peer is revoked"] += 1
