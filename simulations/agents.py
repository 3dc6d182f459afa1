"""Modelled agents: what a peer's workers would do, in virtual time."""

import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec

from protocols.machine import MICROSECOND_NS, MILLISECOND_NS
from protocols.tasks.commands import JobParked, JobsEnded, TaskSpec
from protocols.tasks.events import (
    ResumeJobs,
    RunJob,
    RunJobs,
    Settled,
    StopJobs,
    SubmissionRefused,
    TasksAccepted,
    TasksSettled,
)
from protocols.tasks.messages import Outcome
from protocols.tasks.skills import SkillSpec
from simulations.observations import JobFinished, JobHanded, WrongAnswer
from simulations.schedule import Share

if TYPE_CHECKING:
    from simulations.peer import SimulatedPeer
    from simulations.world import World

ANY_SCHEMA = b"{}"
OUTPUT_SCHEMA = b'{"type":"object","properties":{"index":{"type":"integer"}},"required":["index"]}'
WRONG = {"index": -1}
GARBLED = {"index": "garbled"}
"""Breaks the schema."""
SURE = 1_000_000
UNSURE = 200_000
NOTHING = msgspec.Raw(b"")
POISON = "poison"
"""In the input of a task that ends the process that runs it."""
CHILD_RETRIES = 40
CHILD_RETRY_NS = 100 * MILLISECOND_NS
Key = tuple[bytes, str, int]


