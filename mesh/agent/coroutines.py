"""Coroutine handlers: a task per job on the worker's loop. Confined to that loop."""

from collections import deque
from collections.abc import Callable

from mesh.agent.agent import Skill
from mesh.agent.context import Context
from mesh.agent.execution import clock_ns, end_stopped, end_with_error, end_with_value
from mesh.agent.loop import LoopHost
from mesh.local.messages import JobEnd, LocalJob


class CoroutineRunner:
    """Runs the jobs of one skill whose handler is a coroutine function."""

    def __init__(
        self,
        skill: Skill,
        loop: LoopHost,
        ended: Callable[[JobEnd], None],
        make_context: Callable[[LocalJob], Context],
    ) -> None:
        self._skill = skill
        self._loop = loop
        self._ended = ended
        self._make_context = make_context
        self._queue: deque[LocalJob] = deque()
        self._running = 0
        self._stops: dict[int, str] = {}
        self._cancels: dict[int, Callable[[], object]] = {}
        self._contexts: dict[int, Context] = {}
        self._started: set[int] = set()

    def start(self, jobs: list[LocalJob]) -> None:
        """Takes jobs, to be run in this order."""
        self._queue.extend(jobs)
        self._fill()

    def stop(self, job: int, reason: str) -> None:
        """Stops a job: a queued one ends at once, a running one is cancelled."""
        if job in self._cancels:
            self._stops[job] = reason
            if job in self._contexts:
                self._contexts[job].stop(reason)
            if job in self._started:
                # One that has not begun sees its stop when it does.
                self._cancels[job]()
            return
        for queued in self._queue:
            if queued.job == job:
                self._queue.remove(queued)
                self._ended(end_stopped(job, 0, reason))
                return

    def slot_changed(self, free: bool) -> None:
        """A job of this skill parks, or has its slot again."""
        self._running += -1 if free else 1
        self._fill()

    def _fill(self) -> None:
        while self._queue and self._running < self._skill.slots:
            self._running += 1
            job = self._queue.popleft()
            self._cancels[job.job] = self._loop.spawn(self._run, job)

    async def _run(self, job: LocalJob) -> None:
        skill = self._skill
        started_ns = clock_ns()
        end: JobEnd | None = None
        context: Context | None = None
        if job.job in self._stops:
            self._finish(job, started_ns, None)
            return
        self._started.add(job.job)
        try:
            inputs = skill.signature.read_input(job.input)
            if skill.signature.takes_context:
                context = self._contexts[job.job] = self._make_context(job)
                value = await skill.function(context, **inputs)
            else:
                value = await skill.function(**inputs)
            end = end_with_value(skill, job.job, started_ns, value, context)
        except BaseException as error:  # whatever a handler raises ends its job
            if job.job in self._stops and not isinstance(error, Exception):
                raise
            end = end_with_error(job.job, started_ns, error)
        finally:
            self._finish(job, started_ns, end)

    def _finish(self, job: LocalJob, started_ns: int, end: JobEnd | None) -> None:
        del self._cancels[job.job]
        self._started.discard(job.job)
        self._contexts.pop(job.job, None)
        reason = self._stops.pop(job.job, "")
        if reason or end is None:
            end = end_stopped(job, started_ns, reason)
        # A job that ends while parked has given its slot back already; `Worker` says so.
        self._running -= 1
        self._ended(end)
        self._fill()
