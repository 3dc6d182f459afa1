"""Where a handler is stopped because nobody wants its result, its children stop too."""

import msgspec

from protocols.machine import MILLISECOND_NS, Instant
from protocols.tasks.events import TasksAccepted, TasksSettled
from simulations.observations import JobFinished, PeerStarted
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

AT_ONCE_NS = 20 * MILLISECOND_NS


class ChildrenFollow:
    """No child goes on to a result after its parent was cancelled, or overdue, at the same peer."""

    hears = (TasksAccepted, TasksSettled, JobFinished, PeerStarted)

    def __init__(self) -> None:
        self._open: dict[tuple[bytes, str], dict[str, None]] = {}
        """Children that are not settled, by custodian and parent."""
        self._unwanted: dict[tuple[bytes, str], Instant] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows parents and children of one peer."""
        match event:
            case TasksAccepted():
                pairs = zip(event.tasks, world.requests[event.request], strict=True)
                for task, spec in pairs:
                    if spec.parent:
                        self._open.setdefault((peer.peer, spec.parent), {})[task] = None
            case JobFinished() if event.status in ("cancelled", "timeout"):
                for child in self._open.pop((peer.peer, event.task), ()):
                    self._unwanted[peer.peer, child] = world.now
            case PeerStarted():
                self._open = {key: v for key, v in self._open.items() if key[0] != peer.peer}
                for key in [key for key in self._unwanted if key[0] == peer.peer]:
                    del self._unwanted[key]
            case TasksSettled():
                for settled in event.settled:
                    since = self._unwanted.pop((peer.peer, settled.task), None)
                    if since is None or settled.state != "done":
                        continue
                    if world.now > since + AT_ONCE_NS:
                        raise Violation(f"children-follow: {settled.task} outlives its parent")

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
