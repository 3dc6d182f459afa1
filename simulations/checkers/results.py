"""A done task has the result that its skill computes from its input."""

import msgspec

from protocols.tasks.events import TasksAccepted, TasksSettled
from simulations.agents import WRONG, answer
from simulations.observations import WrongAnswer
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World


class ResultsAreRight:
    """What a custodian tells as a task's result is what its handler computes.

    Where a handler of the task gave a wrong answer, that one may be told instead: an
    ordinary task trusts the one worker that ran it.
    """

    hears = (TasksAccepted, TasksSettled, WrongAnswer)

    def __init__(self) -> None:
        self._expected: dict[tuple[bytes, str], object] = {}
        self._wrong: dict[tuple[bytes, str], None] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Compares results with what was submitted under each request number."""
        if isinstance(event, TasksAccepted):
            specs = world.requests[event.request]
            if len(specs) != len(event.tasks):
                raise Violation(f"right-result: {len(event.tasks)} ids for {len(specs)} tasks")
            for task, spec in zip(event.tasks, specs, strict=True):
                expected = answer(spec.skill, msgspec.msgpack.decode(spec.input))
                self._expected[peer.peer, task] = expected
        elif isinstance(event, WrongAnswer):
            self._wrong[event.custodian, event.task] = None
        elif isinstance(event, TasksSettled):
            for settled in event.settled:
                expected = self._expected.get((peer.peer, settled.task))
                if settled.state == "done" and expected is not None:
                    value = msgspec.msgpack.decode(settled.value)
                    is_wrong = value == WRONG and (peer.peer, settled.task) in self._wrong
                    if is_wrong:
                        world.coverage["a wrong answer is believed"] += 1
                    elif value != expected:
                        raise Violation(f"right-result: {settled.task} gave {value!r}")

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
