"""All tasks of one custodian, and the sums over them.

Invariants:
    one-place: an accepted task waits in a line or for its key, runs, waits for a retry, or is
        settled.
    one-attempt-out: a task has at most one attempt out, at one peer.
    tasks-add-up: the counts and bytes of undecided and settled tasks are sums.
"""

from collections import deque

from protocols.tasks.dispatch import Desk
from protocols.tasks.lifecycle import ACCEPTED, DEAD, RUNNING, SETTLED, UNDECIDED
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.task import Task


class Ledger:
    """Tasks by id, attempts out by peer, children by parent."""

    def __init__(self, parameters: TaskParameters) -> None:
        self._parameters = parameters
        self.tasks: dict[str, Task] = {}
        self.open_tasks = 0
        self.open_bytes = 0
        self.settled_bytes = 0
        """Of all settled tasks, dead letters included."""
        self.dead_bytes = 0
        self._dead: dict[str, int] = {}
        """Dead letters, and when they died; they keep their inputs, and longer."""
        self.flights: dict[bytes, dict[Task, None]] = {}
        """Tasks with an attempt out, by peer."""
        self.children: dict[str, dict[str, None]] = {}
        """Children of a task, whether or not that is known here."""
        self._settled: deque[tuple[str, int]] = deque()
        """Settled tasks, and when: by the monotonic clock, for a wall clock may jump by hours."""

    def add(self, task: Task) -> None:
        """A task was accepted."""
        self.tasks[task.id] = task
        self.open_tasks += 1
        self.open_bytes += task.size
        parent = task.envelope.parent
        if parent:
            self.children.setdefault(parent, {})[task.id] = None

    def settle(self, task: Task, monotonic_ns: int) -> None:
        """A task has just been settled: its end is kept for a while, and a dead letter's input.

        One that a restart brings back is kept as if it had ended at the restart.
        """
        self.open_tasks -= 1
        self.open_bytes -= task.size
        task.size = len(task.value) + len(task.error_message) + len(task.input)
        self.settled_bytes += task.size
        if task.state == DEAD:
            self.dead_bytes += task.size
            self._dead[task.id] = monotonic_ns
            while self._is_crowded_by_dead():
                self._forget_dead()
            return
        self._settled.append((task.id, monotonic_ns))
        if (
            len(self._settled) > self._parameters.settled_tasks
            or self.settled_bytes - self.dead_bytes > self._parameters.settled_bytes
        ):
            self._forget_oldest()

    def forget_old(self, monotonic_ns: int) -> None:
        """Settled tasks beyond their age vanish."""
        oldest = monotonic_ns - self._parameters.settled_age_ns
        while self._settled and self._settled[0][1] < oldest:
            self._forget_oldest()
        oldest = monotonic_ns - self._parameters.dead_age_ns
        while self._dead and next(iter(self._dead.values())) < oldest:
            self._forget_dead()

    def dead_letters(self, skill: str) -> list[str]:
        """The dead letters of a skill, or all, the oldest first."""
        return [
            each for each in self._dead if not skill or self.tasks[each].envelope.skill == skill
        ]

    def reopen(self, task: Task) -> None:
        """A dead letter is accepted once more."""
        del self._dead[task.id]
        self.dead_bytes -= task.size
        self.settled_bytes -= task.size
        task.size = len(task.input)
        self.open_tasks += 1
        self.open_bytes += task.size

    def _is_crowded_by_dead(self) -> bool:
        return (
            len(self._dead) > self._parameters.dead_tasks
            or self.dead_bytes > self._parameters.dead_bytes
        )

    def _forget_dead(self) -> None:
        oldest = next(iter(self._dead))
        del self._dead[oldest]
        self.dead_bytes -= self.tasks[oldest].size
        self._forget(oldest)

    def _forget_oldest(self) -> None:
        self._forget(self._settled.popleft()[0])

    def _forget(self, task_id: str) -> None:
        task = self.tasks.pop(task_id)
        self.settled_bytes -= task.size
        parent = task.envelope.parent
        if parent:
            siblings = self.children.get(parent)
            if siblings is not None:
                siblings.pop(task.id, None)
                if not siblings:
                    del self.children[parent]

    def has_room(self, count: int, size: int) -> bool:
        """Whether so many more tasks, of so many bytes, may be undecided here."""
        return (
            self.open_tasks + count <= self._parameters.pending_tasks
            and self.open_bytes + size <= self._parameters.pending_bytes
        )

    def take_off(self, peer: bytes, task: Task) -> None:
        """An attempt goes out."""
        flights = self.flights.get(peer)
        if flights is None:
            flights = self.flights[peer] = {}
        flights[task] = None

    def land(self, peer: bytes, task: Task) -> None:
        """An attempt is out no more."""
        flights = self.flights[peer]
        del flights[task]
        if not flights:
            del self.flights[peer]

    def check(self) -> None:
        """Asserts what is said on top."""
        undecided = [task for task in self.tasks.values() if task.state in UNDECIDED]
        settled = [task for task in self.tasks.values() if task.state in SETTLED]
        assert self.open_tasks == len(undecided), "tasks-add-up: undecided tasks"
        assert self.open_bytes == sum([t.size for t in undecided]), "tasks-add-up: open bytes"
        dead = [task for task in settled if task.state == DEAD]
        ids = sorted(task.id for task in dead)
        assert sorted(self._dead) == ids, "tasks-add-up: dead letters"
        assert self.dead_bytes == sum([t.size for t in dead]), "tasks-add-up: dead bytes"
        assert len(self._settled) + len(dead) == len(settled), "tasks-add-up: settled tasks"
        assert self.settled_bytes == sum([t.size for t in settled]), "tasks-add-up: settled bytes"
        for task in settled:
            assert task.current is None, f"one-place: {task.state} with an attempt out"
        out: dict[Task, bytes] = {}
        for peer, flights in self.flights.items():
            for task in flights:
                assert task not in out, "one-attempt-out: an attempt at two peers"
                out[task] = peer
                assert task.state == RUNNING, f"one-attempt-out: {task.state}, and out"
        lines: dict[Desk, list[Task]] = {}
        for task in undecided:
            if task.state == RUNNING:
                assert task.current is not None, "one-place: running without an attempt"
                assert out.get(task) == task.current.peer, "one-attempt-out: out at another peer"
            else:
                assert task.current is None, f"one-place: {task.state} with an attempt out"
            if task.state == ACCEPTED and not task.is_aside:
                lines.setdefault(task.desk, []).append(task)
        for desk, waiting in lines.items():
            in_line = desk.line.upcoming()
            assert len(in_line) == len(desk.line), "one-place: a line counts wrong"
            ids = sorted(task.id for task in waiting)
            assert ids == sorted(task.id for task in in_line), "one-place: accepted, in no line"
