"""What a worker's peer runs: the jobs it holds, and how many of a skill at once.

States of a job: queued, running, parked, returning (it wants its place again),
ended (until its result is acknowledged).
Invariants: `within-capacity`: never more jobs have begun than the skill has slots.
Of short jobs more are handed over than that; the agents begin them in order.
"""

from collections import deque
from collections.abc import Iterable, Sized
from typing import NamedTuple

import msgspec

from protocols.machine import MILLISECOND_NS, Now
from protocols.tasks.commands import SlotsLent
from protocols.tasks.events import RunJob
from protocols.tasks.leases import lease_left_ns
from protocols.tasks.messages import INPUT_LIMIT, Assign, Beat, Job, JobKey, Outcome
from protocols.tasks.nesting import NESTING_LIMIT, is_too_deep
from protocols.tasks.parameters import (
    CHUNK_LIMIT,
    DIRECT_QUEUE_PER_SLOT,
    DIRECT_QUEUE_SPARE,
    JOBS_BYTES_LIMIT,
    JOBS_PER_CUSTODIAN_LIMIT,
    NEVER,
)
from protocols.tasks.skills import SkillSpec
from protocols.tasks.task import NIL

QUEUED, HANDED, PARKED, RETURNING, ENDED = "queued", "running", "parked", "returning", "ended"
SHORT_US = 1_000
SPARE_US = 50_000
"""Of jobs shorter than this one more is with the agents than may run, so that the
way to them and back costs no slot its time."""
MEMORY = 16


class Occupancy(NamedTuple):
    """How busy a skill is here: slots there are, jobs in them, jobs that wait.

    Of short jobs more are with the agents than there are slots: those wait too.
    """

    skill: str
    version: str
    slots: int
    running: int
    waiting: int


class HeldJob:
    """One attempt that this peer holds for a custodian."""

    __slots__ = (
        "custodian", "deadline", "due", "handed_at", "hosted", "is_begun", "is_direct",
        "is_stopped", "is_suspect", "job", "key", "lease_until", "lot", "size", "state",
        "taken_at", "time_up",
    )  # fmt: skip

    def __init__(
        self,
        custodian: bytes,
        key: tuple[str, int],
        job: Job,
        hosted: "Hosted",
        lot: str,
        at: Now,
    ) -> None:
        now = at.monotonic_ns
        self.custodian = custodian
        self.key = key
        self.job: Job | None = job
        self.hosted = hosted
        self.lot = lot
        """Whose slot it holds; "" where it holds none: it came without, or the lot has ended."""
        self.is_direct = not lot
        self.size = len(job.input)
        self.deadline = now + job.deadline_ms * MILLISECOND_NS if job.deadline_ms else NEVER
        self.lease_until = lease_until(job.lease_ends_ms, at) if job.fencing_token else NEVER
        """When an exclusive attempt has to have stopped."""
        self.time_up = NEVER
        """When the deadline or the timeout comes; the lease may end before."""
        self.due = NEVER
        self.taken_at = now
        self.handed_at = 0
        self.state = QUEUED
        self.is_begun = False
        self.is_stopped = False
        self.is_suspect = job.is_suspect


