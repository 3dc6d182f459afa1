"""One idempotency key names one task, wherever and however often it is submitted."""

import msgspec

from protocols.tasks.events import TasksAccepted
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World


class OneKeyOneTask:
    """A key gives the same id at every peer, and no two keys give one id."""

    hears = (TasksAccepted,)

    def __init__(self) -> None:
        self._task_of: dict[str, str] = {}
        self._name_of: dict[tuple[bytes, str], tuple[int, int] | str] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Compares the ids that a request was answered with."""
        if not isinstance(event, TasksAccepted):
            return
        pairs = zip(event.tasks, world.requests[event.request], strict=True)
        for index, (task, spec) in enumerate(pairs):
            if spec.key and self._task_of.setdefault(spec.key, task) != task:
                raise Violation(f"one-key-one-task: {spec.key} is {task} at {peer.name} too")
            name = spec.key or (event.request, index)
            if self._name_of.setdefault((peer.peer, task), name) != name:
                raise Violation(f"one-key-one-task: {task} is given twice by {peer.name}")

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
