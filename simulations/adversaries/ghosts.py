"""Introduces members that do not exist: with no credential, its own, or another's."""

import hashlib

from protocols.gossip.messages import MemberRecord
from protocols.wire import Signed, encode, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World


class Ghosts(Adversary):
    """Knows the private keys of its ghosts: only their credentials are missing."""

    offences = ("credential",)

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Ghosts sign for themselves, with the keyring that the world would give a stranger."""
        rng = world.faults_rng
        for name, credential in (
            ("ghost", b""),
            ("borrowed", peer.credential),
            ("stolen", rng.choice(world.honest).credential),
            ("bent", peer.credential[:-1] + bytes([peer.credential[-1] ^ 1])),
        ):
            keyring = world.stranger(hashlib.sha256(name.encode()).digest())
            record = MemberRecord(keyring.peer, 1, False, name, f"sim://{name}", 1, (), credential)
            body = encode(record)
            domain = tag_of(MemberRecord)
            shown = Signed(domain, keyring.peer, body, keyring.sign(domain, body))
            for other in world.honest:
                world.inject(peer, other.peer, (encode(shown),))
