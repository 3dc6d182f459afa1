"""A revoked peer is nobody's member, and is given and takes no work, once one knows of it."""

import msgspec

from protocols.auction.messages import Invite
from protocols.gossip.events import MemberUp, PeerRevoked
from protocols.tasks.messages import Assign
from simulations.observations import DiskForgot, JobHanded, Sent
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World


class RevokedStayOut:
    """What a peer does with somebody of whom it told that it was revoked; and that all tell."""

    hears = (PeerRevoked, MemberUp, JobHanded, DiskForgot, Assign, Invite)

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], None] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Nothing is begun with an outcast; a disk that forgets may forget this too."""
        if peer.liar is not None:
            return
        match event:
            case PeerRevoked():
                world.coverage["a peer hears of a revocation"] += 1
                self._known[peer.name, event.peer] = None
            case DiskForgot():
                for known in [known for known in self._known if known[0] == peer.name]:
                    del self._known[known]
            case MemberUp():
                self._expect_unknown(world, peer, event.peer, "takes it for a member")
            case JobHanded():
                self._expect_unknown(world, peer, event.custodian, f"runs its {event.task}")
            case Sent():
                self._expect_unknown(world, peer, event.to, f"sends it {event.message}")

    def _expect_unknown(self, world: World, peer: SimulatedPeer, other: bytes, deed: str) -> None:
        if (peer.name, other) in self._known:
            name = world.by_id[other].name
            raise Violation(f"revoked-stay-out: {peer.name} knows that {name} is, and {deed}")

    def finish(self, world: World) -> None:
        """Everybody has heard of every revocation, and keeps to it."""
        revoked = world.revoked
        for peer in world.honest:
            if peer.core is None:
                continue
            for other in revoked:
                if other not in peer.core.trust.outcasts:
                    raise Violation(f"revocations-spread: {peer.name} has not heard of one")
                if other in peer.core.gossip.alive():
                    name = world.by_id[other].name
                    raise Violation(f"revoked-stay-out: {peer.name} holds {name} alive")
