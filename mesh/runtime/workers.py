"""The skills of this peer and who runs them: worker processes, or the peer itself.

What runs at this moment, and how it ended, is kept by `attempts`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio

from mesh.agent import Agent
from mesh.agent.vault import name_sources
from mesh.local.messages import (
    Ended,
    Goodbye,
    Health,
    JobEnd,
    LocalJob,
    LocalMessage,
    Log,
    Park,
    Price,
    Progress,
    Refused,
    Register,
    Resume,
    SkillDeclaration,
    Stop,
)
from mesh.runtime.agent_reports import AgentReports
from mesh.runtime.attempts import Attempts
from mesh.runtime.hosted_skills import HostedSkills, SkillConflict
from mesh.runtime.inline import InlineHost
from mesh.runtime.inline_port import InlinePort, SendInside, inline_skills
from mesh.runtime.local_connection import LocalConnection
from mesh.runtime.local_requests import Driver
from mesh.runtime.replacing import Replacements
from mesh.runtime.worker_jobs import JobId, WorkerLink, send_jobs, stop_status
from mesh.runtime.worker_process import WorkerProcess
from protocols.tasks.events import ResumeJobs, RunJobs, StopJobs

STOP_GRACE_S = 2.0
"""How long a stopped job may go on before its process is killed."""
PROGRESS_INTERVAL_S = 0.05


class WorkerHost:
    """Runs the jobs of one peer.

    Args:
        driver: takes `HostSkills`, `JobsEnded`, `JobParked` and `JobProgress`.
        socket: the peer's local socket, where workers connect.
        logs: the folder for the output of worker processes.
        show: takes log lines of handlers, as events.
        memory: how many bytes a worker may hold whose agents do not say; 0 for no limit.
        python: the interpreter of agent files that do not say; "" for the peer's own.
        labels: what the peer is fit for without any agent.
        secrets: the file that says where workers find secrets; "" for the environment alone.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        socket: Path,
        logs: Path,
        show: Callable[[dict[str, Any]], None] = lambda event: None,
        stop_grace_s: float = STOP_GRACE_S,
        memory: int = 0,
        python: str = "",
        labels: tuple[str, ...] = (),
        secrets: str = "",
    ) -> None:
        name_sources(secrets)
        self._driver = driver
        self._socket = socket
        self._logs = logs
        self._grace_s = stop_grace_s
        self._memory = memory
        self._python = python
        self._skills: HostedSkills[WorkerLink] = HostedSkills(labels)
        self._processes: list[WorkerProcess] = []
        self._links: dict[LocalConnection, WorkerLink] = {}
        self._waiting: list[LocalJob] = []
        self._overdue: deque[tuple[float, int]] = deque()
        self._stopping = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._log = structlog.get_logger("mesh.workers")
        self._port = InlinePort(self._inline_said)
        self._inline = InlineHost(self._ended_inline, self._port)
        self._attempts = Attempts(driver, show, self._port.forget)
        self._reports = AgentReports(driver, self._skills, show, self._declare)
        self._replacements = Replacements(self, self._skills, self._reports, show)

    # What there is to run.

    def add_file(self, target: str) -> WorkerProcess:
        """Adds an agent file; its worker starts now, or with `run`."""
        process = self._process(target, python=self._python)
        self._add_process(process)
        return process

    def add_agent(self, agent: Agent, file: str) -> None:
        """Adds an agent that this process has imported, from `file`.

        Its inline skills run here; a worker for the others starts at their first use.
        """
        for skill in self._inline.add(agent):
            self._skills.try_inline([skill.declaration()])
        others = [skill for skill in agent.skills.values() if not skill.inline]
        if others:
            process = self._process(f"{file}:{agent.name}", lazy=True)
            declared = [skill.declaration() for skill in others]
            self._skills.promise(process, agent.name, declared)
            self._add_process(process)
        self._declare()

    async def reload(self, file: str = "") -> list[dict[str, Any]]:
        """Replaces the workers of agent files by new ones of the same files.

        Args:
            file: the one whose worker is replaced; "" for all.

        Returns:
            For each file `{"target", "replaced", "error", "kept"}`; see `replacing`.
        """
        wanted = [p for p in self.processes if not p.is_lazy and file in ("", str(p.path))]
        return [await self._replacements.replace(process) for process in wanted]

    @property
    def processes(self) -> tuple[WorkerProcess, ...]:
        """The worker processes, also those that failed, but none that makes way or tries to."""
        return tuple(p for p in self._processes if not p.is_retired and not p.is_trial)

    @property
    def ailing(self) -> list[dict[str, str]]:
        """The agents that cannot work now, each with the reason."""
        return [{"agent": agent, "reason": why} for agent, why in self._skills.ailing()]

    @property
    def running(self) -> int:
        """How many jobs have not ended."""
        return len(self._attempts.running)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Runs workers and jobs until cancelled; then all processes are killed."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._inline.run)
            nursery.start_soon(self._kill_overdue)
            nursery.start_soon(self._reports.run)
            for process in self._processes:
                nursery.start_soon(self._run_process, process)
            self._declare()
            task_status.started()

    # What a replacement needs.

    def start_trial(self, target: str) -> WorkerProcess:
        """Starts a worker that shall take another one's place."""
        process = self._process(target, python=self._python)
        process.is_trial = True
        self._add_process(process)
        return process

    def draining(self, target: str) -> int:
        """How many workers of a file finish what they run, and have made way for newer ones."""
        return len([p for p in self._processes if p.is_retired and p.target == target])

    def workers_of(self, process: WorkerProcess) -> list[WorkerLink]:
        """The connection of a process, if it has one."""
        return [worker for worker in self._links.values() if worker.process is process]

    @property
    def inline(self) -> set[tuple[str, str]]:
        """The skills that the peer itself runs."""
        return self._inline.hosted

    def skills_changed(self) -> None:
        """Tells the core, and places what waited; a file that had failed is no failure now."""
        self._processes = [p for p in self._processes if not p.is_retired or p.state != "failed"]
        self._declare()
        self._place_waiting()

    def _process(self, target: str, **options: Any) -> WorkerProcess:
        return WorkerProcess(
            target, socket=self._socket, logs=self._logs, memory=self._memory, **options
        )

    def _add_process(self, process: WorkerProcess) -> None:
        self._processes.append(process)
        if self._nursery is not None:
            self._nursery.start_soon(self._run_process, process)

    async def _run_process(self, process: WorkerProcess) -> None:
        await process.run()
        self._replacements.ended(process)
        if process.is_retired or process.is_trial:
            self._processes.remove(process)
        # It never can: what waits for it ends, and its skills are withdrawn.
        self._skills.withdraw_promise(process)
        self._declare()
        self._place_waiting()

    def _declare(self) -> None:
        skills = self._skills.changed()
        if skills is not None and self._nursery is not None:
            self._driver.submit(skills)
        elif skills is not None:
            self._skills.forget_declared()

    # Jobs from the core.

    def execute(self, job: msgspec.Struct) -> None:
        """Takes a `RunJobs`, `StopJobs` or `ResumeJobs`."""
        match job:
            case RunJobs():
                self._place([self._attempts.take(run) for run in job.jobs])
            case StopJobs():
                for job_id in job.jobs:
                    self._stop(job_id, job.reason)
            case ResumeJobs():
                self._resume(job.jobs)
            case _:
                raise AssertionError(f"nobody performs {type(job).__name__}")

    def _place(self, jobs: Iterable[LocalJob]) -> None:
        inline: list[LocalJob] = []
        batches: dict[WorkerLink, list[LocalJob]] = {}
        homeless: list[JobEnd] = []
        for job in jobs:
            if self._inline.hosts(job.skill, job.version):
                inline.append(job)
                continue
            links = self._skills.links(job.skill, job.version)
            if links:
                link = links[0] if len(links) == 1 else min(links, key=lambda k: len(k.jobs))
                link.jobs[job.job] = None
                self._attempts.running[job.job].link = link
                batches.setdefault(link, []).append(job)
            elif self._skills.is_promised(job.skill, job.version):
                self._waiting.append(job)
            else:
                text = f"no worker of this peer has {job.skill}@{job.version} any more"
                homeless.append(
                    JobEnd(job=job.job, status="failed", error_kind="NoWorker", error_message=text)
                )
        if inline:
            self._inline.start(inline)
        for link, batch in batches.items():
            send_jobs(link.connection, batch)
        if homeless:
            self._attempts.end(homeless)

    def _place_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._place(job for job in waiting if job.job in self._attempts.running)

    def _stop(self, job_id: JobId, reason: str) -> None:
        number = self._attempts.number_of(job_id)
        if number is None:
            return  # its end is on the way already
        job = self._attempts.running[number]
        job.stopped = reason
        if job.link is not None:
            job.link.connection.send(Stop(jobs=[number], reason=reason))
            self._overdue.append((trio.current_time() + self._grace_s, number))
            self._stopping.set()
        elif any(waiting.job == number for waiting in self._waiting):
            self._waiting = [waiting for waiting in self._waiting if waiting.job != number]
            self._attempts.end([JobEnd(job=number, status=stop_status(reason))])
        else:
            self._inline.stop(number, reason)

    def _resume(self, jobs: Iterable[JobId]) -> None:
        for job_id in jobs:
            number = self._attempts.number_of(job_id)
            if number is None:
                continue
            link = self._attempts.running[number].link
            if link is not None:
                link.connection.send(Resume(jobs=[number]))
            else:
                self._port.resume(number)

    async def _kill_overdue(self) -> None:
        while True:
            await self._stopping.wait()
            self._stopping = trio.Event()
            while self._overdue:
                due, number = self._overdue.popleft()
                await trio.sleep_until(due)
                job = self._attempts.running.get(number)
                if job is not None and job.link is not None:
                    self._log.warning("worker-killed", task=job.id[1], reason=job.stopped)
                    job.link.is_killed = True
                    if job.link.process is not None:
                        job.link.process.kill()
                    job.link.connection.close()

    # From workers.

    def connect_inside(self, send: SendInside) -> None:
        """Takes how inline handlers submit tasks."""
        self._port.connect(send)

    def joined(self, link: LocalConnection) -> None:
        """A worker said hello; its pid tells whether it is one of ours."""
        process = next((p for p in self._processes if p.pid and p.pid == link.pid), None)
        self._links[link] = WorkerLink(link, process)

    def received(self, link: LocalConnection, message: LocalMessage) -> None:
        """A message of a worker."""
        worker = self._links[link]
        match message:
            case Ended():
                self._attempts.ended_by(worker, message.ends)
            case Park() | Progress() | Log():
                if self._attempts.are_of(worker, message.job):
                    self._attempts.said(message)
            case Register():
                self._register(worker, message)
            case Price() | Health():
                if not worker.is_leaving:
                    self._reports.heard(worker, message)
            case Goodbye():
                self._skills.remove(worker)
                self._declare()
            case _:
                self._log.warning("worker-message-ignored", kind=type(message).__name__)

    def left(self, link: LocalConnection) -> None:
        """A worker is gone; what it ran has crashed."""
        worker = self._links.pop(link)
        self._skills.remove(worker)
        self._reports.left(worker)
        self._attempts.lost_with(worker)
        self._declare()

    def _register(self, worker: WorkerLink, message: Register) -> None:
        self._skills.label(worker, worker.process, message.agent, message.labels)
        worker.memory.append(message.memory)
        if worker.process is not None:
            worker.process.limit_memory(worker.memory)
            if self._replacements.registered(worker, worker.process, message):
                return
        inline = [skill for skill in message.skills if skill.inline]
        process = worker.process
        if inline and process is not None and self._nursery is not None:
            others = [skill for skill in message.skills if not skill.inline]
            self._host(worker, message.agent, others)
            self._nursery.start_soon(self._take_inline, worker, process, message.agent, inline)
        else:
            self._host(worker, message.agent, message.skills)
            if process is not None:
                process.ready()

    def _host(self, worker: WorkerLink, agent: str, skills: list[SkillDeclaration]) -> None:
        if worker.connection.closed:
            return
        try:
            self._skills.add(worker, worker.process, agent, skills)
        except SkillConflict as error:
            self._log.error("skill-conflict", agent=agent, error=str(error))
            worker.connection.send(Refused(request=0, kind="SkillConflict", message=str(error)))
            return
        self._declare()
        self._place_waiting()

    async def _take_inline(
        self,
        worker: WorkerLink,
        process: WorkerProcess,
        agent: str,
        skills: list[SkillDeclaration],
    ) -> None:
        """Imports an agent's file here for its inline skills; failing that, workers run them."""
        if not all(self._inline.hosts(skill.name, skill.version) for skill in skills):
            found = await inline_skills(process.target, agent, skills)
            if found is None or not self._skills.try_inline(skills, agent):
                self._host(worker, agent, skills)
            else:
                self._inline.add(found)
                self._declare()
        process.ready()

    # Ends and words of jobs.

    def _ended_inline(self, ends: list[JobEnd]) -> None:
        self._attempts.end(ends)
        self._driver.flush()

    def _inline_said(self, message: Park | Progress | Log) -> None:
        if message.job in self._attempts.running:
            self._attempts.said(message)
