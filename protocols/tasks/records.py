"""What a custodian writes to its disk. A worker writes nothing.

Wall-clock nanoseconds throughout; monotonic time means nothing after a restart.
"""

import msgspec

from protocols.tasks.messages import JobKey
from protocols.tasks.skills import SkillSpec
from protocols.tasks.task import Envelope


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    """One task of a submission, beside its envelope."""

    task: str
    input: msgspec.Raw
    key: str
    weight_us: int


class TasksRecorded(msgspec.Struct, frozen=True, array_like=True, tag="tasks.accepted"):
    """A submission was accepted."""

    wall_ns: int
    groups: tuple[tuple[Envelope, tuple[Accepted, ...]], ...]


class AttemptsRecorded(msgspec.Struct, frozen=True, array_like=True, tag="tasks.attempts"):
    """These attempts were given to a peer."""

    wall_ns: int
    peer: bytes
    lot: str
    attempts: tuple[JobKey, ...]
    tokens: tuple[int, ...] = ()
    """The fencing token of each, where any has one; 0 for those that have none."""


class Ending(msgspec.Struct, frozen=True, array_like=True):
    """An attempt ended without settling its task. `status` as in `Outcome`, or lost, refused."""

    task: str
    attempt: int
    status: str
    message: str
    is_suspect: bool = False
    """The attempt may have ended its host."""


class AttemptsEnded(msgspec.Struct, frozen=True, array_like=True, tag="tasks.ended"):
    """These attempts ended, and their tasks go on."""

    wall_ns: int
    endings: tuple[Ending, ...]


class End(msgspec.Struct, frozen=True, array_like=True):
    """The end of one task. `attempt` is the one that decided it; 0 where none did."""

    task: str
    state: str
    attempt: int
    status: str
    value: msgspec.Raw
    error_kind: str
    error_message: str
    incomplete: bool
    confidence: int
    elapsed_us: int
    attempt_message: str = ""
    """How that attempt ended, where `error_message` says more."""


class EndsRecorded(msgspec.Struct, frozen=True, array_like=True, tag="tasks.settled"):
    """These tasks are settled."""

    wall_ns: int
    ends: tuple[End, ...]


class Redriven(msgspec.Struct, frozen=True, array_like=True):
    """One dead letter that goes on, and its new deadline."""

    task: str
    deadline_wall_ns: int


class TasksRedrivenRecorded(msgspec.Struct, frozen=True, array_like=True, tag="tasks.redriven"):
    """Dead letters were accepted once more."""

    wall_ns: int
    tasks: tuple[Redriven, ...]


class SpecRecorded(msgspec.Struct, frozen=True, array_like=True, tag="tasks.spec"):
    """A skill's spec, of this peer's own agents or fetched from a peer that hosts it."""

    spec: SkillSpec


class KeptAttempt(msgspec.Struct, frozen=True, array_like=True):
    """One attempt in a snapshot."""

    number: int
    lot: str
    peer: bytes
    started_wall_ns: int
    ended_wall_ns: int
    status: str
    message: str
    token: int = 0


class KeptTask(msgspec.Struct, frozen=True, array_like=True):
    """One task in a snapshot; `end` is None while it is undecided."""

    envelope: Envelope
    accepted: Accepted
    accepted_wall_ns: int
    fingerprint: bytes
    failures: int
    losses: int
    refusals: int
    history: tuple[KeptAttempt, ...]
    settled_wall_ns: int
    end: End | None
    suspicions: tuple[bytes, ...] = ()
    attempts_before: int = 0
    redriven_wall_ns: int = 0


class TasksKept(msgspec.Struct, frozen=True, array_like=True, tag="tasks.kept"):
    """A part of a snapshot."""

    tasks: tuple[KeptTask, ...]


RECORDS = (
    TasksRecorded, AttemptsRecorded, AttemptsEnded, EndsRecorded, SpecRecorded, TasksKept,
    TasksRedrivenRecorded,
)  # fmt: skip
