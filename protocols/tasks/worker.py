"""The worker's half: attempts taken for custodians, run by this peer's agents.

Nothing is persisted: an attempt that is forgotten with this process is run
again by its custodian, which has it on disk. So nothing here waits for a disk.
Invariants: a job is held once for each custodian, task and attempt (`held-once`).
"""

from protocols.machine import Now
from protocols.tasks import commands
from protocols.tasks.delivery import Delivery
from protocols.tasks.events import (
    CapacityChanged,
    ResumeJobs,
    RunJob,
    RunJobs,
    StopJobs,
)
from protocols.tasks.hosting import (
    ENDED,
    HANDED,
    PARKED,
    QUEUED,
    HeldJob,
    Hosted,
    Occupancy,
    beat_of,
    check_held,
    fit_to_send,
    holds_suspect,
    is_full,
    key_of,
    lease_until,
    outcome_without_value,
    reason_against,
    run_of,
)
from protocols.tasks.leases import lease_left_ns
from protocols.tasks.load import OwnLoad
from protocols.tasks.messages import (
    BATCH_LIMIT,
    LEASE_OVER,
    SUSPECT,
    Assign,
    CancelJobs,
    Extended,
    JobKey,
    Outcome,
    Parked,
    Progress,
    Rejected,
    ResultsAck,
)
from protocols.tasks.observing import Observing
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import (
    GRANTS_LIMIT,
    NEVER,
    TaskParameters,
)
from protocols.tasks.spending import Spending

TEXT_LIMIT = 4096
Jobs = dict[tuple[str, int], HeldJob]


