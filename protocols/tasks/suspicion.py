"""Which tasks end whoever runs them: the evidence, and when it convicts.

A *suspicion* is one attempt that may have ended its host. Two at different peers
make a task poison. What could as well have been somebody else's doing is no
suspicion, or does not convict; the rule, and what it cannot tell, is on
docs/protocols/tasks.md, "Poison".
"""

from collections import deque
from collections.abc import Sequence

from protocols.machine import SECOND_NS, Now
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.task import Task

POISON_PEERS = 2
"""A task that ended its host at so many different peers is tried at no other."""
DEATHS_LIMIT = 64
UNREST_NS = 60 * SECOND_NS
"""Where another process ended within this time without the task, something else ends processes."""


class Suspicions:
    """What this custodian has seen of processes that ended."""

    def __init__(self, parameters: TaskParameters) -> None:
        self._parameters = parameters
        self._deaths: deque[tuple[int, bytes]] = deque(maxlen=DEATHS_LIMIT)

    def worker_ended(self, tasks: Sequence[Task], peer: bytes) -> Task | None:
        """A worker process ended while it ran these tasks; the one that is poison, or None.

        All are suspects from now on. Only one that was a suspect elsewhere before is
        convicted, and only where no other of them was.
        """
        before = [task for task in tasks if _elsewhere(task, peer)]
        for task in tasks:
            _suspect(task, peer)
        return before[0] if len(before) == 1 else None

    def peer_ended(self, tasks: Sequence[Task], peer: bytes, now: Now) -> Task | None:
        """A peer's process ended with these tasks; the one that is poison, or None.

        A process may be ended by anyone, so only a task that was alone there, and
        not for long, in a time when no others end, is a suspect.
        """
        mono = now.monotonic_ns
        recent = [other for when, other in self._deaths if mono - when <= UNREST_NS]
        self._deaths.append((mono, peer))
        if len(tasks) != 1:
            return None
        (task,) = tasks
        attempt = task.current
        assert attempt is not None, "one-attempt-out: in flight without an attempt"
        if not 0 <= now.wall_ns - attempt.started_wall <= self._parameters.poison_ns:
            return None
        if any(other not in (*task.suspicions, peer) for other in recent):
            return None
        is_convicted = _elsewhere(task, peer)
        _suspect(task, peer)
        return task if is_convicted else None


def _elsewhere(task: Task, peer: bytes) -> bool:
    return len({*task.suspicions, peer}) >= POISON_PEERS


def _suspect(task: Task, peer: bytes) -> None:
    if peer not in task.suspicions:
        task.suspicions = (*task.suspicions, peer)
