"""One recorded core without neighbours, which runs its own tasks, and its recording as files."""

from pathlib import Path

import msgspec

from mesh.core.commands import Announce
from mesh.core.outward import Execute, Notify, Outward
from mesh.core.peer import PeerCore
from mesh.core.recorded_core import RecordedCore, RecordedEntropy, RecordedKeyring, Tape
from mesh.core.recording import FIRST_LINK, FORMAT, MAGIC, Opening, framed
from mesh.core.schemas import compile_schema
from mesh.core.settings import CoreSettings
from protocols.machine import MILLISECOND_NS, Now
from protocols.tasks.commands import HostSkills, JobsEnded, SubmitTasks, TaskSpec
from protocols.tasks.events import RunJobs, TasksSettled
from protocols.tasks.messages import Outcome
from protocols.tasks.skills import SkillSpec
from tests.core.lone_core import ROOT, LoneCore

INPUT = msgspec.Raw(msgspec.msgpack.encode({"text": "x" * 200}))
SCHEMA = b'{"type": "object", "properties": {"text": {"type": "string"}}}'
SPEC = SkillSpec("echo", "1", SCHEMA, b"{}")
NONSENSE = b"\x93" * 2000
"""A frame that says nothing: it makes a recording longer, and a state no larger."""
LARGE = 1 << 40


class Files:
    """Writes segments at once. `failure` may be set, as by a disk that refuses."""

    def __init__(self, folder: Path) -> None:
        self.failure = ""
        self.folder = folder
        self._path = folder
        self._index = 0

    def begin(self, name: str, payloads: tuple[bytes, bytes], most: int) -> None:
        self._path = self.folder / f"{name}.rec"
        self._path.write_bytes(MAGIC)
        self._index = 0
        for payload in payloads:
            self.append(payload)

    def append(self, payload: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(framed(self._index, payload))
        self._index += 1


class Flight:
    """A recorded core that hosts `echo` and is its own client, in virtual time."""

    def __init__(self, folder: Path, limit: int = LARGE, boot: int = 1) -> None:
        lone = LoneCore(7)
        tape = Tape()
        self.now = lone.now
        self.told: list[str] = []
        self.settled = 0
        self.files = Files(folder)
        self.keyring = RecordedKeyring(lone.keyring, tape)
        self.inner = PeerCore(
            CoreSettings(),
            self.keyring,
            lone.credential,
            ROOT,
            boot,
            lone.rng,
            RecordedEntropy(lone.rng.randbytes, tape),
            compile_schema,
        )
        opening = Opening(
            FORMAT, "1.2.3", "3.11", "lone", lone.peer, ROOT, boot, 0, *self.now, FIRST_LINK
        )
        self.core = RecordedCore(self.inner, tape, self.files, opening, limit, self.told.append)
        self.core.submit(Announce("lone", "tcp://127.0.0.1:1"), self.now)
        self.core.submit(HostSkills(((SPEC, 4),)), self.now)

    def run(self, tasks: int) -> None:
        """Submits so many, one after the other, and lets each end."""
        for number in range(tasks):
            wanted = self.settled + 1
            self.core.receive(b"s" * 32, NONSENSE, self.now)
            self.core.submit(SubmitTasks(number, (TaskSpec("echo", INPUT),)), self.now)
            while self.settled < wanted:
                self.round()

    def round(self) -> None:
        """Ten milliseconds, as a driver spends them."""
        records = self.core.take_records()
        if records:
            self.core.recorded(records[-1].number)
        for outward in self.core.take_outward():
            self._carry_out(outward)
        passed = self.now.monotonic_ns + 10 * MILLISECOND_NS
        self.now = Now(passed, self.now.wall_ns + 10 * MILLISECOND_NS + 7)
        due = self.core.deadline()
        if due is not None and due <= passed:
            self.core.wake(self.now)

    def _carry_out(self, outward: Outward) -> None:
        match outward:
            case Execute(RunJobs(jobs)):
                ends = tuple(
                    (job.custodian, Outcome(job.task, job.attempt, "ok", job.input, 5))
                    for job in jobs
                )
                self.core.submit(JobsEnded(ends), self.now)
            case Notify(TasksSettled(settled=settled)):
                self.settled += len(settled)