class Hosted:
    """One skill that this peer hosts, and its jobs."""

    __slots__ = (
        "_begun", "_handed", "direct", "due", "is_sick", "mean_us", "observed_at", "queue",
        "returning", "running", "samples", "slotless", "slots", "spec", "timed", "told_direct",
        "told_mean_us", "told_queued",
    )  # fmt: skip

    def __init__(self, spec: SkillSpec, slots: int) -> None:
        self.spec = spec
        self.slots = slots
        self.is_sick = False
        """Its agent cannot work now: what runs goes on, and nothing new is taken."""
        self.queue: deque[HeldJob] = deque()
        self.returning: deque[HeldJob] = deque()
        self.running = 0
        self.direct = 0
        self.slotless = 0
        """Jobs without a slot that run, or want to."""
        self.mean_us = 0.0
        self.samples = 0
        self.timed: dict[HeldJob, None] = {}
        """Jobs that have begun and must end in time."""
        self.due = NEVER
        self.observed_at = 0
        self.told_queued = 0
        self.told_direct = 0
        self.told_mean_us = 0
        self._handed: deque[HeldJob] = deque()
        self._begun = 0

    @property
    def offered(self) -> int:
        """How many slots others may be told of."""
        return 0 if self.is_sick else self.slots

    @property
    def limit(self) -> int:
        """How many jobs may be with the agents at once."""
        if self.samples and self.mean_us < SHORT_US and self.slots:
            return max(self.slots, CHUNK_LIMIT)
        if self.samples and self.mean_us < SPARE_US and self.slots:
            return self.slots + 1
        return self.slots

    @property
    def direct_limit(self) -> int:
        """How many jobs that came without a lot may be held."""
        return max(DIRECT_QUEUE_PER_SLOT * self.slots + DIRECT_QUEUE_SPARE, self.limit)

    @property
    def slots_taken(self) -> int:
        """Slots that no bid may offer. Jobs under a millisecond are over before a bid is."""
        return 0 if self.samples and self.mean_us < SHORT_US else self.slotless

    @property
    def queued(self) -> int:
        """Jobs assigned and not ended, parked ones aside."""
        return len(self.queue) + self.running + len(self.returning)

    @property
    def occupancy(self) -> Occupancy:
        """How busy this skill is."""
        running = min(self.running, self.slots)
        return Occupancy(
            self.spec.name, self.spec.version, self.slots, running, self.queued - running
        )

    def take(self, job: HeldJob) -> None:
        """A job comes."""
        self.queue.append(job)
        if job.is_direct:
            self.direct += 1
            self.slotless += 1

    def orphan(self, job: HeldJob) -> None:
        """The lot of a job has ended, or has no slot for it any more."""
        job.lot = ""
        if job.state not in (PARKED, ENDED):
            self.slotless += 1

    def park(self, job: HeldJob) -> None:
        """A running job gives its place back while it waits for a child."""
        self.pause(job)
        job.state = PARKED
        self.slotless -= not job.lot

    def come_back(self, job: HeldJob) -> None:
        """A parked job wants its place again."""
        job.state = RETURNING
        self.returning.append(job)
        self.slotless += not job.lot

    def hand(self, job: HeldJob, now: int) -> None:
        """A job goes to the agents."""
        assert self.running < self.limit, "within-capacity: no place is free"
        job.state = HANDED
        job.handed_at = now
        self.running += 1
        self._handed.append(job)
        self.begin(now)

    def begin(self, now: int) -> None:
        """As many handed jobs as there are slots are taken to have begun, in order.

        Agents run what they are handed in this order, so the time of a job does
        not count while those before it in its chunk run.
        """
        while self._begun < self.slots and self._handed:
            job = self._handed.popleft()
            if job.state != HANDED:
                continue
            job.is_begun = True
            self._begun += 1
            assert job.job is not None, "within-capacity: a job that has ended begins"
            timeout_ms = job.job.timeout_ms
            due = now + timeout_ms * MILLISECOND_NS if timeout_ms else NEVER
            job.time_up = min(due, job.deadline)
            self.time(job)

    def time(self, job: HeldJob) -> None:
        """A job began, or has its lease for longer."""
        if not job.is_begun and job.due == NEVER:
            return
        job.due = min(job.time_up, job.lease_until)
        if job.due < NEVER:
            self.timed[job] = None
            self.due = min(self.due, job.due)

    def pause(self, job: HeldJob) -> None:
        """A running job gives its place back; it may still be timed."""
        self.running -= 1
        if job.is_begun:
            self._begun -= 1
            job.is_begun = False

    @property
    def may_resume(self) -> bool:
        """Whether a job that wants its place again can have it. None is handed over before it."""
        return bool(self.returning) and self._begun < self.slots

    @property
    def may_hand(self) -> bool:
        """Whether the agents should have another job."""
        return bool(self.queue) and not self.returning and self.running < self.limit

    def resume(self, job: HeldJob) -> None:
        """A job has its place again."""
        assert self._begun < self.slots, "within-capacity: no place is free"
        job.state = HANDED
        job.is_begun = True
        self._begun += 1
        self.running += 1

    def leave(self, job: HeldJob) -> None:
        """A job ends, wherever it stands."""
        if job.state != PARKED:
            self.slotless -= not job.lot
        if job.state == HANDED:
            self.pause(job)
        elif job.state == QUEUED:
            self.queue.remove(job)
        elif job.state == RETURNING:
            self.returning.remove(job)
        job.state = ENDED
        if job.is_direct:
            self.direct -= 1
        if job.due < NEVER:
            self.timed.pop(job, None)

    def observe(self, count: int, elapsed_us: int) -> None:
        """Takes the durations of jobs that ended."""
        self.samples = min(self.samples + count, 1 << 30)
        share = min(1.0, count / min(self.samples, MEMORY))
        self.mean_us += (elapsed_us / count - self.mean_us) * share

    def overdue(self, now: int) -> list[HeldJob]:
        """Jobs to stop, each once."""
        due = [job for job in self.timed if job.due <= now]
        for job in due:
            del self.timed[job]
            job.due = NEVER
        self.due = min((job.due for job in self.timed), default=NEVER)
        return due

    def check(self) -> None:
        """Asserts that no more runs than may."""
        assert self.running >= 0, "within-capacity: fewer than none run"
        assert self._begun <= self.running, "within-capacity: more have begun than run"
        assert self.direct >= 0, "within-capacity: fewer than no direct jobs"
        assert 0 <= self.slotless <= self.queued, "within-capacity: slotless jobs"
        for job in self.queue:
            assert job.state == QUEUED, "within-capacity: a job in the queue is not queued"