class Worker:
    """The attempts that this peer holds."""

    def __init__(self, me: bytes, boot: int, parameters: TaskParameters, outbox: Outbox) -> None:
        self._boot = boot
        self._parameters = parameters
        self._outbox = outbox
        self._hosted: dict[tuple[str, str], Hosted] = {}
        self._grants: dict[tuple[str, bytes], commands.SlotsLent] = {}
        self._jobs: dict[bytes, Jobs] = {}
        self._delivery = Delivery(boot, parameters, outbox)
        self._bytes = 0
        self._beat_at = NEVER
        self._touched: dict[Hosted, None] = {}
        self._observing = Observing(parameters, outbox)
        self._load = OwnLoad(me, parameters, outbox, self._hosted)
        self._spending = Spending(outbox)
        self._answers: dict[bytes, list[Outcome]] = {}
        self._parkings: dict[tuple[bytes, bool], list[JobKey]] = {}
        self.is_draining = False

    @property
    def is_idle(self) -> bool:
        """Nothing is held here: nothing runs, and every result is acknowledged."""
        return not self._jobs and self._delivery.is_empty

    @property
    def occupancy(self) -> tuple[Occupancy, ...]:
        """How busy each skill is that this peer hosts, or still runs."""
        return tuple(hosted.occupancy for hosted in self._hosted.values())

    def runs(self, task: str) -> bool:
        """Whether an attempt at this task runs here."""
        return any(
            key[0] == task and job.state != ENDED
            for jobs in self._jobs.values()
            for key, job in jobs.items()
        )

    # What is hosted and granted.

    def host(self, command: commands.HostSkills, now: Now) -> None:
        """Every skill that this peer hosts now."""
        given = {(spec.name, spec.version): (spec, slots) for spec, slots in command.skills}
        sick = frozenset(command.sick)
        for key, hosted in tuple(self._hosted.items()):
            if key not in given:
                self._withdraw(key, hosted)
        for key, (spec, slots) in given.items():
            known = self._hosted.get(key)
            before = known.offered if known is not None else 0
            if known is None:
                known = self._hosted[key] = Hosted(spec, slots)
            known.spec, known.slots, known.is_sick = spec, slots, key in sick
            self._touched[known] = None
            if known.offered != before and not self.is_draining:
                self._outbox.emit(CapacityChanged(*key, known.offered))
            if known.is_sick:
                self._hand_back(known, "sick")

    def _withdraw(self, key: tuple[str, str], hosted: Hosted) -> None:
        """What is queued goes back; what runs, runs on."""
        if hosted.slots and not self.is_draining:
            self._outbox.emit(CapacityChanged(*key, 0))
        hosted.slots = 0
        self._hand_back(hosted, "no-skill")
        if not any(
            job.hosted is hosted and job.state != ENDED
            for jobs in self._jobs.values()
            for job in jobs.values()
        ):
            del self._hosted[key]

    def _hand_back(self, hosted: Hosted, reason: str) -> None:
        """What waits here for a place is to be run elsewhere."""
        for job in tuple(hosted.queue):
            hosted.leave(job)
            self._bytes -= job.size
            jobs = self._jobs[job.custodian]
            del jobs[job.key]
            if not jobs:
                del self._jobs[job.custodian]
            self._outbox.send(job.custodian, Rejected("", (key_of(job),), reason))

    def lent(self, command: commands.SlotsLent) -> None:
        """An issuer may assign so many at once; what it assigned before goes on."""
        key = (command.lot, command.issuer)
        if command.slots <= 0:
            self._grants.pop(key, None)
            for job in self._jobs.get(command.issuer, {}).values():
                if job.lot == command.lot and job.state != ENDED:
                    job.hosted.orphan(job)
                    self._touched[job.hosted] = None
        elif key in self._grants or len(self._grants) < GRANTS_LIMIT:
            self._grants[key] = command

    def drain(self, now: Now) -> None:
        """Takes no new work."""
        if not self.is_draining:
            for key, hosted in self._hosted.items():
                if hosted.slots:
                    self._outbox.emit(CapacityChanged(*key, 0))
        self.is_draining = True

    # Assigned, cancelled, acknowledged.

    def assign(self, link: bytes, message: Assign, now: Now) -> None:
        """Jobs from a custodian. Those that are held or ended already are not run again."""
        grant = self._grants.get((message.lot, link)) if message.lot else None
        version = message.version or (grant.version if grant is not None else "")
        hosted = self._hosted.get((message.skill, version))
        reason = reason_against(hosted, message, grant, self.is_draining)
        jobs = self._jobs.get(link, {})
        refused: dict[str, list[JobKey]] = {}
        for job in message.jobs:
            key = (job.task, job.attempt)
            held = jobs.get(key)
            if held is not None:
                if held.state == ENDED:
                    self._delivery.hurry(link, now.monotonic_ns)
                continue
            recent = self._delivery.recent(link, job.task, job.attempt)
            if recent is not None:
                self._answers.setdefault(link, []).append(recent)
            elif reason or hosted is None or is_full(hosted, message, jobs, job, self._bytes):
                refused.setdefault(reason or "busy", []).append(JobKey(job.task, job.attempt))
            elif job.fencing_token and lease_left_ns(job.lease_ends_ms, now.wall_ns) <= 0:
                refused.setdefault(LEASE_OVER, []).append(JobKey(job.task, job.attempt))
            elif job.is_suspect and holds_suspect((*self._jobs.values(), jobs)):
                refused.setdefault(SUSPECT, []).append(JobKey(job.task, job.attempt))
            else:
                held = HeldJob(link, key, job, hosted, message.lot, now)
                jobs[key] = held
                self._bytes += held.size
                hosted.take(held)
        if jobs:
            self._jobs[link] = jobs
            if self._beat_at == NEVER:
                self._beat_at = now.monotonic_ns + self._parameters.beat_ns
        if hosted is not None:
            self._touched[hosted] = None
        for why, keys in refused.items():
            self._outbox.send(link, Rejected(message.lot, tuple(keys), why))

    def extended(self, link: bytes, message: Extended, now: Now) -> None:
        """A custodian renewed leases."""
        jobs = self._jobs.get(link, {})
        for end in message.jobs:
            job = jobs.get((end.task, end.attempt))
            if job is not None and job.lease_until < NEVER and job.state != ENDED:
                job.lease_until = lease_until(end.ends_ms, now)
                job.hosted.time(job)

    def cancel(self, link: bytes, message: CancelJobs) -> list[str]:
        """The custodian wants these stopped; returns the tasks that really ran here."""
        jobs = self._jobs.get(link, {})
        stopped: list[HeldJob] = []
        for key in message.jobs:
            job = jobs.get((key.task, key.attempt))
            if job is None or job.state == ENDED:
                continue
            if job.state == QUEUED:
                self._end(
                    job, outcome_without_value(job, "cancelled", "Cancelled", "before it began")
                )
            elif not job.is_stopped:
                job.is_stopped = True
                stopped.append(job)
        self._stop(stopped, "cancelled")
        return [job.key[0] for job in stopped]

    def _stop(self, jobs: list[HeldJob], reason: str) -> None:
        if jobs:
            stopped = tuple((job.custodian, *job.key) for job in jobs)
            self._outbox.perform(StopJobs(stopped, reason))

    def acknowledged(self, link: bytes, message: ResultsAck) -> None:
        """The custodian has these results."""
        self._let_go(link, self._delivery.acknowledged(link, message.batches))

    def forsake(self, custodian: bytes) -> list[str]:
        """A custodian was revoked: its work stops; returns the tasks that really ran here."""
        self._let_go(custodian, self._delivery.forsake(custodian))
        held = self._jobs.get(custodian, {}).values()
        return self.cancel(custodian, CancelJobs(tuple(map(key_of, held))))

    def _let_go(self, custodian: bytes, outcomes: list[Outcome]) -> None:
        jobs = self._jobs.get(custodian, {})
        for outcome in outcomes:
            jobs.pop((outcome.task, outcome.attempt), None)
        if not jobs:
            self._jobs.pop(custodian, None)

    def custodian_up(self, peer: bytes, now: Now) -> None:
        """A custodian is back: it gets at once what it has not acknowledged."""
        self._delivery.hurry(peer, now.monotonic_ns)

    # The agents' side.

    def ended(self, command: commands.JobsEnded) -> None:
        """Agents ended attempts."""
        sums: dict[Hosted, list[int]] = {}
        for custodian, outcome in command.ends:
            job = self._jobs.get(custodian, {}).get((outcome.task, outcome.attempt))
            if job is None or job.state == ENDED:
                continue
            outcome = fit_to_send(job, outcome)
            entry = sums.setdefault(job.hosted, [0, 0])
            entry[0] += 1
            entry[1] += outcome.elapsed_us
            self._end(job, outcome)
        for hosted, (count, elapsed_us) in sums.items():
            hosted.observe(count, elapsed_us)

    def _end(self, job: HeldJob, outcome: Outcome) -> None:
        job.hosted.leave(job)
        self._spending.ended(job, outcome)
        job.job = None
        self._bytes -= job.size
        self._answers.setdefault(job.custodian, []).append(outcome)
        self._touched[job.hosted] = None

    def parked(self, command: commands.JobParked) -> None:
        """A job awaits a child, or wants to go on."""
        job = self._jobs.get(command.custodian, {}).get((command.task, command.attempt))
        if job is None:
            return
        if command.waiting and job.state == HANDED:
            job.hosted.park(job)
            self._parkings.setdefault((job.custodian, True), []).append(key_of(job))
        elif not command.waiting and job.state == PARKED:
            job.hosted.come_back(job)
        self._touched[job.hosted] = None

    def progress(self, command: commands.JobProgress) -> None:
        """A running handler says how far it is."""
        if (command.task, command.attempt) in self._jobs.get(command.custodian, {}):
            fraction = max(0, min(command.fraction, 1_000_000))
            self._outbox.send_promptly(
                command.custodian,
                Progress(command.task, command.attempt, fraction, command.text[:TEXT_LIMIT]),
            )

    # Steps.

    def end_step(self, now: Now) -> None:
        """Starts what has a place, sends what ended, says how busy this peer is."""
        mono = now.monotonic_ns
        for hosted in self._touched:
            self._start(hosted, mono)
        for (custodian, waiting), keys in self._parkings.items():
            for at in range(0, len(keys), BATCH_LIMIT):
                self._outbox.send(custodian, Parked(tuple(keys[at : at + BATCH_LIMIT]), waiting))
        self._parkings.clear()
        if self._answers:
            self._spending.tell(mono)
            for custodian, outcomes in self._answers.items():
                self._delivery.send(custodian, outcomes, now)
            self._answers.clear()
            for custodian, outcome in self._delivery.drop_beyond_limits(mono):
                self._let_go(custodian, [outcome])
        for hosted in self._touched:
            self._observing.look(hosted, mono)
        if self._touched:
            self._load.look(mono)
        self._touched.clear()

    def _start(self, hosted: Hosted, now: int) -> None:
        hosted.begin(now)
        if not (hosted.may_resume or hosted.may_hand):
            return
        resumed: list[HeldJob] = []
        while hosted.may_resume:
            job = hosted.returning.popleft()
            hosted.resume(job)
            resumed.append(job)
            self._parkings.setdefault((job.custodian, False), []).append(key_of(job))
        runs: list[RunJob] = []
        while hosted.may_hand:
            if hosted.queue[0].lease_until <= now:
                job, why = hosted.queue[0], "its lease ended before it began"
                self._end(job, outcome_without_value(job, "cancelled", "LeaseOver", why))
                continue
            job = hosted.queue.popleft()
            hosted.hand(job, now)
            runs.append(run_of(job, now))
        if resumed:
            keys = tuple((job.custodian, *job.key) for job in resumed)
            self._outbox.perform(ResumeJobs(keys))
        if runs:
            self._outbox.perform(RunJobs(tuple(runs)))

    def wake(self, now: Now) -> list[str]:
        """Stops what is overdue, beats, sends again; returns the tasks that were overdue."""
        mono = now.monotonic_ns
        stopped: list[str] = []
        for hosted in self._hosted.values():
            if hosted.due <= mono:
                overdue = [job for job in hosted.overdue(mono) if not job.is_stopped]
                for job in overdue:
                    job.is_stopped = True
                    stopped.append(job.key[0])
                # An attempt without a lease has not failed: its custodian has it run again.
                lapsed = [job for job in overdue if job.lease_until <= mono]
                self._stop([job for job in overdue if job not in lapsed], "timeout")
                self._stop(lapsed, "cancelled")
        if self._beat_at <= mono:
            self._beat(mono)
        self._delivery.wake(mono)
        self._observing.wake(mono)
        self._load.wake(mono)
        return stopped

    def _beat(self, now: int) -> None:
        for custodian, jobs in self._jobs.items():
            self._outbox.send_promptly(custodian, beat_of(self._boot, jobs.values()))
        self._beat_at = now + self._parameters.beat_ns if self._jobs else NEVER

    def deadline(self) -> int:
        """When `wake` is wanted."""
        least = min(self._beat_at, self._delivery.deadline(), self._observing.deadline())
        least = min(least, self._load.deadline())
        for hosted in self._hosted.values():
            if hosted.due < least:
                least = hosted.due
        return least

    def check(self) -> None:
        """Asserts what is said on top."""
        check_held(self._jobs, self._hosted.values(), self._bytes)
        self._delivery.check()
