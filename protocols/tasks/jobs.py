"""An attempt as its worker is told of it."""

from protocols.machine import MILLISECOND_NS
from protocols.tasks.messages import Job
from protocols.tasks.parameters import TERM
from protocols.tasks.task import Attempt, Task

JOB_BYTES = 208
"""What a job takes beside its input, at most."""


def job_of(task: Task, attempt: Attempt, wall: int) -> Job:
    """One attempt, with what remains of its deadline."""
    envelope = task.envelope
    deadline_ms = 0
    if envelope.deadline_wall_ns:
        deadline_ms = max(1, (envelope.deadline_wall_ns - wall) // MILLISECOND_NS)
    return Job(
        task.id, TERM, attempt.number, task.input, envelope.timeout_ms, deadline_ms,
        envelope.depth, envelope.traceparent, envelope.parent, envelope.space,
        envelope.principal, bool(task.suspicions), attempt.token,
        task.lease.ends_ms if task.lease is not None else 0,
    )  # fmt: skip


def has_result(task: Task) -> bool:
    """Whether a result is here that the log has yet to confirm: nothing more is expected."""
    return task.lease is not None and task.lease.pending is not None
