"""What links say of members between two words of gossip.

A link whose redial is refused tells at once that a process is gone; gossip
confirms it seconds later. Meanwhile the other machines treat the member as
gone, and hear of it again when a link to it opens.
"""

import msgspec

from mesh.core.commands import LinkClosed
from mesh.core.routing import GOSSIP, ROUTES, Routed, peer_gone
from protocols.gossip.commands import LinkLost
from protocols.gossip.events import MemberDown, MemberUp


class Reachability:
    """The members that gossip holds alive, and those of them that nobody answers for."""

    def __init__(self) -> None:
        self._up: dict[bytes, MemberUp] = {}
        self._unreachable: dict[bytes, None] = {}

    def observe(self, event: msgspec.Struct) -> None:
        """Gossip holds a member alive, or gave one up; of anything else, nothing follows."""
        if isinstance(event, MemberUp):
            self._up[event.peer] = event
        elif isinstance(event, MemberDown):
            self._up.pop(event.peer, None)
            self._unreachable.pop(event.peer, None)

    def link_opened(self, peer: bytes) -> list[Routed]:
        """A link is up: what the other machines must hear."""
        if peer not in self._unreachable:
            return []
        del self._unreachable[peer]
        return ROUTES[MemberUp](self._up[peer])

    def link_closed(self, command: LinkClosed) -> list[Routed]:
        """A link broke: what the machines must hear."""
        routed: list[Routed] = [(GOSSIP, LinkLost(command.peer, command.refused))]
        if command.refused:
            if command.peer in self._up:
                self._unreachable[command.peer] = None
            routed += peer_gone(command.peer, "its process is gone", has_ended=True)
        return routed
