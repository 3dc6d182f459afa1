"""The attempts that this peer runs, under numbers, and what their handlers say of them.

Jobs come from the core by (custodian, task, attempt) and go to workers under numbers.
Invariant: every job that was taken ends exactly once, as its worker says, as
``crashed`` when its process dies, as its stop's reason when it was killed for not
stopping, or as ``cancelled`` when its process was killed for another one.
"""

from collections.abc import Callable, Iterable
from typing import Any

import trio

from mesh.local.messages import JobEnd, LocalJob, Log, Park, Progress
from mesh.runtime.local_requests import Driver
from mesh.runtime.worker_jobs import (
    TEXT_LIMIT,
    JobId,
    RunningJob,
    WorkerLink,
    log_event,
    outcome_of,
    stop_status,
)
from protocols.tasks.commands import JobParked, JobProgress, JobsEnded
from protocols.tasks.events import RunJob

PROGRESS_INTERVAL_S = 0.05


class Attempts:
    """The table of running attempts.

    Args:
        driver: takes `JobsEnded`, `JobParked` and `JobProgress`.
        show: takes log lines of handlers, as events.
        forget: is told the number of each that ended.

    Attributes:
        running: those that have not ended, by number.
    """

    def __init__(
        self,
        driver: Driver,
        show: Callable[[dict[str, Any]], None],
        forget: Callable[[int], None],
    ) -> None:
        self._driver = driver
        self._show = show
        self._forget = forget
        self._number = 0
        self._numbers: dict[JobId, int] = {}
        self.running: dict[int, RunningJob] = {}

    def take(self, run: RunJob) -> LocalJob:
        """Gives a job of the core a number, and says it as workers are told."""
        self._number += 1
        number = self._number
        job = self.running[number] = RunningJob(number, run)
        self._numbers[job.id] = number
        return LocalJob(
            job=number,
            task=run.task,
            attempt=run.attempt,
            skill=run.skill,
            version=run.version,
            input=run.input,
            timeout_ms=run.timeout_ms,
            deadline_ms=run.deadline_ms,
            depth=run.depth,
            traceparent=run.traceparent,
            parent=run.parent,
            space=run.space,
            principal=run.principal,
            fencing_token=run.fencing_token,
        )

    def number_of(self, job_id: JobId) -> int | None:
        """The number of a job; None where it has ended."""
        return self._numbers.get(job_id)

    def are_of(self, worker: WorkerLink, number: int) -> bool:
        """Whether this worker runs that job: nobody speaks of another's."""
        job = self.running.get(number)
        return job is not None and job.link is worker

    def said(self, message: Park | Progress | Log) -> None:
        """Passes on what a handler says of its job."""
        job = self.running[message.job]
        custodian, task, attempt = job.id
        match message:
            case Park():
                self._driver.submit(JobParked(custodian, task, attempt, message.waiting))
            case Progress():
                now = trio.current_time()
                fraction = round(min(1.0, max(0.0, message.fraction)) * 1_000_000)
                if now - job.shown_at >= PROGRESS_INTERVAL_S or message.fraction >= 1:
                    job.shown_at = now
                    text = message.text[:TEXT_LIMIT]
                    self._driver.submit(JobProgress(custodian, task, attempt, fraction, text))
            case Log():
                self._show(log_event(message, task, attempt))

    def end(self, ends: Iterable[JobEnd]) -> None:
        """Tells the core how jobs ended."""
        outcomes = []
        for end in ends:
            job = self.running.pop(end.job)
            del self._numbers[job.id]
            self._forget(end.job)
            outcomes.append((job.id[0], outcome_of(job, end)))
        if outcomes:
            self._driver.submit(JobsEnded(tuple(outcomes)))

    def ended_by(self, worker: WorkerLink, ends: Iterable[JobEnd]) -> None:
        """A worker says how jobs of its own ended."""
        mine = [end for end in ends if self.are_of(worker, end.job)]
        for end in mine:
            worker.jobs.pop(end.job, None)
        self.end({end.job: end for end in mine}.values())

    def lost_with(self, worker: WorkerLink) -> None:
        """A worker is gone; what it ran has crashed, or could not help that it was killed."""
        ends = [_lost(number, self.running[number].stopped, worker) for number in worker.jobs]
        worker.jobs.clear()
        self.end(ends)


def _lost(number: int, stopped: str, worker: WorkerLink) -> JobEnd:
    if why := worker.overfull:
        return JobEnd(job=number, status="crashed", error_kind="OutOfMemory", error_message=why)
    if stopped:
        return JobEnd(
            job=number,
            status=stop_status(stopped),
            error_kind="Killed",
            error_message=f"killed: it did not stop ({stopped})",
        )
    if worker.is_killed:
        return JobEnd(
            job=number,
            status="cancelled",
            error_kind="Killed",
            error_message="its worker was killed, because another task there did not stop",
        )
    return JobEnd(
        job=number,
        status="crashed",
        error_kind="WorkerCrashed",
        error_message="the worker process ended",
    )
