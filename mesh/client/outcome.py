"""How a task ended, as a client's caller sees it."""

from typing import Any

import msgspec

from mesh.local.errors import MeshError, Refused, TaskFailed
from mesh.local.messages import SettledTask
from mesh.local.options import ReadValue
from mesh.local.values import value_of_done

MILLION = 1_000_000


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one task.

    Attributes:
        task: its id; "" where it was refused.
        state: done, failed, cancelled, expired, dead, or refused.
        value: the result of a task that is done, else None.
        error: what went wrong, else None.
        attempts: how many were made.
        incomplete: whether the result lacks parts.
        producer: the name of the peer that ran it.
        confidence: the handler's own, from 0 to 1; None where it stated none.
        elapsed: seconds from acceptance to the end.
    """

    task: str
    state: str
    value: Any = None
    error: TaskFailed | Refused | None = None
    attempts: int = 0
    incomplete: bool = False
    producer: str = ""
    confidence: float | None = None
    elapsed: float = 0.0

    def result(self) -> Any:
        """The value.

        Raises:
            TaskFailed: it ended without one.
            Refused: it was never accepted.
        """
        if self.error is not None:
            raise self.error
        return self.value


def outcome_of(end: SettledTask | Refused, read: ReadValue | None = None) -> Outcome:
    """The outcome of a task that ended or was refused; `read` makes its value typed."""
    if isinstance(end, Refused):
        return Outcome(task="", state="refused", error=end)
    value = value_of(end, read)
    failed = isinstance(value, MeshError)
    return Outcome(
        task=end.task,
        state=end.state,
        value=None if failed else value,
        error=value if failed else None,
        attempts=end.attempts,
        incomplete=end.incomplete,
        producer=end.producer,
        confidence=end.confidence / MILLION if end.confidence >= 0 else None,
        elapsed=end.elapsed_us / MILLION,
    )


def value_of(end: SettledTask | Refused, read: ReadValue | None = None) -> Any:
    """The value of a task that ended, typed by `read`, or the error, as an object."""
    if isinstance(end, Refused):
        return end
    if end.state != "done":
        return error_of(end)
    try:
        return value_of_done(end, read)
    except TaskFailed as error:
        return error


def error_of(end: SettledTask) -> TaskFailed:
    """What is raised for a task that ended without a value."""
    return TaskFailed(end.task, end.state, end.error_kind, end.error_message, end.attempts)
