"""What is due when, for the few tasks that wait for a moment.

A heap with lazy deletion: an entry whose task has moved on means nothing.
"""

import heapq
from collections.abc import Iterator

from protocols.tasks.lifecycle import UNDECIDED, WAITING
from protocols.tasks.parameters import NEVER
from protocols.tasks.task import Task

RETRY, DEADLINE = 0, 1
STALE_LIMIT = 4096


class Timetable:
    """Retries and deadlines."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Task]] = []
        self._order = 0
        self._sweep_size = STALE_LIMIT

    def retry(self, at: int, task: Task) -> None:
        """The task's next attempt is due then."""
        self._put(at, RETRY, task)

    def deadline(self, at: int, task: Task) -> None:
        """The task expires then."""
        self._put(at, DEADLINE, task)

    def _put(self, at: int, what: int, task: Task) -> None:
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, what, task))
        if len(self._heap) > self._sweep_size:
            self._heap = [entry for entry in self._heap if _is_live(entry)]
            heapq.heapify(self._heap)
            self._sweep_size = max(STALE_LIMIT, 2 * len(self._heap))

    def next(self) -> int:
        """When something is due."""
        heap = self._heap
        if not heap:
            return NEVER
        while heap and not _is_live(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def due(self, now: int) -> Iterator[tuple[int, Task]]:
        """Takes out all that is due: (RETRY or DEADLINE, task)."""
        while self.next() <= now:
            _, _, what, task = heapq.heappop(self._heap)
            yield what, task


def _is_live(entry: tuple[int, int, int, Task]) -> bool:
    return entry[3].state == WAITING if entry[2] == RETRY else entry[3].state in UNDECIDED
