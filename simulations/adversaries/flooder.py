"""Floods: many messages that are each allowed, and some that ask for work or memory."""

from protocols.auction.messages import Vacancy
from protocols.gossip.messages import Digest, MemberVersion, Ping, PingRequest
from protocols.machine import MILLISECOND_NS
from protocols.tasks.messages import DescribeSkill, FindTask
from protocols.wire import encode
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

EACH_TIME = 24


class Flooder(Adversary):
    """Others may stop listening to it; they must neither fall behind nor fill up."""

    interval_ns = 200 * MILLISECOND_NS

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Pings, detours, digests of strangers, questions that nobody can answer."""
        rng = world.faults_rng
        for other in world.honest:
            messages = []
            for _ in range(EACH_TIME // 6):
                number = rng.getrandbits(40)
                stranger = rng.randbytes(32)
                digest = Digest((MemberVersion(stranger, 1, 0),), True)
                messages += [
                    Ping(nonce=number, load=number),
                    PingRequest(number, stranger),
                    digest,
                    FindTask(number, f"no-such-{number}"),
                    DescribeSkill(rng.randbytes(32)),
                    Vacancy("work", "1", number),
                ]
            world.inject(peer, other.peer, tuple(encode(message) for message in messages))
        world.coverage["a liar floods"] += 1
