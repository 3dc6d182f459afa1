"""Runs trusted handlers in the peer's own loop, without a task per job.

One runner task takes job after job. A plain handler is called directly. A
coroutine is driven by the runner itself; should it really wait, another runner
takes over the queue and this one goes on with that job alone. A no-op job thus
costs neither a task nor a turn of the loop.
"""

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import trio

from mesh.agent import Agent, Skill
from mesh.agent.context import Context, Port
from mesh.agent.execution import clock_ns, end_stopped, end_with_error, end_with_value
from mesh.local.messages import JobEnd, LocalJob

SLICE_NS = 4_000_000
"""How long a runner works before the loop gets a turn."""
ENDS_LIMIT = 256
"""Ends reported at once."""


class InlineHost:
    """The inline skills of this peer.

    Args:
        ended: takes the ends of jobs, in batches.
        port: what handlers with a context speak through.
    """

    def __init__(self, ended: Callable[[list[JobEnd]], None], port: Port) -> None:
        self._ended = ended
        self._port = port
        self._skills: dict[tuple[str, str], Skill] = {}
        self._queue: deque[LocalJob] = deque()
        self._wanted = trio.Event()
        self._ends: list[JobEnd] = []
        self._slice_ends_ns = 0
        self._scopes: dict[int, tuple[trio.CancelScope, Context | None]] = {}
        self._stops: dict[int, str] = {}
        self._nursery: trio.Nursery | None = None

    def add(self, agent: Agent) -> list[Skill]:
        """Takes the inline skills of an agent, and returns them."""
        skills = [skill for skill in agent.skills.values() if skill.inline]
        for skill in skills:
            skill.declaration()
            self._skills[skill.name, skill.version] = skill
        return skills

    def hosts(self, skill: str, version: str) -> bool:
        """Whether this skill runs here."""
        return (skill, version) in self._skills

    @property
    def hosted(self) -> set[tuple[str, str]]:
        """The names and versions of the skills that run here."""
        return set(self._skills)

    def start(self, jobs: list[LocalJob]) -> None:
        """Takes jobs; they run in the next turn of the loop, in this order."""
        self._queue.extend(jobs)
        self._wanted.set()

    def stop(self, job: int, reason: str) -> None:
        """Stops a job: cancels its coroutine, or takes it out of the queue."""
        running = self._scopes.get(job)
        if running is not None:
            scope, context = running
            if context is not None:
                context.stop(reason)
            scope.cancel()
        elif not any(queued.job == job for queued in self._queue):
            return  # it has ended already
        self._stops[job] = reason

    async def run(self) -> None:
        """Runs jobs for ever."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._work)
            await trio.sleep_forever()

    async def _work(self) -> None:
        """One runner; it ends when a job of its own made another one take over."""
        while True:
            if not self._queue:
                self._report()
                await self._wanted.wait()
                self._wanted = trio.Event()
                self._slice_ends_ns = clock_ns() + SLICE_NS
            while self._queue:
                job = self._queue.popleft()
                skill = self._skills[job.skill, job.version]
                if self._stops and job.job in self._stops:
                    self._ends.append(end_stopped(job, 0, self._stops.pop(job.job)))
                elif not skill.is_async:
                    self._call(skill, job)
                elif await self._drive(skill, job):
                    return
                if len(self._ends) >= ENDS_LIMIT:
                    self._report()
                if clock_ns() > self._slice_ends_ns:
                    self._report()
                    await trio.lowlevel.checkpoint()
                    self._slice_ends_ns = clock_ns() + SLICE_NS

    def _call(self, skill: Skill, job: LocalJob) -> None:
        started_ns = clock_ns()
        context: Context | None = None
        try:
            signature = skill.signature
            inputs = signature.read_input(job.input)
            if signature.takes_context:
                context = Context(job, self._port)
                value = skill.function(context, **inputs)
            else:
                value = skill.function(**inputs)
            end = end_with_value(skill, job.job, started_ns, value, context)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # it ends its job, not the peer
            end = end_with_error(job.job, started_ns, error)
        self._ends.append(end)

    async def _drive(self, skill: Skill, job: LocalJob) -> bool:
        """Runs a coroutine handler; True where it waited, so that another runner took over."""
        started_ns = clock_ns()
        handed_over = False

        def hand_over() -> None:
            nonlocal handed_over
            handed_over = True
            self._report()
            assert self._nursery is not None, "jobs run inside run()"
            self._nursery.start_soon(self._work)

        end: JobEnd | None = None
        with trio.CancelScope() as scope:
            context: Context | None = None
            try:
                signature = skill.signature
                inputs = signature.read_input(job.input)
                if signature.takes_context:
                    context = Context(job, self._port)
                    coroutine = skill.function(context, **inputs)
                else:
                    coroutine = skill.function(**inputs)
                self._scopes[job.job] = (scope, context)
                value = await _step(coroutine, hand_over)
                end = end_with_value(skill, job.job, started_ns, value, context)
            except (Exception, SystemExit) as error:  # noqa: BLE001  # it ends its job, not the peer
                end = end_with_error(job.job, started_ns, error)
        self._scopes.pop(job.job, None)
        reason = self._stops.pop(job.job, "") if self._stops else ""
        if reason or end is None:
            end = end_stopped(job, started_ns, reason)
        self._ends.append(end)
        if handed_over:
            # The other runner reports, in the turn that comes.
            self._wanted.set()
        return handed_over

    def _report(self) -> None:
        if self._ends:
            ends, self._ends = self._ends, []
            self._ended(ends)


@types.coroutine
def _step(
    coroutine: Coroutine[Any, Any, Any], waits: Callable[[], None]
) -> Generator[Any, Any, Any]:
    """Drives a coroutine inside the running task, calling `waits` before its first wait.

    Forwarding each trap to trio makes the runner's task the coroutine's own.
    """
    try:
        trap = coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    waits()
    while True:
        try:
            answer = yield trap
        except BaseException as error:  # noqa: BLE001  # trio throws cancellations in here
            try:
                trap = coroutine.throw(error)
            except StopIteration as finished:
                return finished.value
        else:
            try:
                trap = coroutine.send(answer)
            except StopIteration as finished:
                return finished.value
