"""Waiting tasks of one priority, fairly between those who submitted them.

Each submitter has a lane; the lanes take turns, a task each (round robin). In a
lane the longest go first, where the caller gave estimates, then the oldest. Nobody
who queues ten thousand tasks keeps another's single call waiting for more than the
tasks that already run.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable

from protocols.tasks.lifecycle import ACCEPTED
from protocols.tasks.task import Task


class Lane:
    """What one submitter has waiting at one priority."""

    __slots__ = ("plain", "submitter", "weighed")

    def __init__(self, submitter: str) -> None:
        self.submitter = submitter
        self.plain: deque[Task] = deque()
        self.weighed: list[tuple[int, int, Task]] = []

    def head(self) -> Task:
        """Whose turn it is in this lane."""
        return self.weighed[0][2] if self.weighed else self.plain[0]

    def pop(self) -> Task:
        """Takes the head out."""
        return heapq.heappop(self.weighed)[2] if self.weighed else self.plain.popleft()

    def copy(self) -> "Lane":
        """The same tasks in another lane."""
        made = Lane(self.submitter)
        made.plain, made.weighed = self.plain.copy(), self.weighed.copy()
        return made

    def kept(self, is_wanted: Callable[[Task], bool]) -> "Lane":
        """Only some of the tasks, in another lane."""
        made = Lane(self.submitter)
        made.plain = deque(filter(is_wanted, self.plain))
        made.weighed = [entry for entry in self.weighed if is_wanted(entry[2])]
        heapq.heapify(made.weighed)
        return made

    def __len__(self) -> int:
        return len(self.plain) + len(self.weighed)


class Lanes:
    """The lanes of one priority; none of them is empty."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._turns: deque[Lane] = deque()

    def __len__(self) -> int:
        return sum(map(len, self._turns))

    def __bool__(self) -> bool:
        return bool(self._turns)

    def push(self, task: Task, order: int) -> None:
        """A task joins its submitter's lane; a new lane has its turn after all others."""
        submitter = task.envelope.submitter
        lane = self._lanes.get(submitter)
        if lane is None:
            lane = self._lanes[submitter] = Lane(submitter)
            self._turns.append(lane)
        if task.weight_us:
            heapq.heappush(lane.weighed, (-task.weight_us, order, task))
        else:
            lane.plain.append(task)

    def pop(self) -> Task:
        """The next task. One that has settled meanwhile takes no turn."""
        lane = self._turns[0]
        task = lane.pop()
        if not len(lane):
            self._turns.popleft()
            del self._lanes[lane.submitter]
        elif len(self._turns) > 1 and task.state == ACCEPTED:
            self._turns.rotate(-1)
        return task

    def head(self) -> Task:
        """The next task, left where it is."""
        return self._turns[0].head()

    def copy(self) -> "Lanes":
        """The same tasks and turns."""
        return self._of(lane.copy() for lane in self._turns)

    def kept(self, is_wanted: Callable[[Task], bool]) -> "Lanes":
        """Only some of the tasks, in the same turns."""
        kept = [lane.kept(is_wanted) for lane in self._turns]
        return self._of(lane for lane in kept if len(lane))

    @staticmethod
    def _of(lanes: Iterable[Lane]) -> "Lanes":
        made = Lanes()
        made._turns = deque(lanes)
        made._lanes = {lane.submitter: lane for lane in made._turns}
        return made
