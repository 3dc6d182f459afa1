"""Runs the real handlers of one simulated peer, in place of its worker processes.

Each skill runs as many jobs at once as it has slots, in the order in which they
came. Everything happens a little later than it was asked for, by a time that the
seed chooses: so seeds differ in the order of steps. Nothing of a dead process
happens any more, and what a stopped process was about to do waits with it.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import msgspec

from mesh.agent.execution import end_stopped, end_with_error, end_with_value
from mesh.local.messages import Ask, Cancel, JobEnd, Log, Park, Progress, Submit
from mesh.runtime.local_connection import InsideLink
from mesh.runtime.worker_jobs import RunningJob, outcome_of, stop_status
from mesh.testing.context import VirtualContext
from mesh.testing.desk import PeerDesk
from mesh.testing.foreign import RefusingLoop
from mesh.testing.job import Job, Key
from mesh.testing.port import JobPort
from mesh.testing.real_loops import mixed
from mesh.testing.recording import Asked, ending_of
from mesh.testing.scripts import CoroutineScript, Script, ThreadScript
from mesh.testing.troupe import LogLine, Troupe
from protocols.machine import MICROSECOND_NS, SECOND_NS
from protocols.tasks.commands import JobParked, JobProgress, JobsEnded
from protocols.tasks.events import ResumeJobs, RunJob, RunJobs, StopJobs, TasksAccepted
from simulations.observations import JobFinished, JobHanded
from simulations.peer import SimulatedPeer
from simulations.world import World

SOCKET_NS = 20 * MICROSECOND_NS
"""How long a message between a worker and its peer takes."""
STEP_MOST_NS = 50 * MICROSECOND_NS
"""A step that may be taken is taken within this."""
GRACE_S = 2.0
"""What has not stopped so long after it was told to is killed, and its agent's process with it."""
PROGRESS_INTERVAL_S = 0.1
TEXT_LIMIT = 4096


class _JobStage:
    """Where the script of one job runs."""

    def __init__(self, executor: "HandlerExecutor", job: Job) -> None:
        self._executor = executor
        self._job = job

    @property
    def loop(self) -> RefusingLoop:
        return self._executor.troupe.loop

    def soon(self, action: Callable[[], None]) -> None:
        self._executor.soon(self._job, action)


