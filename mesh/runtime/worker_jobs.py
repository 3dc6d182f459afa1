"""One attempt as the worker side of a peer keeps it, and how its end is told."""

from typing import Any

import msgspec

from mesh.local.messages import NIL, JobEnd, LocalJob, Log, Run
from mesh.local.sizes import shown
from mesh.runtime.local_connection import LocalConnection
from mesh.runtime.worker_process import WorkerProcess
from protocols.tasks.events import RunJob
from protocols.tasks.messages import INPUT_LIMIT, Outcome

RUN_BYTES = 8 * 1024 * 1024
"""Bytes of inputs in one message to a worker, above which another one begins."""
KIND_LIMIT = 128
TEXT_LIMIT = 4096
ELAPSED_LIMIT_US = 2**62
"""As the wire has it; a larger one would keep the outcome from ever arriving."""
STATUSES = frozenset({"ok", "failed", "rejected", "timeout", "cancelled", "crashed"})

JobId = tuple[bytes, str, int]
"""(custodian, task, attempt)."""


class WorkerLink:
    """A connected worker."""

    def __init__(self, connection: LocalConnection, process: WorkerProcess | None) -> None:
        self.connection = connection
        self.process = process
        self.jobs: dict[int, None] = {}
        self.memory: list[int] = []
        """What its agents may hold, in bytes."""
        self.is_leaving = False
        """Another one has its place; it finishes what it runs."""
        self.is_killed = False
        """By its peer, for a job that did not stop; the others that it ran cannot help it."""

    @property
    def overfull(self) -> str:
        """Why it was killed, where that was for the memory it held."""
        process = self.process
        if process is None or process.overfull[0] != self.connection.pid:
            return ""
        others = f"; {len(self.jobs)} attempts ran in it" if len(self.jobs) > 1 else ""
        return (
            f"the worker of {process.path.name} held {shown(process.overfull[1])}, over its limit "
            f"of {shown(process.memory)}, and was killed{others}. Give its agent more memory, or "
            "less to do at once"
        )


class RunningJob:
    """One attempt that this peer runs."""

    __slots__ = ("agent", "id", "link", "number", "shown_at", "stopped")

    def __init__(self, number: int, job: RunJob) -> None:
        self.number = number
        self.id: JobId = (job.custodian, job.task, job.attempt)
        self.link: WorkerLink | None = None
        self.agent = ""
        self.stopped = ""
        self.shown_at = 0.0


def outcome_of(job: RunningJob, end: JobEnd) -> Outcome:
    """A worker's word as the core is given it, within the bounds of the wire."""
    _, task, attempt = job.id
    status, value, kind, message = end.status, end.value, end.error_kind, end.error_message
    if status not in STATUSES:
        status, kind, message = "failed", "ProtocolError", f"a worker said {status!r}"
    if memoryview(value).nbytes > INPUT_LIMIT:
        status, kind, message = "rejected", "TooLarge", f"a result of over {INPUT_LIMIT} bytes"
    confidence = end.confidence if -1 <= end.confidence <= 1_000_000 else -1
    return Outcome(
        task,
        attempt,
        status,
        value if status == "ok" else NIL,
        min(max(0, end.elapsed_us), ELAPSED_LIMIT_US),
        kind[:KIND_LIMIT],
        message[:TEXT_LIMIT],
        confidence,
        end.incomplete,
        job.agent,
    )


def stop_status(reason: str) -> str:
    """The status of a job that was stopped for this reason."""
    return "timeout" if reason == "timeout" else "cancelled"


def log_event(message: Log, task: str, attempt: int) -> dict[str, Any]:
    """A handler's log line as watchers see it."""
    event: dict[str, Any] = {
        "event": "agent.log",
        "task": task,
        "attempt": attempt,
        "level": message.level,
        "text": message.text,
    }
    if message.fields != NIL:
        event["fields"] = _plain_fields(message.fields)
    return event


def _plain_fields(fields: msgspec.Raw) -> Any:
    if memoryview(fields).nbytes > TEXT_LIMIT:
        return {"bytes": memoryview(fields).nbytes}
    try:
        return msgspec.to_builtins(msgspec.msgpack.decode(fields), str_keys=True)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError):
        return {"malformed": True}


def send_jobs(connection: LocalConnection, jobs: list[LocalJob]) -> None:
    """Sends jobs to a worker, in messages that are not too long."""
    batch: list[LocalJob] = []
    size = 0
    for job in jobs:
        size += memoryview(job.input).nbytes
        if batch and size > RUN_BYTES:
            connection.send(Run(jobs=batch))
            batch, size = [], memoryview(job.input).nbytes
        batch.append(job)
    connection.send(Run(jobs=batch))
