"""After faults stop, every running peer sees exactly the running peers, at their doors."""

import msgspec

from protocols.gossip.events import MemberDown, MemberSuspected, MemberUp
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World


class MembershipConverges:
    """No running peer is held dead for ever, and no stopped or invented one alive.

    What is said of liars does not matter.
    """

    hears = (MemberSuspected,)

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Views are compared at the end only: while faults last, they may differ."""
        if isinstance(event, MemberSuspected):
            world.coverage["a member is suspected"] += 1

    def finish(self, world: World) -> None:
        """Compares every running peer's view with who runs."""
        liars = [peer.peer for peer in world.peers if peer.liar is not None]
        running = sorted(peer.peer for peer in world.honest if peer.core is not None)
        for peer in world.honest:
            if peer.core is None:
                continue
            alive = [*peer.core.gossip.alive(), peer.peer]
            seen = sorted(other for other in alive if other not in liars)
            if seen != running:
                names = [
                    world.by_id[other].name if other in world.by_id else "a stranger"
                    for other in seen
                ]
                raise Violation(f"membership-converges: {peer.name} sees {names}")
            self._check_doors(world, peer)

    def _check_doors(self, world: World, peer: SimulatedPeer) -> None:
        assert peer.core is not None, "a peer that does not run sees nobody"
        for other in world.honest:
            contact = peer.core.gossip.contact(other.peer)
            if other.core is None or other is peer:
                continue
            if contact is None or contact.door != other.door:
                raise Violation(f"membership-converges: {peer.name} knows no door of {other.name}")


class OnlyTheAdmittedAreMembers:
    """Nobody without a credential of the mesh is ever taken for a member."""

    hears = (MemberUp,)

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """A member that the world does not know was invented."""
        if isinstance(event, MemberUp) and event.peer not in world.by_id and peer.liar is None:
            raise Violation(f"only-the-admitted: {peer.name} takes {event.name} for a member")

    def finish(self, world: World) -> None:
        """Nothing is left to say."""


class NobodyIsBuriedAlive:
    """In a mesh without faults nobody is ever declared dead, or said to have left."""

    hears = (MemberDown,)

    def __init__(self, peaceful: bool) -> None:
        """Only counts, where faults may make a live peer look dead."""
        self._peaceful = peaceful

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """A death of somebody who runs is a mistake; of a liar, no loss."""
        if not isinstance(event, MemberDown) or (event.reason != "dead" and not self._peaceful):
            return
        gone = world.by_id.get(event.peer)
        if gone is None or gone.liar is not None or peer.liar is not None:
            return
        if gone.is_running:
            world.coverage["a running peer is declared dead"] += 1
            if self._peaceful:
                raise Violation(f"nobody-buried-alive: {peer.name} buries {gone.name}")
        else:
            world.coverage["a stopped peer is declared dead"] += 1

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
