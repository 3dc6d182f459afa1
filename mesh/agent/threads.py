"""Plain handlers: a few threads per skill, which take job after job from a queue.

As many jobs run at once as the skill has slots. A job that awaits a child has
given its slot back while its thread waits, so there may be more threads than
slots; a thread that finds too many at work ends.
"""

import threading
from collections import deque
from collections.abc import Callable

from mesh.agent.agent import Skill
from mesh.agent.context import Context
from mesh.agent.execution import clock_ns, end_stopped, end_with_error, end_with_value
from mesh.agent.outbox import Outbox
from mesh.local.messages import LocalJob

SHORT_US = 500
"""A job as short as this is followed at once by the next: its end may wait for more."""


class ThreadRunner:
    """Runs the jobs of one skill with a plain handler."""

    def __init__(
        self,
        skill: Skill,
        outbox: Outbox,
        make_context: Callable[[LocalJob], Context],
        forget: Callable[[int], None],
    ) -> None:
        self._skill = skill
        self._outbox = outbox
        self._make_context = make_context
        self._forget = forget
        self._lock = threading.Lock()
        self._queue: deque[LocalJob] = deque()
        self._idle: list[threading.Lock] = []
        self._threads = 0
        self._parked = 0
        self._stops: dict[int, str] = {}
        self._contexts: dict[int, Context] = {}

    def start(self, jobs: list[LocalJob]) -> None:
        """Takes jobs, to be run in this order."""
        with self._lock:
            self._queue.extend(jobs)
            self._wake(len(jobs))

    def stop(self, job: int, reason: str) -> None:
        """Stops a job: a queued one does not start, a running one is told."""
        with self._lock:
            self._stops[job] = reason
            context = self._contexts.get(job)
        if context is not None:
            context.stop(reason)

    def slot_changed(self, free: bool) -> None:
        """A job of this skill parks, or has its slot again."""
        with self._lock:
            self._parked += 1 if free else -1
            self._wake(len(self._queue))

    def _wake(self, count: int) -> None:
        """Puts up to `count` threads to work; the one that worked last is the warmest."""
        spare = self._skill.slots + self._parked - (self._threads - len(self._idle))
        for _ in range(min(count, spare)):
            if self._idle:
                self._idle.pop().release()
            else:
                self._threads += 1
                name = f"{self._skill.name}-{self._threads}"
                threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        takes_context = self._skill.signature.takes_context
        gate = threading.Lock()
        gate.acquire()
        while True:
            with self._lock:
                busy = self._threads - len(self._idle)
                if busy > self._skill.slots + self._parked:
                    self._threads -= 1
                    return
                job = self._queue.popleft() if self._queue else None
                if job is None:
                    self._idle.append(gate)
            if job is None:
                gate.acquire()
                continue
            if job.job in self._stops:
                self._outbox.add(end_stopped(job, 0, self._stops[job.job]))
                self._outbox.flush()
            else:
                self._run(job, takes_context)
            self._forget(job.job)
            with self._lock:
                self._stops.pop(job.job, None)
                self._contexts.pop(job.job, None)

    def _run(self, job: LocalJob, takes_context: bool) -> None:
        started_ns = clock_ns()
        context: Context | None = None
        try:
            inputs = self._skill.signature.read_input(job.input)
            if takes_context:
                context = self._make_context(job)
                with self._lock:
                    self._contexts[job.job] = context
                value = self._skill.function(context, **inputs)
            else:
                value = self._skill.function(**inputs)
            end = end_with_value(self._skill, job.job, started_ns, value, context)
        except BaseException as error:  # noqa: BLE001  # whatever a handler raises ends its job
            end = end_with_error(job.job, started_ns, error)
        if job.job in self._stops:
            end = end_stopped(job, started_ns, self._stops[job.job])
        self._outbox.add(end)
        if end.elapsed_us < SHORT_US and self._queue:
            self._outbox.linger()
        else:
            self._outbox.flush()
