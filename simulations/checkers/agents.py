"""What agents say of themselves is kept to: labels, sickness, and who poisoned whom."""

import msgspec

from protocols.tasks.commands import TaskSpec
from protocols.tasks.events import TasksAccepted, TasksSettled
from simulations.agents import POISON
from simulations.observations import JobFinished, JobHanded
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

POISONED = "PoisonTask"
PEERS_LOST = 2
"""So many peers lose a worker process to a task, and no more."""


class AgentsAreHeeded:
    """Nothing begins where its labels are missing or the agent is sick; poison is stopped.

    How many peers a poison task costs, and that nobody else is taken for one, is said only of
    runs in which it is the only one and no peer is stopped, cut off or killed.
    """

    hears = (TasksAccepted, JobHanded, JobFinished, TasksSettled)

    def __init__(self, is_poison_clear: bool) -> None:
        """`is_poison_clear`: only the poison task ends processes."""
        self._is_poison_clear = is_poison_clear
        self._specs: dict[str, TaskSpec] = {}
        """Tasks that ask for labels, and poison."""
        self._hit: dict[str, dict[bytes, None]] = {}
        """The peers that lost a worker to each poison task."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows tasks from their acceptance to their end."""
        match event:
            case TasksAccepted() if event.request in world.requests:
                specs = world.requests[event.request]
                for task, spec in zip(event.tasks, specs, strict=True):
                    if spec.requires or POISON in msgspec.msgpack.decode(spec.input):
                        self._specs[task] = spec
            case JobHanded():
                self._handed(peer, event)
            case JobFinished() if event.task in self._specs and event.status == "crashed":
                self._crashed(world, peer, event.task)
            case TasksSettled():
                for settled in event.settled:
                    self._ended(world, settled.task, settled.state, settled.error_kind)

    def _handed(self, peer: SimulatedPeer, event: JobHanded) -> None:
        if (event.skill, "1") in peer.sick:
            raise Violation(f"sick-begin-nothing: {peer.name} begins {event.skill} though sick")
        spec = self._specs.get(event.task)
        if spec is not None and not set(spec.requires) <= set(peer.labels):
            raise Violation(f"labels-kept: {peer.name} lacks what {event.task} asks for")

    def _crashed(self, world: World, peer: SimulatedPeer, task: str) -> None:
        if POISON not in msgspec.msgpack.decode(self._specs[task].input):
            return
        hit = self._hit.setdefault(task, {})
        hit[peer.peer] = None
        world.coverage["poison ends a worker"] += 1
        if self._is_poison_clear and len(hit) > PEERS_LOST:
            raise Violation(f"poison-stopped: {task} ended workers of {len(hit)} peers")

    def _ended(self, world: World, task: str, state: str, kind: str) -> None:
        is_poison = task in self._hit
        if is_poison and state == "done":
            raise Violation(f"poison-stopped: {task} is done, and ends whoever runs it")
        if kind != POISONED:
            return
        world.coverage["poison is stopped" if is_poison else "taken for poison"] += 1
        if self._is_poison_clear and not is_poison:
            raise Violation(f"innocents-go-free: {task} only ran beside a poison task")

    def finish(self, world: World) -> None:
        """Nothing is left to say: that every task ends, others watch."""
