"""One attempt that is with the handlers of a simulated peer."""

from mesh.agent.context import Context
from mesh.local.messages import LocalJob
from mesh.testing.port import JobPort
from mesh.testing.scripts import Script
from mesh.testing.troupe import HandlerSkill
from protocols.tasks.events import RunJob

Key = tuple[bytes, str, int]
"""Custodian, task and attempt."""


class Job:
    """One attempt that is with the handlers of this peer."""

    def __init__(self, number: int, run: RunJob, hosted: HandlerSkill) -> None:
        """Takes what the core wants run, and by whom."""
        self.number = number
        self.run = run
        self.key: Key = (run.custodian, run.task, run.attempt)
        self.skill = hosted.skill
        self.agent = hosted.agent
        self.port: JobPort | None = None
        self.script: Script | None = None
        self.context: Context | None = None
        self.has_slot = False
        self.has_begun = False
        self.begun = 0.0
        self.really_begun = 0.0
        self.stopped = ""
        self.is_over = False
        self.is_replayed = False
        self.shown_at = -1.0

    def local(self) -> LocalJob:
        """As a worker would be told of it."""
        run = self.run
        return LocalJob(
            job=self.number,
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
