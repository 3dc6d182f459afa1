"""No accepted task is lost, and no task ends twice in different ways."""

import msgspec

from protocols.tasks.events import Settled, TasksAccepted, TasksSettled
from simulations.world import SimulatedPeer, Violation, World


class AcceptedTasksEnd:
    """Every task that a custodian acknowledged comes to exactly one end."""

    def __init__(self) -> None:
        self.accepted: dict[str, str] = {}
        self.settled: dict[str, Settled] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of acceptances and ends."""
        if isinstance(event, TasksAccepted):
            for task in event.tasks:
                self.accepted.setdefault(task, peer.name)
        elif isinstance(event, TasksSettled):
            for settled in event.settled:
                self._ended(world, peer, settled)

    def _ended(self, world: World, peer: SimulatedPeer, settled: Settled) -> None:
        before = self.settled.setdefault(settled.task, settled)
        if (before.state, bytes(before.value)) != (settled.state, bytes(settled.value)):
            raise Violation(
                f"one-end: {settled.task} was {before.state} and is {settled.state} "
                f"at {peer.name}, {world.now} ns"
            )

    def finish(self, world: World) -> None:
        """All that was accepted has ended by now."""
        lost = [task for task in self.accepted if task not in self.settled]
        if lost:
            raise Violation(
                f"no-accepted-task-lost: {len(lost)} of {len(self.accepted)}: {lost[:5]}"
            )


class ResultsAreRight:
    """A done task has the result that its skill computes from its input."""

    def __init__(self) -> None:
        self.submitted: dict[int, object] = {}
        self.expected: dict[str, object] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Compares results with what was submitted under each request number."""
        if isinstance(event, TasksAccepted):
            for task in event.tasks:
                self.expected[task] = self.submitted[event.request]
        if isinstance(event, TasksSettled):
            for settled in event.settled:
                if settled.state == "done" and settled.task in self.expected:
                    value = msgspec.msgpack.decode(settled.value)
                    if value != self.expected[settled.task]:
                        raise Violation(f"right-result: {settled.task} gave {value!r}")

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