class Behaviour(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a modelled skill behaves. Probabilities from 0 to 1."""

    duration_ms: Annotated[float, msgspec.Meta(ge=0)] = 5
    spread: Share = 0.5
    """Durations are drawn between duration*(1-spread) and duration*(1+spread)."""
    failing: Share = 0.0
    hanging: Share = 0.0
    crashing: Share = 0.0
    slow: Share = 0.0
    """These take `slow_factor` times as long."""
    slow_factor: float = 10.0
    garbled: Share = 0.0
    """These give an output that breaks the skill's schema."""
    wrong: Share = 0.0
    """These give a wrong answer, of little confidence."""
    sure: Share = 0.0
    """These give a wrong answer, as confident as can be."""

    @property
    def duration_ns(self) -> int:
        """How long a handler takes, by and large."""
        return round(self.duration_ms * MILLISECOND_NS)


class HostedSkill(Protocol):
    """A skill that a simulated peer hosts, whoever executes it."""

    @property
    def name(self) -> str:
        """What callers call; versions share it."""

    @property
    def slots(self) -> int:
        """How many attempts may run at once."""

    def spec(self) -> SkillSpec:
        """The skill as peers advertise it."""


class Executor(Protocol):
    """What executes the jobs of one running peer. It ends with the peer's process."""

    @property
    def handlings(self) -> Mapping[Key, object]:
        """The attempts that have not ended."""

    def execute(self, job: Any) -> None:
        """Takes a `RunJobs`, `StopJobs` or `ResumeJobs`."""

    def hear(self, event: msgspec.Struct) -> None:
        """Takes an event of the peer's core."""


MakeExecutor = Callable[["World", "SimulatedPeer", random.Random], Executor]


class ModelledSkill(msgspec.Struct, frozen=True):
    """A skill that a simulated peer hosts. `nested`: it calls itself, `depth` levels deep."""

    name: str
    slots: int = 4
    retries: int = 5
    timeout_ms: int = 2_000
    behaviour: Behaviour = Behaviour()
    nested: bool = False

    def spec(self) -> SkillSpec:
        """The skill as peers advertise it."""
        output = OUTPUT_SCHEMA if self.behaviour.garbled else ANY_SCHEMA
        return SkillSpec(self.name, "1", ANY_SCHEMA, output, self.timeout_ms, self.retries)


def answer(skill: str, value: dict[str, int]) -> object:
    """What every modelled handler computes from its input."""
    if "depth" in value:
        return {"index": value["index"], "levels": value["depth"]}
    return {"index": value["index"], "by": skill}


class Handling:
    """One attempt that is with the agents."""

    __slots__ = ("begun", "busy", "child_retries", "failure", "job", "outcome")

    def __init__(self, job: RunJob) -> None:
        self.job = job
        self.begun = 0
        self.busy = False
        self.outcome = ""
        self.child_retries = 0
        self.failure = ""

    @property
    def key(self) -> Key:
        """Its name: custodian, task and attempt."""
        return self.job.custodian, self.job.task, self.job.attempt


class Workers:
    """The agents of one running peer. They end with its process."""

    def __init__(self, world: "World", peer: "SimulatedPeer", rng: random.Random) -> None:
        """Takes where they live, and the randomness of what they do."""
        self._world = world
        self._peer = peer
        self._core = peer.core
        self._skills = {s.name: s for s in peer.skills if isinstance(s, ModelledSkill)}
        self._rng = rng
        self.handlings: dict[Key, Handling] = {}
        self._waiting: dict[str, deque[Handling]] = {}
        self._busy: dict[str, int] = {}
        self._asked: dict[int, Handling] = {}
        self._children: dict[str, Handling] = {}

    def execute(self, job: Any) -> None:
        """Takes what the core wants performed."""
        match job:
            case RunJobs():
                for run in job.jobs:
                    self._take(run)
            case StopJobs():
                for key in job.jobs:
                    self._stop(key, "timeout" if job.reason == "timeout" else "cancelled")
            case ResumeJobs():
                for key in job.jobs:
                    self._resume(key)

    def hear(self, event: msgspec.Struct) -> None:
        """The peer's events: what becomes of children."""
        match event:
            case TasksAccepted() if event.request in self._asked:
                self._children[event.tasks[0]] = self._asked.pop(event.request)
            case SubmissionRefused() if event.request in self._asked:
                self._ask_again(self._asked.pop(event.request))
            case TasksSettled() if self._children:
                for settled in event.settled:
                    if settled.task in self._children:
                        self._child_settled(self._children.pop(settled.task), settled)

    # One handling after the other, as many at once as the skill has slots.

    def _take(self, job: RunJob) -> None:
        handling = Handling(job)
        self.handlings[handling.key] = handling
        self._world.observe(self._peer, JobHanded(*handling.key, job.skill, job.fencing_token))
        self._waiting.setdefault(job.skill, deque()).append(handling)
        self._start(job.skill)

    def _start(self, skill: str) -> None:
        waiting = self._waiting.get(skill)
        slots = self._skills[skill].slots
        while waiting and self._busy.get(skill, 0) < slots:
            handling = waiting.popleft()
            self._occupy(handling)
            handling.begun = self._world.now
            self._begin(handling)

    def _occupy(self, handling: Handling) -> None:
        skill = handling.job.skill
        handling.busy = True
        self._busy[skill] = self._busy.get(skill, 0) + 1

    def _vacate(self, handling: Handling) -> None:
        if handling.busy:
            handling.busy = False
            self._busy[handling.job.skill] -= 1
            self._start(handling.job.skill)

    def _begin(self, handling: Handling) -> None:
        job, rng = handling.job, self._rng
        skill = self._skills[job.skill]
        behaviour = skill.behaviour
        factor = 1 + behaviour.spread * (2 * rng.random() - 1)
        duration = max(1, int(behaviour.duration_ns * factor / self._peer.speed))
        draw = rng.random()
        if draw < behaviour.hanging:
            self._world.coverage["a handler hangs"] += 1
            return
        draw -= behaviour.hanging
        handling.outcome = "ok"
        for outcome, share in (
            ("crashed", behaviour.crashing),
            ("failed", behaviour.failing),
            ("garbled", behaviour.garbled),
            ("wrong", behaviour.wrong),
            ("sure", behaviour.sure),
        ):
            if draw < share:
                handling.outcome = outcome
                break
            draw -= share
        if behaviour.slow and rng.random() < behaviour.slow:
            self._world.coverage["a handler is slow"] += 1
            duration = int(duration * behaviour.slow_factor)
        value = msgspec.msgpack.decode(job.input)
        if POISON in value:
            self._later(duration, handling, self._all_end)
            return
        if skill.nested and value["depth"] > 0 and handling.outcome == "ok":
            self._later(duration // 2, handling, lambda: self._call_child(handling, value))
        else:
            self._later(duration, handling, lambda: self._end(handling))

    def _later(self, delay: int, handling: Handling, action: Callable[[], None]) -> None:
        world, peer = self._world, self._peer

        def due() -> None:
            if peer.core is not self._core or self.handlings.get(handling.key) is not handling:
                return
            if peer.paused_until > world.now:
                world.at(peer.paused_until, due)
                return
            action()

        world.after(delay, due)

    def _end(self, handling: Handling) -> None:
        job, status = handling.job, handling.outcome
        del self.handlings[handling.key]
        self._vacate(handling)
        if status in ("ok", "garbled", "wrong", "sure"):
            value = answer(job.skill, msgspec.msgpack.decode(job.input))
            if status != "ok":
                self._world.coverage[f"an answer is {status}"] += 1
                value = GARBLED if status == "garbled" else WRONG
            raw = msgspec.Raw(msgspec.msgpack.encode(value))
            if status in ("wrong", "sure"):
                self._world.observe(self._peer, WrongAnswer(*handling.key))
            confidence = {"wrong": UNSURE, "sure": SURE}.get(status, -1)
            self._tell(handling, "ok", raw, "", "", confidence)
        else:
            kind = "WorkerCrashed" if status == "crashed" else "Modelled"
            self._tell(handling, status, NOTHING, kind, handling.failure or status)

    def _all_end(self) -> None:
        """The worker process ends, and all that it runs with it."""
        ended, self.handlings = list(self.handlings.values()), {}
        self._waiting.clear()
        self._busy.clear()
        ends = []
        for handling in ended:
            job = handling.job
            handling.busy = False
            self._world.observe(self._peer, JobFinished(*handling.key, "crashed"))
            text = "the worker process ended"
            end = Outcome(job.task, job.attempt, "crashed", NOTHING, 0, "WorkerCrashed", text)
            ends.append((job.custodian, end))
        self._say(JobsEnded(tuple(ends)))

    def _tell(
        self,
        handling: Handling,
        status: str,
        value: msgspec.Raw,
        kind: str,
        message: str,
        confidence: int = -1,
    ) -> None:
        job = handling.job
        self._world.observe(self._peer, JobFinished(*handling.key, status))
        elapsed_us = (self._world.now - handling.begun) // 1000 if handling.begun else 0
        end = Outcome(job.task, job.attempt, status, value, elapsed_us, kind, message, confidence)
        self._say(JobsEnded(((job.custodian, end),)))

    def _say(self, command: msgspec.Struct) -> None:
        """Tells the core, unless its process has just died."""
        if self._peer.core is self._core:
            self._peer.submit(command)

    def _stop(self, key: Key, reason: str) -> None:
        handling = self.handlings.pop(key, None)
        if handling is None:
            return
        waiting = self._waiting.get(handling.job.skill)
        if waiting and handling in waiting:
            waiting.remove(handling)

        def told() -> None:
            if self._peer.core is self._core:
                self._vacate(handling)
                self._tell(handling, reason, NOTHING, reason.capitalize(), reason)

        self._world.coverage[f"a handler is stopped: {reason}"] += 1
        self._world.after(MICROSECOND_NS, told)

    # Children.

    def _call_child(self, handling: Handling, value: dict[str, int]) -> None:
        self._world.coverage["a handler parks"] += 1
        self._vacate(handling)
        self._say(JobParked(*handling.key, True))
        self._ask(handling, value)

    def _ask(self, handling: Handling, value: dict[str, int]) -> None:
        if self._peer.core is not self._core:
            return
        job = handling.job
        child = {"index": value["index"], "depth": value["depth"] - 1}
        spec = TaskSpec(
            skill=job.skill,
            input=msgspec.Raw(msgspec.msgpack.encode(child)),
            parent=job.task,
            depth=job.depth + 1,
        )

        def asks(request: int) -> None:
            self._asked[request] = handling

        if self._world.ask(self._peer, (spec,), asks) is not None:
            self._ask_again(handling)

    def _ask_again(self, handling: Handling) -> None:
        handling.child_retries += 1
        if handling.child_retries > CHILD_RETRIES:
            self._child_ended(handling, "its child is refused")
            return
        value = msgspec.msgpack.decode(handling.job.input)
        self._later(CHILD_RETRY_NS, handling, lambda: self._ask(handling, value))

    def _child_settled(self, handling: Handling, settled: Settled) -> None:
        if settled.state == "done":
            below = msgspec.msgpack.decode(handling.job.input)["depth"] - 1
            levels = msgspec.msgpack.decode(settled.value)["levels"]
            self._child_ended(handling, "" if levels == below else f"{levels} levels below")
        else:
            self._child_ended(handling, f"its child is {settled.state}: {settled.error_message}")

    def _child_ended(self, handling: Handling, failure: str) -> None:
        handling.failure = failure[:200]
        handling.outcome = "failed" if failure else "ok"

        def wants_its_slot() -> None:
            self._say(JobParked(*handling.key, False))

        self._later(MICROSECOND_NS, handling, wants_its_slot)

    def _resume(self, key: Key) -> None:
        handling = self.handlings.get(key)
        if handling is not None:
            self._occupy(handling)
            duration = self._skills[handling.job.skill].behaviour.duration_ns // 2
            self._later(max(1, duration), handling, lambda: self._end(handling))
