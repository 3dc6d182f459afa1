"""Strategy ``least_loaded``: no auction; of two peers sampled, the less loaded takes the task.

The power of two choices (M. Mitzenmacher, 2001): nearly as even as asking everyone,
and what is known of loads may be a little old without all running to the same peer.

Invariant: a peer has no more tasks out than the slots that its desk counts (`slots-add-up`).
"""

import random
from collections.abc import Iterator

from protocols.tasks.breakers import Breakers
from protocols.tasks.catalogue import Catalogue
from protocols.tasks.dispatch import (
    DIRECT_SLOTS,
    SUSPECT_PAUSE_NS,
    TAIL_LOOK_LIMIT,
    Desk,
    Key,
    Slots,
    avoids,
)
from protocols.tasks.messages import BATCH_LIMIT
from protocols.tasks.parameters import NEVER
from protocols.tasks.task import Task

MICROSECONDS = 1_000
"""In a millisecond, the unit of advertised loads."""


class SpreadDesk(Desk):
    """One skill's line for this strategy, with a few slots of its own at each host."""

    def __init__(
        self,
        key: Key,
        target_us: int,
        breakers: Breakers,
        catalogue: Catalogue,
        rng: random.Random,
    ) -> None:
        super().__init__(key, target_us, breakers)
        self._catalogue = catalogue
        self._rng = rng

    def fill(self, now: int) -> Iterator[tuple[Slots, list[Task]]]:
        """Yields tasks for peers, as the load decides; the caller binds them before going on."""
        self.again_at = NEVER
        if not len(self.line):
            return
        room = self._rooms()
        chosen: dict[Slots, list[Task]] = {}
        aside: list[Task] = []
        only_children = self.is_saturated
        while room and len(aside) < TAIL_LOOK_LIMIT:
            task = self.line.pop(only_children)
            if task is None:
                break
            slots = self._choose(task, room, chosen, now)
            if slots is None:
                is_kept_off = now < task.avoid_until
                self._look_again(task.avoid_until if is_kept_off else now + SUSPECT_PAUSE_NS)
                aside.append(task)
                continue
            chosen.setdefault(slots, []).append(task)
            room[slots] -= 1
            if not room[slots]:
                del room[slots]
        if aside:
            self.line.put_back(aside)
        yield from chosen.items()

    def _rooms(self) -> dict[Slots, int]:
        """How many more tasks each host that can work may have."""
        rooms: dict[Slots, int] = {}
        for peer in self._catalogue.able(self.skill, self.version, self.requires):
            slots = self.slots.get(("", peer)) or self.hold("", peer, DIRECT_SLOTS, 0)
            room = min(self._room(slots), BATCH_LIMIT)
            if room > 0:
                rooms[slots] = room
        return rooms

    def _choose(
        self, task: Task, room: dict[Slots, int], chosen: dict[Slots, list[Task]], now: int
    ) -> Slots | None:
        ready = list(room)
        if task.avoid or task.suspicions:
            ready = [
                slots
                for slots in ready
                if not avoids(task, slots.peer, now)
                and not (task.suspicions and self._runs_suspect(slots.peer, chosen.get(slots, [])))
            ]
        if len(ready) < 2:
            return ready[0] if ready else None
        first, second = self._rng.sample(ready, 2)
        return min(first, second, key=lambda slots: self._weight(slots, task, chosen))

    def _weight(
        self, slots: Slots, task: Task, chosen: dict[Slots, list[Task]]
    ) -> tuple[float, int]:
        """What a peer said that it has to do, and what it was sent from here since.

        What was out there when it spoke it has counted itself; of what has ended since, it
        may not have spoken again. And the number alone where nothing is known of how long
        the tasks take.
        """
        out = len(slots.running) + len(chosen.get(slots, ()))
        expected_us = slots.expected_us(task.weight_us)
        load_us = self._catalogue.load_of(slots.peer) * MICROSECONDS
        return max(load_us + (out - slots.told) * expected_us, out * expected_us), out
