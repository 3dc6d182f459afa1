"""What custodians and workers say to each other. Everything comes in batches.

Nothing is signed on this path: CURVE names the sender, and a worker's result
is trusted as far as its one worker is.
"""

from typing import Annotated

import msgspec

from protocols.wire import CountField, Message, NameField, TextField

BATCH_LIMIT = 2048
INPUT_LIMIT = 8 * 1024 * 1024
"""Bytes of one task's encoded input or output; larger ones are refused."""

TaskId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
VersionField = Annotated[str, msgspec.Meta(max_length=32)]
DigestField = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]


class Job(msgspec.Struct, frozen=True, array_like=True):
    """One attempt at one task, as a worker's peer gets it.

    Durations are what remains, in milliseconds, because clocks differ; 0 means none.
    The fencing token is (term, custodian, attempt); the custodian is the link's peer.
    """

    task: TaskId
    term: CountField
    attempt: CountField
    input: msgspec.Raw
    timeout_ms: CountField
    deadline_ms: CountField
    depth: CountField
    traceparent: Annotated[str, msgspec.Meta(max_length=64)]
    parent: Annotated[str, msgspec.Meta(max_length=64)] = ""
    space: NameField = "default"
    principal: NameField = ""
    is_suspect: bool = False
    """An attempt at it may have ended its host: it is not to run beside another such."""
    fencing_token: CountField = 0
    """Of the lease that it runs under; 0 for a task that is not exclusive."""
    lease_ends_ms: CountField = 0
    """When that lease ends, in log time, which follows wall clocks."""


class Assign(Message, frozen=True, array_like=True, tag="tasks.assign"):
    """Jobs for slots of a lot. `lot` is "" for strategy ``direct``."""

    lot: Annotated[str, msgspec.Meta(max_length=64)]
    skill: NameField
    version: VersionField
    jobs: Annotated[tuple[Job, ...], msgspec.Meta(max_length=BATCH_LIMIT)]


class JobKey(msgspec.Struct, frozen=True, array_like=True):
    """One attempt at one task."""

    task: TaskId
    attempt: CountField


SUSPECT = "suspect"
LEASE_OVER = "lease-over"


class Rejected(Message, frozen=True, array_like=True, tag="tasks.rejected"):
    """A worker's peer will not run these.

    `reason`: ``no-slot`` | ``no-skill`` | ``busy`` | ``sick`` | ``suspect`` (it has another
    suspect of poison now) | ``lease-over`` (by its clock the attempt's lease has ended).
    """

    lot: Annotated[str, msgspec.Meta(max_length=64)]
    jobs: Annotated[tuple[JobKey, ...], msgspec.Meta(max_length=BATCH_LIMIT)]
    reason: Annotated[str, msgspec.Meta(max_length=64)]

    @property
    def keeps_slot(self) -> bool:
        """Whether another task may have the slot."""
        return self.reason in (SUSPECT, LEASE_OVER)


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """How one attempt ended.

    `status`: ``ok`` | ``failed`` (the handler raised, retry may help) | ``rejected`` (its
    output or input broke the schema, or the handler said that no retry can help) |
    ``timeout`` | ``crashed`` (its process ended) | ``cancelled``.
    `value` is the encoded result for ``ok``, else empty.
    """

    task: TaskId
    attempt: CountField
    status: Annotated[str, msgspec.Meta(max_length=16)]
    value: msgspec.Raw
    elapsed_us: CountField
    error_kind: NameField = ""
    error_message: TextField = ""
    confidence: Annotated[int, msgspec.Meta(ge=-1, le=1_000_000)] = -1
    """Millionths; -1 where the handler stated none."""
    incomplete: bool = False
    agent: NameField = ""


class Results(Message, frozen=True, array_like=True, tag="tasks.results"):
    """Ended attempts, from a worker's peer to their custodian; repeated until acknowledged."""

    batch: CountField
    outcomes: Annotated[tuple[Outcome, ...], msgspec.Meta(max_length=BATCH_LIMIT)]


class ResultsAck(Message, frozen=True, array_like=True, tag="tasks.results-ack"):
    """The custodian has these batches on disk, or does not want them."""

    batches: Annotated[tuple[CountField, ...], msgspec.Meta(max_length=BATCH_LIMIT)]


class Beat(Message, frozen=True, array_like=True, tag="tasks.beat"):
    """Heartbeat from running work: every attempt that this peer still holds for the custodian.

    `parked` are those that wait for a child and have given their slot back.
    """

    boot: CountField
    running: Annotated[tuple[JobKey, ...], msgspec.Meta(max_length=8192)]
    parked: Annotated[tuple[JobKey, ...], msgspec.Meta(max_length=8192)]


class Parked(Message, frozen=True, array_like=True, tag="tasks.parked"):
    """These attempts wait for a child (`waiting`), or want their slot again (not `waiting`)."""

    jobs: Annotated[tuple[JobKey, ...], msgspec.Meta(max_length=BATCH_LIMIT)]
    waiting: bool


class LeaseEnd(msgspec.Struct, frozen=True, array_like=True):
    """Until when an exclusive attempt has its lease, in log time."""

    task: TaskId
    attempt: CountField
    ends_ms: CountField


class Extended(Message, frozen=True, array_like=True, tag="tasks.extended"):
    """The leases of these attempts were renewed."""

    jobs: Annotated[tuple[LeaseEnd, ...], msgspec.Meta(max_length=BATCH_LIMIT)]


class CancelJobs(Message, frozen=True, array_like=True, tag="tasks.cancel"):
    """The custodian wants these attempts stopped."""

    jobs: Annotated[tuple[JobKey, ...], msgspec.Meta(max_length=BATCH_LIMIT)]


class Progress(Message, frozen=True, array_like=True, tag="tasks.progress"):
    """What a running handler says of itself: a fraction in millionths, and a text."""

    task: TaskId
    attempt: CountField
    fraction: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
    text: TextField


class DescribeSkill(Message, frozen=True, array_like=True, tag="tasks.describe"):
    """Asks for the schemas behind a digest."""

    digest: DigestField


class SkillDescribed(Message, frozen=True, array_like=True, tag="tasks.described"):
    """An encoded `SkillSpec`, whose hash is the digest that was asked for."""

    digest: DigestField
    spec: Annotated[bytes, msgspec.Meta(max_length=48 * 1024)]


class FindTask(Message, frozen=True, array_like=True, tag="tasks.find"):
    """Who knows this task?"""

    request: CountField
    task: TaskId


class TaskFound(Message, frozen=True, array_like=True, tag="tasks.found"):
    """The custodian's encoded `TaskView`; empty where it does not know the task."""

    request: CountField
    view: Annotated[bytes, msgspec.Meta(max_length=INPUT_LIMIT + 64 * 1024)]


class CancelTask(Message, frozen=True, array_like=True, tag="tasks.cancel-task"):
    """A client of another peer asks the custodian to cancel a task."""

    request: CountField
    task: TaskId


KINDS = (
    Assign, Rejected, Results, ResultsAck, Beat, Parked, CancelJobs, Progress,
    DescribeSkill, SkillDescribed, FindTask, TaskFound, CancelTask, Extended,
)  # fmt: skip