class HandlerExecutor:
    """What executes the jobs of one running peer. It ends with the peer's process."""

    def __init__(
        self, troupe: Troupe, world: World, peer: SimulatedPeer, rng: random.Random
    ) -> None:
        self.troupe = troupe
        self.desk = PeerDesk(world, peer, rng, self.after)
        self.handlings: dict[Key, Job] = {}
        self._world = world
        self._peer = peer
        self._core = peer.core
        self._rng = rng
        self._hosted = {(s.name, s.skill.version): s for s in troupe.skills[peer.name]}
        self._waiting: dict[tuple[str, str], deque[Job]] = {key: deque() for key in self._hosted}
        self._running = dict.fromkeys(self._hosted, 0)
        self._numbers: dict[int, Job] = {}
        self._number = 0

    # From the core.

    def hear(self, event: msgspec.Struct) -> None:
        """Takes an event of the core, for clients and handlers."""
        self.desk.notify(event)
        if isinstance(event, TasksAccepted):
            specs = self._world.requests[event.request]
            for task, spec in zip(event.tasks, specs, strict=True):
                self.troupe.accepted(task, spec.skill, spec.input)

    def execute(self, job: Any) -> None:
        """Takes a `RunJobs`, `StopJobs` or `ResumeJobs`."""
        match job:
            case RunJobs():
                for run in job.jobs:
                    self._take(run)
            case StopJobs():
                for key in job.jobs:
                    self._stop(key, job.reason)
            case ResumeJobs():
                for key in job.jobs:
                    resumed = self.handlings.get(key)
                    if resumed is not None and resumed.port is not None:
                        parking = resumed.port.parking(resumed.number)
                        self.soon(resumed, parking.resume)

    def _take(self, run: RunJob) -> None:
        self._number += 1
        job = Job(self._number, run, self._hosted[run.skill, run.version])
        self._numbers[job.number] = self.handlings[job.key] = job
        self._world.observe(self._peer, JobHanded(*job.key, run.skill, run.fencing_token))
        self._waiting[run.skill, run.version].append(job)
        self._fill((run.skill, run.version))

    def _fill(self, skill: tuple[str, str]) -> None:
        waiting, slots = self._waiting[skill], self._hosted[skill].slots
        while waiting and self._running[skill] < slots:
            job = waiting.popleft()
            job.has_slot = True
            self._running[skill] += 1
            self.soon(job, partial(self._begin, job))

    def _stop(self, key: Key, reason: str) -> None:
        job = self.handlings.get(key)
        if job is None or job.stopped:
            return
        job.stopped = reason
        self._world.coverage[f"a handler is stopped: {reason}"] += 1
        script = job.script
        if script is None or job.is_over or not job.has_begun:
            waiting = self._waiting[job.run.skill, job.run.version]
            if job in waiting:
                waiting.remove(job)
            self._finish(job, end_stopped(job.number, 0, reason))
            return
        if job.context is not None:
            job.context.stop(reason)
        self.soon(job, script.stop)
        self.later(round(GRACE_S * SECOND_NS), job, partial(self._kill_worker, job))

    def _kill_worker(self, deaf: Job) -> None:
        """A handler did not stop: the process of its agent is killed, and all that it ran."""
        for job in list(self.handlings.values()):
            if job.agent is not deaf.agent or not job.has_begun or job.is_over:
                continue
            killed = bool(job.stopped)
            end = JobEnd(
                job=job.number,
                status=stop_status(job.stopped) if killed else "crashed",
                error_kind="Killed" if killed else "WorkerCrashed",
                error_message=f"killed: it did not stop ({job.stopped})"
                if killed
                else "the worker process ended",
            )
            self._finish(job, end)

    # Time.

    def soon(self, job: Job, action: Callable[[], None]) -> None:
        """Does something for a job after a time that the seed chooses."""
        self.later(self._rng.randrange(1, STEP_MOST_NS), job, action)

    def later(self, delay_ns: int, job: Job, action: Callable[[], None]) -> None:
        """Does something for a job, where it is still there by then."""
        self._unless_dead(
            delay_ns, lambda: action() if self.handlings.get(job.key) is job else None
        )

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Does something after so much virtual time, unless the peer is dead by then."""
        self._unless_dead(max(0, round(seconds * SECOND_NS)), action)

    def _unless_dead(self, delay_ns: int, action: Callable[[], None]) -> None:
        world, peer = self._world, self._peer

        def due() -> None:
            if peer.core is not self._core:
                return
            if peer.paused_until > world.now:
                world.at(peer.paused_until, due)
            else:
                action()

        world.after(delay_ns, due)

    # A job's life.

    def _begin(self, job: Job) -> None:
        job.has_begun = True
        job.begun = self.troupe.clock()
        job.really_begun = time.monotonic()
        job.port = JobPort(self, job.number, self.troupe.call(job.run.task))
        if self.troupe.replays(job.skill):
            self._replay(job)
            return
        try:
            inputs = job.skill.signature.read_input(job.run.input)
        except Exception as error:  # noqa: BLE001  # inputs that do not fit end the job
            self._over(job, end_with_error(job.number, 0, error))
            return
        script_class = CoroutineScript if job.skill.is_async else ThreadScript
        script = script_class(
            _JobStage(self, job), job.agent, job.skill, partial(self._script_ended, job)
        )
        job.script = script
        function: Callable[..., Any] = partial(job.skill.function, **inputs)
        if job.skill.signature.takes_context:
            job.context = VirtualContext(job.local(), job.port, script, self.troupe.clock)
            function = partial(job.skill.function, job.context, **inputs)
        self._run(job, script, function)

    def _run(self, job: Job, script: Script, function: Callable[..., Any]) -> None:
        troupe = self.troupe
        if isinstance(script, CoroutineScript):
            coroutine = function()
            if troupe.must_record(job.skill) or troupe.may_record(job.skill):
                self._run_for_real(job, script, coroutine)
            else:
                troupe.scripts[script] = None
                script.start(coroutine)
        elif isinstance(script, ThreadScript) and job.context is not None and not job.skill.inline:
            assert job.port is not None, "made when it began"
            job.port.script = script
            troupe.scripts[script] = None
            script.start(function)
        else:
            # It may well have an event loop of its own, for as long as it runs.
            try:
                value, error = function(), None
            except BaseException as raised:  # noqa: BLE001  # `end` passes on what is not its own
                value, error = None, raised
            script.end(value, error)

    def _run_for_real(self, job: Job, script: CoroutineScript, coroutine: Any) -> None:
        must, troupe = self.troupe.must_record(job.skill), self.troupe
        stretch = troupe.loops.run(job.agent, coroutine)
        if stretch.trap is not None:
            if must or stretch.foreign:
                coroutine.close()
                raise mixed(job.skill.name)
            # It calls other skills: from here on it is driven by hand, as in any test.
            troupe.scripts[script] = None
            script.adopt(coroutine, stretch.trap)
        elif stretch.foreign or must:
            self._over(job, self._end_of(job, stretch.value, stretch.error), stretch.seconds)
        else:
            script.end(stretch.value, stretch.error)

    def _replay(self, job: Job) -> None:
        replay = self.troupe.replay
        assert replay is not None, "asked before"
        ending = replay.ending(self._asked(job))
        job.is_replayed = True
        self._over(job, ending.end(job.number), ending.seconds)

    def _script_ended(self, job: Job) -> None:
        script = job.script
        assert script is not None, "it has just ended"
        self.troupe.scripts.pop(script, None)
        if self.handlings.get(job.key) is not job or job.is_over:
            return
        if job.stopped:
            self._finish(job, end_stopped(job.number, 0, job.stopped))
        else:
            seconds = 0.0
            if self.troupe.must_record(job.skill):
                if script.has_waited:
                    raise mixed(job.skill.name)
                seconds = time.monotonic() - job.really_begun
            self._over(job, self._end_of(job, script.value, script.error), seconds)

    def _end_of(self, job: Job, value: Any, error: BaseException | None) -> JobEnd:
        if error is not None:
            return end_with_error(job.number, 0, error)
        return end_with_value(job.skill, job.number, 0, value, job.context)

    def _over(self, job: Job, end: JobEnd, seconds: float = 0.0) -> None:
        """The handler has ended; its end is told after the time that it takes."""
        job.is_over = True
        stated = self.troupe.takes(job.skill, self._rng)
        taken = (seconds if stated is None else stated) / self._peer.speed
        self.later(round(taken * SECOND_NS), job, lambda: self._note_and_finish(job, end, seconds))

    def _note_and_finish(self, job: Job, end: JobEnd, seconds: float) -> None:
        troupe = self.troupe
        if job.is_replayed and troupe.replay is not None:
            troupe.replay.ended(self._asked(job))
        elif troupe.record is not None and (seconds or troupe.must_record(job.skill)):
            if end.incomplete:
                raise mixed(job.skill.name)
            troupe.record.add(self._asked(job), ending_of(end, seconds))
        self._finish(job, end)

    def _finish(self, job: Job, end: JobEnd) -> None:
        """The job is no more; its peer is told of its end."""
        del self.handlings[job.key], self._numbers[job.number]
        job.is_over = True
        self._vacate(job)
        if job.port is not None:
            self.desk.forget(job.port.link)
        elapsed = self.troupe.clock() - job.begun if job.has_begun else 0.0
        end = msgspec.structs.replace(end, elapsed_us=round(elapsed * 1_000_000))
        outcome = outcome_of(RunningJob(job.number, job.run), end)

        def told() -> None:
            self._world.observe(self._peer, JobFinished(*job.key, end.status))
            self._peer.submit(JobsEnded(((job.run.custodian, outcome),)))

        self._unless_dead(SOCKET_NS, told)

    def _vacate(self, job: Job) -> None:
        if job.has_slot:
            job.has_slot = False
            skill = (job.run.skill, job.run.version)
            self._running[skill] -= 1
            self._fill(skill)

    def _asked(self, job: Job) -> Asked:
        run = job.run
        inputs = msgspec.msgpack.decode(run.input)
        return Asked(run.skill, run.version, inputs, self.troupe.call(run.task))

    # What ports pass on.

    def said(self, number: int, message: Park | Progress | Log) -> None:
        """A handler says something of its job."""
        job = self._numbers.get(number)
        if job is None:
            return
        match message:
            case Park():
                parked = JobParked(*job.key, message.waiting)
                self.later(SOCKET_NS, job, lambda: self._tell(parked))
            case Progress():
                now = self.troupe.clock()
                if now - job.shown_at >= PROGRESS_INTERVAL_S or message.fraction >= 1:
                    job.shown_at = now
                    fraction = round(message.fraction * 1_000_000)
                    said = JobProgress(*job.key, fraction, message.text[:TEXT_LIMIT])
                    self.later(SOCKET_NS, job, lambda: self._tell(said))
            case Log():
                fields = msgspec.msgpack.decode(message.fields) or {}
                line = (job.run.task, job.run.attempt, message.level, message.text, fields)
                self.troupe.logs.append(LogLine(self.troupe.clock(), self._peer.name, *line))

    def asked(self, link: InsideLink, message: Submit | Cancel | Ask) -> None:
        """A handler submits children, cancels one, or asks something."""
        self._unless_dead(SOCKET_NS, lambda: self.desk.receive(link, message))

    def slot_changed(self, number: int, free: bool) -> None:
        """A job gives its slot back, or has it again."""
        job = self._numbers.get(number)
        if job is None:
            return
        if free:
            self._world.coverage["a handler parks"] += 1
            self._vacate(job)
        else:
            job.has_slot = True
            self._running[job.run.skill, job.run.version] += 1

    def child(self, task: str, call: Hashable) -> None:
        """A task that a handler submitted: which call it is, for recordings."""
        self.troupe.calls.setdefault(task, call)

    def _tell(self, command: msgspec.Struct) -> None:
        self._peer.submit(command)
