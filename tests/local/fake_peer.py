"""A peer without a network: the real local server and workers around a driver that settles tasks.

The driver does by itself, in memory, what the tasks machine does with others:
it accepts, runs within slots, retries, parks and settles.
"""

import contextlib
import hashlib
import itertools
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from mesh.agent import Agent
from mesh.local.messages import Welcome
from mesh.runtime import probe
from mesh.runtime.local_server import LocalServer
from mesh.runtime.workers import WorkerHost
from protocols.errors import Refused
from protocols.identity import text_id
from protocols.tasks import commands, events

PEER = bytes(range(32))


class _Task:
    def __init__(self, task: str, spec: commands.TaskSpec, retries: int) -> None:
        self.id = task
        self.spec = spec
        self.retries = retries
        self.attempt = 1
        self.parked = False
        self.settled: events.Settled | None = None
        self.progress = ""


class FakeDriver:
    """Takes commands as a real driver does, and answers in the same turn."""

    def __init__(self) -> None:
        self.server: LocalServer | None = None
        self.host: WorkerHost | None = None
        self.skills: dict[str, tuple[Any, int]] = {}
        self.tasks: dict[str, _Task] = {}
        self.queues: dict[str, deque[_Task]] = {}
        self.running: dict[str, int] = {}
        self.commands: list[msgspec.Struct] = []
        self.busy = 0
        """How many submissions to refuse for now."""
        self.bad_index = -1
        self.hosted = threading.Event()
        self.outbox: list[tuple[str, msgspec.Struct]] = []
        self.executions = 0
        self._count = itertools.count()

    def submit(self, command: msgspec.Struct) -> None:
        """What the core would do, without its company."""
        self.commands.append(command)
        # As the real one does: whoever does not flush has it done in the next turn.
        trio.lowlevel.current_trio_token().run_sync_soon(self.flush, idempotent=True)
        match command:
            case commands.SubmitTasks():
                self._accept(command)
            case commands.HostSkills():
                self.skills = {spec.name: (spec, slots) for spec, slots in command.skills}
                self.hosted.set()
                for name in self.skills:
                    self._fill(name)
            case commands.JobsEnded():
                self._ended(command)
            case commands.JobParked():
                self._parked(command)
            case commands.JobProgress():
                self.tasks[command.task].progress = command.text
                self._notify(
                    events.TaskProgressed(
                        command.task, command.attempt, command.fraction, command.text
                    )
                )
            case commands.CancelTasks():
                self._cancel(command)
            case commands.LookUpTask():
                self._notify(events.TaskLookedUp(command.request, self._view(command.task)))
            case commands.ListTasks():
                views = [self._view(task) for task in self.tasks]
                wanted = tuple(v for v in views if v and v.state in command.states)
                self._notify(events.TasksListed(command.request, wanted[: command.limit]))
            case commands.AttachTasks():
                self._attach(command)
            case _:
                raise AssertionError(f"unexpected {command!r}")

    def flush(self) -> None:
        """Lets out what was caused."""
        while self.outbox:
            outbox, self.outbox = self.outbox, []
            runs: list[events.RunJob] = []
            for kind, effect in outbox:
                if isinstance(effect, events.RunJob):
                    runs.append(effect)
                elif kind == "notify":
                    assert self.server is not None
                    self.server.notify(effect)
                else:
                    assert self.host is not None
                    self.host.execute(effect)
            if runs:
                assert self.host is not None
                self.host.execute(events.RunJobs(tuple(runs)))

    def _notify(self, event: msgspec.Struct) -> None:
        self.outbox.append(("notify", event))

    def _accept(self, command: commands.SubmitTasks) -> None:
        if self.busy:
            self.busy -= 1
            raise Refused("Busy", "too much at once", 10_000_000)
        for index, spec in enumerate(command.tasks):
            if spec.skill not in self.skills:
                raise Refused("UnknownSkill", f"nobody hosts {spec.skill}")
            if b"poison" in bytes(spec.input):
                refusal = Refused("InvalidInput", f"input {index} is poison")
                refusal.index = index  # type: ignore[attr-defined]  # what the core says besides
                raise refusal
        ids = []
        for spec in command.tasks:
            task_id = hashlib.sha256(
                (spec.key or f"unkeyed {next(self._count)}").encode()
            ).hexdigest()[:32]
            ids.append(task_id)
        self._notify(events.TasksAccepted(command.request, tuple(ids), "", ""))
        for task_id, spec in zip(ids, command.tasks, strict=True):
            known = self.tasks.get(task_id)
            if known is None:
                retries = spec.retries if spec.retries >= 0 else self.skills[spec.skill][0].retries
                task = self.tasks[task_id] = _Task(task_id, spec, retries)
                self.queues.setdefault(spec.skill, deque()).append(task)
                self._fill(spec.skill)
            elif known.settled is not None:
                self._notify(events.TasksSettled((known.settled,)))

    def _fill(self, skill: str) -> None:
        queue = self.queues.get(skill, deque())
        slots = self.skills[skill][1] if skill in self.skills else 0
        while queue and self.running.get(skill, 0) < slots:
            self._run(queue.popleft())

    def _run(self, task: _Task) -> None:
        spec = task.spec
        self.running[spec.skill] = self.running.get(spec.skill, 0) + 1
        self.executions += 1
        self.outbox.append(
            (
                "execute",
                events.RunJob(
                    custodian=PEER,
                    task=task.id,
                    term=1,
                    attempt=task.attempt,
                    skill=spec.skill,
                    version=self.skills[spec.skill][0].version,
                    input=spec.input,
                    timeout_ms=spec.timeout_ms,
                    deadline_ms=spec.deadline_ms,
                    depth=spec.depth,
                    traceparent=spec.traceparent,
                    parent=spec.parent,
                    space=spec.space,
                    principal=spec.principal,
                    # As if the log granted every attempt the next token.
                    fencing_token=0 if spec.exclusive is None else self.executions,
                ),
            )
        )

    def _ended(self, command: commands.JobsEnded) -> None:
        settled = []
        for custodian, outcome in command.ends:
            assert custodian == PEER
            task = self.tasks[outcome.task]
            skill = task.spec.skill
            if not task.parked:
                self.running[skill] -= 1
            task.parked = False
            if outcome.status in ("failed", "crashed") and task.attempt <= task.retries:
                task.attempt += 1
                self.queues.setdefault(skill, deque()).append(task)
            else:
                settled.append(self._settle(task, outcome))
            self._fill(skill)
        if settled:
            self._notify(events.TasksSettled(tuple(settled)))

    def _settle(self, task: _Task, outcome: Any) -> events.Settled:
        state = {"ok": "done", "cancelled": "cancelled", "timeout": "expired"}.get(outcome.status)
        task.settled = events.Settled(
            task.id,
            state or "failed",
            outcome.value,
            outcome.error_kind,
            outcome.error_message,
            task.attempt,
            outcome.incomplete,
            PEER,
            outcome.confidence,
            outcome.elapsed_us,
        )
        return task.settled

    def _parked(self, command: commands.JobParked) -> None:
        task = self.tasks[command.task]
        task.parked = command.waiting
        self.running[task.spec.skill] += -1 if command.waiting else 1
        if not command.waiting:
            key = (command.custodian, command.task, command.attempt)
            self.outbox.append(("execute", events.ResumeJobs((key,))))
        else:
            self._fill(task.spec.skill)

    def _cancel(self, command: commands.CancelTasks) -> None:
        task = self.tasks.get(command.task)
        state = "" if task is None else "cancelling" if task.settled is None else "done"
        self._notify(events.CancelAnswered(command.request, command.task, state))
        if task is not None and task.settled is None:
            self.stop(task, "cancelled")

    def stop(self, task: _Task, reason: str) -> None:
        """Stops a task's running attempt."""
        key = (PEER, task.id, task.attempt)
        self.outbox.append(("execute", events.StopJobs((key,), reason)))

    def _attach(self, command: commands.AttachTasks) -> None:
        unknown = tuple(task for task in command.tasks if task not in self.tasks)
        self._notify(events.TasksAttached(command.request, unknown))
        known = [self.tasks[task].settled for task in command.tasks if task in self.tasks]
        ended = tuple(settled for settled in known if settled is not None)
        if ended:
            self._notify(events.TasksSettled(ended))

    def _view(self, task_id: str) -> events.TaskView | None:
        task = self.tasks.get(task_id)
        view = None
        if task is not None:
            done = task.settled
            view = events.TaskView(
                task=task.id,
                state="running" if done is None else done.state,
                skill=task.spec.skill,
                version="1",
                space="default",
                principal="",
                key=task.spec.key,
                strategy="auction",
                parent=task.spec.parent,
                traceparent="",
                custodian=PEER,
                accepted_wall_ns=0,
                settled_wall_ns=0,
                value=msgspec.Raw(b"") if done is None else done.value,
                error_kind="" if done is None else done.error_kind,
                error_message="" if done is None else done.error_message,
                attempts=task.attempt,
                incomplete=False,
                producer=PEER if done is not None else b"",
                history=(),
                progress=task.progress,
            )
        return view


