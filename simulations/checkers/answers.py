"""Every request is answered, as long as its peer lives."""

import msgspec

from protocols.machine import SECOND_NS, Instant
from protocols.tasks.events import SubmissionRefused, TasksAccepted
from simulations.observations import Asked, PeerStopped, RequestRefused
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

PATIENCE_NS = 5 * SECOND_NS


class RequestsAreAnswered:
    """A submission that was not refused at once is accepted, or refused later, and soon."""

    hears = (Asked, TasksAccepted, SubmissionRefused, RequestRefused, PeerStopped)

    def __init__(self) -> None:
        self._open: dict[int, tuple[SimulatedPeer, Instant]] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows requests."""
        match event:
            case Asked():
                self._open[event.request] = (peer, world.now)
            case TasksAccepted() | SubmissionRefused() | RequestRefused():
                asked = self._open.pop(event.request, None)
                if asked is None:
                    raise Violation(f"one-answer: request {event.request} is answered again")
            case PeerStopped():
                gone = [request for request, asked in self._open.items() if asked[0] is peer]
                for request in gone:
                    del self._open[request]

    def finish(self, world: World) -> None:
        """Nothing old is open."""
        for request, (peer, asked_at) in self._open.items():
            if asked_at + PATIENCE_NS < world.now:
                raise Violation(f"one-answer: {peer.name} never answered request {request}")
