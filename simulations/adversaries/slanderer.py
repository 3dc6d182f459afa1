"""Accuses everybody of being dead, and shows accusations that others never signed."""

from protocols.gossip.messages import Accusation, MemberRecord
from protocols.machine import MILLISECOND_NS
from protocols.wire import Signed, encode, seal
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World


def incarnation_of(peer: SimulatedPeer, subject: bytes) -> int:
    """The incarnation of a member as a peer's own core knows it."""
    members = () if peer.core is None else peer.core.gossip.members()
    return next((each.incarnation for each in members if each.peer == subject), 1)


class Slanderer(Adversary):
    """Fewer liars than accusers are needed, so nobody dies of it."""

    offences = ("a wrong signature on gossip.accusation",)

    interval_ns = 500 * MILLISECOND_NS

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Its own true signature, and false ones in the name of everybody else."""
        rng = world.faults_rng
        for victim in (rng.choice(world.honest),):
            incarnation = incarnation_of(peer, victim.peer)
            own = seal(peer.keyring, Accusation(victim.peer, incarnation, peer.peer))
            messages = [encode(own)]
            for accuser in world.honest:
                if accuser is not victim:
                    body = encode(Accusation(victim.peer, incarnation, accuser.peer))
                    false = Signed(own.domain, accuser.peer, body, rng.randbytes(64))
                    messages.append(encode(false))
            for other in world.honest:
                if other is not victim:
                    world.inject(peer, other.peer, tuple(messages))


class Inflater(Adversary):
    """Raises incarnations: its own beyond measure, others' with signatures of its own."""

    offences = ("gossip-record-of-another", "gossip-incarnation-out-of-bounds", "wrong signature")

    interval_ns = 500 * MILLISECOND_NS

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """False accusations of the future, false records of others, huge ones of itself."""
        rng = world.faults_rng
        for victim in (rng.choice(world.honest),):
            future = incarnation_of(peer, victim.peer) + rng.randint(1, 1_000)
            accusation = seal(peer.keyring, Accusation(victim.peer, future, peer.peer))
            record = MemberRecord(
                victim.peer, future, rng.random() < 0.5, "usurped", "sim://nowhere", future, (),
                victim.credential,
            )  # fmt: skip
            usurped = seal(peer.keyring, record)
            false = Signed(usurped.domain, victim.peer, usurped.body, usurped.signature)
            own = MemberRecord(
                peer.peer, 2**62 - rng.randint(0, 2), False, peer.name, peer.door, 1, (),
                peer.credential,
            )  # fmt: skip
            messages = (accusation, usurped, false, seal(peer.keyring, own))
            for other in world.honest:
                world.inject(peer, other.peer, tuple(encode(each) for each in messages))