class FakePeer:
    """A peer that runs in a thread of its own."""

    def __init__(
        self, folder: Path, name: str, files: Sequence[str], agents: Sequence[Agent]
    ) -> None:
        self.folder = folder
        self.name = name
        self.socket = folder / f"{name}.sock"
        self.driver = FakeDriver()
        self._files = files
        self._agents = agents
        self._started = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._error: BaseException | None = None
        self._frozen = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Starts it, and waits until it listens and hosts something."""
        self._thread.start()
        assert self._started.wait(10), "the peer does not start"
        if self._files:
            wanted = len(self._files)
            for _ in range(1000):
                if self._error is not None:
                    raise self._error
                host = self.driver.host
                assert host is not None
                states = [process.state for process in host.processes if process.state != "asleep"]
                if states.count("ready") + states.count("failed") == wanted:
                    return
                threading.Event().wait(0.01)
            logs = "".join(log.read_text() for log in self.folder.glob("*.log"))
            raise AssertionError(f"the workers are not ready: {logs}")

    def stop(self) -> None:
        """Ends it, as a crash would for its clients."""
        if self._thread.is_alive():
            assert self._token is not None
            self._frozen.set()
            self._token.run_sync_soon(self._scope.cancel)
            self._thread.join(10)
        if self._error is not None:
            raise self._error

    def freeze(self) -> None:
        """Stops its loop, as SIGSTOP does; its socket stays open."""
        assert self._token is not None
        self._token.run_sync_soon(self._frozen.wait)

    def call(self, function: Any, *arguments: Any) -> Any:
        """Calls a function on the peer's loop."""
        return trio.from_thread.run_sync(function, *arguments, trio_token=self._token)

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001 - shown by stop()
            self._error = error
            self._started.set()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self.server, self.host = make_peer(self.folder, self.name, self.socket, self.driver)
        for agent in self._agents:
            self.host.add_agent(agent, probe.__file__)
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.server.serve, self.socket)
                await nursery.start(self.host.run)
                for file in self._files:
                    self.host.add_file(file)
                self._started.set()
                await trio.sleep_forever()


def make_peer(
    folder: Path, name: str, socket: Path, driver: FakeDriver, **options: Any
) -> tuple[LocalServer, WorkerHost]:
    """The real server and host of one peer, around a driver."""
    host = WorkerHost(driver, socket=socket, logs=folder, stop_grace_s=0.3)
    welcome = Welcome(peer=text_id(PEER), name=name, mesh="test", boot=1, version="0", protocol=1)
    server = LocalServer(
        driver,
        host,
        welcome=welcome,
        answers={"peers": lambda _: [{"name": name}], "status": lambda _: {"name": name}},
        lookups=dict.fromkeys(
            ("task", "tasks"), lambda view: {"task": view.task, "state": view.state}
        ),
        find_peer=lambda text: PEER if text == name else None,
        name_of=lambda peer: name,
        **options,
    )
    driver.server, driver.host = server, host
    return server, host


@contextlib.contextmanager
def running_peer(
    folder: Path,
    name: str = "peer-1",
    *,
    files: Sequence[str] = (),
    agents: Sequence[Agent] = (probe.agent,),
) -> Iterator[FakePeer]:
    """A peer in a thread, for the time of a test."""
    peer = FakePeer(folder, name, files, agents)
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()