def reason_against(
    hosted: Hosted | None, message: Assign, grant: SlotsLent | None, is_draining: bool
) -> str:
    """Why none of what a custodian assigns is taken; "" where nothing is against it."""
    if hosted is None or not hosted.slots:
        return "no-skill"
    if hosted.is_sick:
        return "sick"
    if is_draining:
        return "busy"
    if message.lot and (grant is None or grant.skill != message.skill):
        return "no-slot"
    return ""


def holds_suspect(held: Iterable[dict[tuple[str, int], HeldJob]]) -> bool:
    """Whether a suspect of poison is here, whoever sent it: of two nobody could tell which it was.

    One that awaits a child does not count, or the child might never run.
    """
    return any(
        job.is_suspect and job.state not in (PARKED, ENDED)
        for jobs in held
        for job in jobs.values()
    )


def is_full(hosted: Hosted, message: Assign, jobs: Sized, job: Job, size: int) -> bool:
    """Whether a job is too much beside those of its custodian and `size` bytes of all."""
    is_queue_full = not message.lot and hosted.direct >= hosted.direct_limit
    is_too_large = size + len(job.input) > JOBS_BYTES_LIMIT
    return len(jobs) >= JOBS_PER_CUSTODIAN_LIMIT or is_too_large or is_queue_full


def beat_of(boot: int, jobs: Iterable[HeldJob]) -> Beat:
    """What a custodian is told of all that is held for it."""
    running: list[JobKey] = []
    parked: list[JobKey] = []
    for job in jobs:
        (parked if job.state == PARKED else running).append(key_of(job))
    return Beat(boot, tuple(running), tuple(parked))


def lease_until(ends_ms: int, now: Now) -> int:
    """When an attempt under a lease has to have stopped, by the monotonic clock."""
    return now.monotonic_ns + lease_left_ns(ends_ms, now.wall_ns)


def check_held(
    held: dict[bytes, dict[tuple[str, int], HeldJob]], hosts: Iterable[Hosted], size: int
) -> None:
    """Asserts that what a worker holds is held once, and that the counts are counts."""
    running: dict[Hosted, int] = {}
    for custodian, jobs in held.items():
        assert jobs, "held-once: an empty custodian is kept"
        assert len(jobs) <= JOBS_PER_CUSTODIAN_LIMIT, "held-once: too many jobs"
        for key, job in jobs.items():
            assert (job.custodian, job.key) == (custodian, key), "held-once: misfiled"
            size -= 0 if job.state == ENDED else job.size
            if job.state == HANDED:
                running[job.hosted] = running.get(job.hosted, 0) + 1
    assert not size, "held-once: the bytes are wrong"
    for hosted in hosts:
        hosted.check()
        assert running.get(hosted, 0) == hosted.running, "within-capacity: the count is wrong"


def key_of(job: HeldJob) -> JobKey:
    """The job's name on the wire."""
    return JobKey(*job.key)


def outcome_without_value(job: HeldJob, status: str, kind: str, message: str) -> Outcome:
    """How an attempt ended that gave no value."""
    return Outcome(job.key[0], job.key[1], status, NIL, 0, kind, message)


def fit_to_send(job: HeldJob, outcome: Outcome) -> Outcome:
    """How an attempt ended, as its custodian may be told."""
    if len(outcome.value) > INPUT_LIMIT:
        text = f"a result of {len(outcome.value)} bytes is over {INPUT_LIMIT}"
        return outcome_without_value(job, "rejected", "TooLarge", text)
    if is_too_deep(outcome.value):
        text = f"a result nested deeper than {NESTING_LIMIT}"
        return outcome_without_value(job, "rejected", "InvalidOutput", text)
    if not len(outcome.value):
        # Nothing at all would break the message that it is put into.
        return msgspec.structs.replace(outcome, value=NIL)
    return outcome


def run_of(held: HeldJob, now: int) -> RunJob:
    """What the agents are given, with what remains of the deadline."""
    job = held.job
    assert job is not None, "held-once: a job that has ended is run"
    deadline_ms = 0
    if held.deadline < NEVER:
        deadline_ms = max(1, (held.deadline - now) // MILLISECOND_NS)
    spec = held.hosted.spec
    return RunJob(
        held.custodian, job.task, job.term, job.attempt, spec.name, spec.version, job.input,
        job.timeout_ms, deadline_ms, job.depth, job.traceparent, job.parent, job.space,
        job.principal, job.fencing_token,
    )  # fmt: skip
