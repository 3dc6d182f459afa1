"""After faults stop, every running peer sees exactly the running peers; nobody honest is blamed."""

import msgspec

from mesh.core.outward import Accuse
from simulations.world import SimulatedPeer, Violation, World


class MembershipConverges:
    """No running peer is held dead for ever, and no stopped one alive."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Views are compared at the end only: while faults last, they may differ."""

    def finish(self, world: World) -> None:
        """Compares every running peer's view with who runs."""
        running = sorted(peer.peer for peer in world.peers if peer.core is not None)
        for peer in world.peers:
            if peer.core is None:
                continue
            seen = sorted([*peer.core.gossip.alive(), peer.peer])
            if seen != running:
                names = [world.by_id[other].name for other in seen if other in world.by_id]
                raise Violation(f"membership-converges: {peer.name} sees {names}")


class NobodyHonestIsBlamed:
    """Without adversaries there is no blame."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Any accusation is a violation."""
        if isinstance(event, Accuse):
            name = world.by_id[event.peer].name if event.peer in world.by_id else "a stranger"
            raise Violation(f"honest-not-blamed: {peer.name} blames {name}: {event.offence}")

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
