"""Draining a peer: before it is replaced, or as it stops.

    serving --order--> draining --nothing runs here, its own tasks ended--> left

A draining peer takes no submissions and no attempts, gives its slots back, and finishes
what runs. It stays a member, and custodian of its own undecided tasks, until these have
ended, elsewhere if need be; then it says goodbye. Its process goes on until it is stopped.
"""

from typing import Any

import msgspec
import trio

from mesh.core.peer import PeerCore
from mesh.runtime.standing import Steps
from protocols.gossip.commands import Leave
from protocols.tasks.commands import Drain
from protocols.tasks.events import Drained, TasksSettled


class Draining:
    """One peer's way out.

    Attributes:
        drained: nothing runs here any more, and every result was acknowledged.
    """

    def __init__(self, steps: Steps, core: PeerCore) -> None:
        """Takes the driver, and the core, which is only read."""
        self._steps = steps
        self._core = core
        self._ordered = trio.Event()
        self._finished = trio.Event()
        self._has_left = False
        self.drained = trio.Event()

    def begin(self) -> None:
        """Takes no new work."""
        self._steps.submit(Drain())

    def leave(self) -> None:
        """Says goodbye."""
        self._has_left = True
        self._steps.submit(Leave())
        self._steps.flush()

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core; those of others are passed over."""
        match event:
            case Drained():
                self.drained.set()
            case TasksSettled():
                pass
            case _:
                return
        if self.drained.is_set() and not self._core.tasks.undecided:
            self._finished.set()

    def order(self) -> dict[str, Any]:
        """Answers the verb ``drain``: begins, and tells how far it is; may be asked again."""
        if not self._ordered.is_set():
            self._ordered.set()
            self.begin()
        return self.told()

    def told(self) -> dict[str, Any]:
        """How far it is: ``state``, whether anything runs here, and its undecided tasks."""
        state = "left" if self._has_left else "draining" if self._ordered.is_set() else "serving"
        return {
            "state": state,
            "idle": self.drained.is_set(),
            "undecided": self._core.tasks.undecided,
        }

    def shown(self, status: dict[str, Any]) -> dict[str, Any]:
        """A peer's status, which is not just ``alive`` from the order on."""
        return status if not self._ordered.is_set() else {**status, "state": self.told()["state"]}

    async def run(self) -> None:
        """Leaves once it was ordered, and nothing is left to do."""
        await self._ordered.wait()
        await self._finished.wait()
        self.leave()
