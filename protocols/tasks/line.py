"""Tasks of one skill that wait for a slot, in the order in which they get one.

First those that lost their peer, then by priority, depth (children first, so
that parents can end), and then fairly between submitters (`lanes.py`). A higher
priority does not starve a lower one: of so many tasks that leave while others
wait below, one is taken from below. Settled tasks are passed over when they are
met, not searched for.
"""

import bisect
import heapq
from collections import deque
from collections.abc import Callable

from protocols.tasks.lanes import Lanes
from protocols.tasks.lifecycle import ACCEPTED
from protocols.tasks.task import Task

Rank = tuple[int, int, int]


def rank_of(task: Task) -> Rank:
    """Of a child; the smaller, the sooner."""
    return (-task.envelope.priority, -task.envelope.depth, -task.weight_us)


STALE_LIMIT = 1024
"""Settled tasks that are left in a line before it is swept."""
AGEING = 16
"""Of so many tasks that leave while lower priorities wait, one is of these, in turn."""

Heap = list[tuple[Rank, int, Task]]


class Line:
    """Waiting tasks. `len` counts those that really wait."""

    def __init__(self) -> None:
        self._front: deque[Task] = deque()
        self._levels: dict[int, Lanes] = {}
        """By priority; none of them is empty."""
        self._ranks: list[int] = []
        """The priorities negated, in order: the highest first."""
        self._below: Heap = []
        self._order = 0
        self._count = 0
        self._stale = 0
        self._passed = 0
        """Tasks that left while lower priorities waited."""
        self.children = 0
        """Those of them that another task waits for; they are in the heap `_below`."""

    def __len__(self) -> int:
        return self._count

    @property
    def kept(self) -> int:
        """Tasks in memory, settled ones included."""
        return len(self._front) + len(self._below) + sum(map(len, self._levels.values()))

    def push(self, task: Task) -> None:
        """A task joins by its priority, depth and submitter."""
        self._count += 1
        self._order += 1
        envelope = task.envelope
        if envelope.depth:
            self.children += 1
            heapq.heappush(self._below, (rank_of(task), self._order, task))
            return
        level = self._levels.get(envelope.priority)
        if level is None:
            level = self._levels[envelope.priority] = Lanes()
            bisect.insort(self._ranks, -envelope.priority)
        level.push(task, self._order)

    def push_front(self, task: Task) -> None:
        """A task that had a slot already goes before all others; a child, before its like."""
        self._count += 1
        if task.envelope.depth:
            self._push_child_first(task)
        else:
            self._front.append(task)

    def put_back(self, tasks: list[Task]) -> None:
        """Tasks that were popped and could not be used keep their place at the head."""
        self._count += len(tasks)
        for task in reversed(tasks):
            if task.envelope.depth:
                self._push_child_first(task)
            else:
                self._front.appendleft(task)

    def _push_child_first(self, task: Task) -> None:
        self._order += 1
        self.children += 1
        heapq.heappush(self._below, (rank_of(task), -self._order, task))

    def forget(self, task: Task) -> None:
        """A waiting task is about to be settled; it is passed over when it is met."""
        self._leaves(task)
        self._stale += 1
        if not self._count or (self._stale > STALE_LIMIT and self._stale > self._count):
            self._sweep(lambda each: each.state == ACCEPTED and each is not task)

    def pop(self, only_children: bool = False) -> Task | None:
        """The next task, or None."""
        while self.children if only_children else self._count:
            task = heapq.heappop(self._below)[2] if only_children else self._pop_any()
            if task.state == ACCEPTED:
                self._leaves(task)
                return task
            self._stale -= 1
        return None

    def first(self) -> Task | None:
        """The next task, left where it is; None where that takes more than a look."""
        heads = list(self._front)[:1]
        if self._below:
            heads.append(self._below[0][2])
        if self._ranks:
            heads.append(self._levels[-self._ranks[0]].head())
        return next((task for task in heads if task.state == ACCEPTED), None)

    def upcoming(self) -> list[Task]:
        """All waiting tasks, in order; to be asked for when they are few."""
        copy = Line()
        copy.__dict__.update(self.__dict__)
        copy._front = self._front.copy()
        copy._below = self._below.copy()
        copy._ranks = self._ranks.copy()
        copy._levels = {priority: level.copy() for priority, level in self._levels.items()}
        return list(iter(copy.pop, None))

    def _leaves(self, task: Task) -> None:
        assert self._count > 0, "one-place: nobody waits"
        self._count -= 1
        if task.envelope.depth:
            self.children -= 1

    def _pop_any(self) -> Task:
        if self._front:
            return self._front.popleft()
        ranks = self._ranks
        if not ranks:
            return heapq.heappop(self._below)[2]
        is_childs_turn = bool(self._below) and self._below[0][0][0] <= ranks[0]
        waiting = ranks if is_childs_turn else ranks[1:]
        if waiting:
            self._passed += 1
            if self._passed % AGEING == 0:
                return self._pop_level(waiting[self._passed // AGEING % len(waiting)])
        return heapq.heappop(self._below)[2] if is_childs_turn else self._pop_level(ranks[0])

    def _pop_level(self, rank: int) -> Task:
        level = self._levels[-rank]
        task = level.pop()
        if not level:
            del self._levels[-rank]
            self._ranks.remove(rank)
        return task

    def _sweep(self, is_wanted: Callable[[Task], bool]) -> None:
        self._front = deque(filter(is_wanted, self._front))
        self._below = [entry for entry in self._below if is_wanted(entry[2])]
        heapq.heapify(self._below)
        kept = {priority: level.kept(is_wanted) for priority, level in self._levels.items()}
        self._levels = {priority: level for priority, level in kept.items() if level}
        self._ranks = sorted(-priority for priority in self._levels)
        self._stale = 0
