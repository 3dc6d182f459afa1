"""Tasks of one skill that wait for a slot, in the order in which they get one.

First those that lost their peer, then by priority, depth (children first, so
that parents can end), weight (longest first) and age. Settled tasks are
passed over when they are met, not searched for.
"""

import heapq
from collections import deque

from protocols.tasks.lifecycle import ACCEPTED
from protocols.tasks.task import Task

Rank = tuple[int, int, int]
PLAIN: Rank = (0, 0, 0)


def rank_of(task: Task) -> Rank:
    """The smaller, the sooner."""
    return (-task.envelope.priority, -task.envelope.depth, -task.weight_us)


STALE_LIMIT = 1024
"""Settled tasks that are left in a line before it is swept."""


Heap = list[tuple[Rank, int, Task]]


class Line:
    """Waiting tasks. `len` counts those that really wait."""

    def __init__(self) -> None:
        self._front: deque[Task] = deque()
        self._plain: deque[Task] = deque()
        self._ranked: Heap = []
        self._below: Heap = []
        self._order = 0
        self._count = 0
        self._stale = 0
        self.children = 0
        """Those of them that another task waits for; they are in the heap `_below`."""

    def __len__(self) -> int:
        return self._count

    @property
    def kept(self) -> int:
        """Tasks in memory, settled ones included."""
        return len(self._front) + len(self._plain) + len(self._ranked) + len(self._below)

    def push(self, task: Task) -> None:
        """A task joins by its rank."""
        self._count += 1
        envelope = task.envelope
        if not (task.weight_us or envelope.priority or envelope.depth):
            self._plain.append(task)
            return
        self._order += 1
        if envelope.depth:
            self.children += 1
            heapq.heappush(self._below, (rank_of(task), self._order, task))
        else:
            heapq.heappush(self._ranked, (rank_of(task), self._order, task))

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
        if not self._count:
            self._sweep([])
        elif self._stale > STALE_LIMIT and self._stale > self._count:
            self._sweep([each for each in self.upcoming() if each is not task])

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
        heads = (*list(self._front)[:1], *[heap[0][2] for heap in self._heaps()])
        for task in heads:
            if task.state == ACCEPTED:
                return task
        return self._plain[0] if self._plain and self._plain[0].state == ACCEPTED else None

    def upcoming(self) -> list[Task]:
        """All waiting tasks, in order; to be asked for when they are few."""
        ranked = sorted((*self._ranked, *self._below), key=lambda entry: entry[:2])
        before = [entry[2] for entry in ranked if entry[0] < PLAIN]
        after = [entry[2] for entry in ranked if entry[0] >= PLAIN]
        line = [*self._front, *before, *self._plain, *after]
        return [task for task in line if task.state == ACCEPTED]

    def _heaps(self) -> list[Heap]:
        return [heap for heap in (self._ranked, self._below) if heap]

    def _leaves(self, task: Task) -> None:
        assert self._count > 0, "one-place: nobody waits"
        self._count -= 1
        if task.envelope.depth:
            self.children -= 1

    def _pop_any(self) -> Task:
        if self._front:
            return self._front.popleft()
        if self._ranked or self._below:
            heap = min(self._heaps(), key=lambda heap: heap[0][:2])
            if not self._plain or heap[0][0] < PLAIN:
                return heapq.heappop(heap)[2]
        return self._plain.popleft()

    def _sweep(self, kept: list[Task]) -> None:
        self._front = deque(task for task in kept if not task.envelope.depth)
        self._plain.clear()
        self._ranked.clear()
        self._below = [
            (rank_of(task), order - self._order - len(kept), task)
            for order, task in enumerate(kept)
            if task.envelope.depth
        ]
        heapq.heapify(self._below)
        self._order += len(kept)
        self._stale = 0
