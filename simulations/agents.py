"""Modelled agents: what a peer's workers would do, in virtual time."""

import random
from collections.abc import Callable

import msgspec

from protocols.machine import MILLISECOND_NS
from protocols.tasks.events import RunJob
from protocols.tasks.messages import Outcome
from protocols.tasks.skills import SkillSpec

ANY_SCHEMA = b"{}"


class Behaviour(msgspec.Struct, frozen=True):
    """How a modelled skill behaves. Probabilities from 0 to 1."""

    duration_ns: int = 5 * MILLISECOND_NS
    spread: float = 0.5
    """Durations are drawn between duration*(1-spread) and duration*(1+spread)."""
    failing: float = 0.0
    hanging: float = 0.0
    crashing: float = 0.0


class ModelledSkill(msgspec.Struct, frozen=True):
    """A skill that a simulated peer hosts."""

    name: str
    slots: int = 4
    retries: int = 5
    timeout_ms: int = 2_000
    behaviour: Behaviour = Behaviour()
    respond: Callable[[object], object] = lambda value: value

    def spec(self) -> SkillSpec:
        """The skill as peers advertise it."""
        return SkillSpec(self.name, "1", ANY_SCHEMA, ANY_SCHEMA, self.timeout_ms, self.retries)


def outcome_of(
    job: RunJob, skill: ModelledSkill, speed: float, rng: random.Random
) -> tuple[int, Outcome] | None:
    """Draws one run: nanoseconds until it ends and how; None where it hangs until stopped."""
    behaviour = skill.behaviour
    factor = 1 + behaviour.spread * (2 * rng.random() - 1)
    duration = max(1, int(behaviour.duration_ns * factor / speed))
    draw = rng.random()
    nothing = msgspec.Raw(b"")
    elapsed_us = duration // 1000
    if draw < behaviour.hanging:
        return None
    draw -= behaviour.hanging
    if draw < behaviour.crashing:
        end = Outcome(job.task, job.attempt, "crashed", nothing, elapsed_us, "WorkerCrashed", "")
        return duration, end
    draw -= behaviour.crashing
    if draw < behaviour.failing:
        end = Outcome(job.task, job.attempt, "failed", nothing, elapsed_us, "Modelled", "failed")
        return duration, end
    value = skill.respond(msgspec.msgpack.decode(job.input))
    raw = msgspec.Raw(msgspec.msgpack.encode(value))
    return duration, Outcome(job.task, job.attempt, "ok", raw, elapsed_us)
