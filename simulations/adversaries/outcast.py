"""A peer whose credential is revoked, and that will not have it."""

import msgspec

from protocols.machine import SECOND_NS
from protocols.tasks.messages import Assign, Job
from protocols.wire import encode, seal
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World


class Outcast(Adversary):
    """Goes on as before, introduces itself to everybody, and hands out work."""

    interval_ns = SECOND_NS

    def __init__(self) -> None:
        self._jobs = 0

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Is revoked at some peer that runs; then it insists."""
        cores = [each.core for each in world.honest if each.core is not None]
        if any(peer.peer in core.trust.outcasts for core in cores):
            self._insist(world, peer)
            return
        # Nobody has it on disk yet, or nobody any more.
        running = [each for each in world.honest if each.is_running]
        if running and world.revoke(world.faults_rng.choice(running), peer):
            world.coverage["a peer is revoked"] += 1

    def _insist(self, world: World, peer: SimulatedPeer) -> None:
        mine = peer.core.gossip.record_of(peer.peer) if peer.core is not None else None
        if mine is None or not peer.skills:
            return
        world.coverage["an outcast insists"] += 1
        spec = peer.skills[0].spec()
        self._jobs += 1
        job = Job(f"outcast-{self._jobs}", 1, 1, msgspec.Raw(encode({"index": 0})), 0, 0, 0, "")
        said = (
            encode(seal(peer.keyring, mine)),
            encode(Assign("", spec.name, spec.version, (job,))),
        )
        for other in world.honest:
            world.inject(peer, other.peer, said)
