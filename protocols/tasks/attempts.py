"""Attempts of this custodian: sent out, heard of, answered, lost.

An attempt is recorded before it is sent, and counts until it is released; its
result counts for ever, from the peer that it was given to.
"""

from collections.abc import Iterable

from protocols.machine import MICROSECOND_NS, MILLISECOND_NS, SECOND_NS, Now
from protocols.tasks.catalogue import Catalogue, fault_of
from protocols.tasks.commands import LeaseTold
from protocols.tasks.dispatch import Desk, Slots
from protocols.tasks.events import AttemptsStarted, CompletionObserved, TaskProgressed
from protocols.tasks.failing import Failing
from protocols.tasks.gate import Gate
from protocols.tasks.jobs import JOB_BYTES, has_result, job_of
from protocols.tasks.leases import Pending
from protocols.tasks.ledger import Ledger
from protocols.tasks.lifecycle import CRASHED, OK, OUTCOME_STATUSES, RUNNING, SETTLED
from protocols.tasks.messages import (
    BATCH_LIMIT,
    Assign,
    Beat,
    CancelJobs,
    Job,
    JobKey,
    Outcome,
    Parked,
    Progress,
    Results,
    ResultsAck,
)
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import MESSAGE_BYTES, NEVER, TaskParameters
from protocols.tasks.records import AttemptsRecorded
from protocols.tasks.settling import Settling
from protocols.tasks.task import Attempt, Task

OBSERVED_NS = 100 * MILLISECOND_NS


class Attempts:
    """Sends attempts, and hears of them."""

    def __init__(
        self,
        parameters: TaskParameters,
        ledger: Ledger,
        settling: Settling,
        gate: Gate,
        failing: Failing,
        catalogue: Catalogue,
        outbox: Outbox,
    ) -> None:
        self._parameters = parameters
        self._ledger = ledger
        self._settling = settling
        self._gate = gate
        self._failing = failing
        self._catalogue = catalogue
        self._outbox, self.dirty = outbox, gate.dirty
        self._suspected: dict[bytes, None] = {}
        """Peers with attempts out that do not answer gossip, and said nothing here since."""
        self.vacated: dict[Slots, int] = {}
        """Slots that parked attempts of this step gave back."""

    # Out.

    def fill(self, desk: Desk, now: Now) -> None:
        """Binds waiting tasks to slots that have room."""
        for slots, tasks in desk.fill(now.monotonic_ns):
            ready = [task for task in tasks if self._gate.may_run(task, now)]
            if ready:
                self._bind(desk, slots, ready, now)

    def _bind(self, desk: Desk, slots: Slots, tasks: list[Task], now: Now) -> None:
        peer, lot = slots.peer, slots.lot
        shown = "" if desk.has_no_lots else lot
        running = slots.running
        if not running:
            slots.answered_at = now.monotonic_ns
        mono, wall = now
        patience = 1 + (len(running) + len(tasks)) // slots.count
        keys: list[JobKey] = []
        jobs: list[Job] = []
        size, has_tokens = 0, False
        for task in tasks:
            task.attempts = number = task.attempts + 1
            attempt = Attempt(number, lot, peer, slots, mono, wall)
            attempt.patience = patience
            task.history.append(attempt)
            task.current = attempt
            task.move(RUNNING)
            self._gate.begun(task, attempt)
            has_tokens = has_tokens or attempt.token > 0
            running[task] = None
            self._ledger.take_off(peer, task)
            keys.append(JobKey(task.id, number))
            job_size = task.size + JOB_BYTES
            if jobs and size + job_size > MESSAGE_BYTES:
                self._outbox.send(peer, Assign(shown, desk.skill, desk.version, tuple(jobs)))
                jobs, size = [], 0
            jobs.append(job_of(task, attempt, wall))
            size += job_size
        desk.running += len(tasks)
        slots.peak = max(slots.peak, min(slots.count, len(running)))
        started = tuple(keys)
        tokens = tuple(task.history[-1].token for task in tasks) if has_tokens else ()
        self._outbox.persist(AttemptsRecorded(wall, peer, lot, started, tokens))
        self._outbox.send(peer, Assign(shown, desk.skill, desk.version, tuple(jobs)))
        self._outbox.emit(AttemptsStarted(peer, lot, desk.skill, started))

    # Results.

    def results(self, link: bytes, message: Results, now: Now) -> None:
        """Outcomes from a worker; acknowledged once the step's record is on disk."""
        self._suspected.pop(link, None)
        tasks = self._ledger.tasks
        sums: dict[Slots, list[int]] = {}
        is_blamed = False
        for outcome in message.outcomes:
            task = tasks.get(outcome.task)
            if task is None:
                continue
            attempt = task.current
            if attempt is None or attempt.number != outcome.attempt:
                attempt = task.attempt(outcome.attempt)
            if attempt is None or attempt.peer != link:
                if not is_blamed and task.is_fresh and task.state not in SETTLED:
                    self._outbox.blame(link, "a result of an attempt that it was never given")
                    is_blamed = True
                continue
            if attempt.token:
                attempt.is_over = True
                self._gate.heard_end(task.id, attempt.number)
            if task.state in SETTLED:
                continue
            if attempt is task.current:
                if attempt.token and outcome.status == OK:
                    self._gate.confirm(task, Pending(outcome, link, message.batch), now)
                    continue
                slots = attempt.slots
                if slots is not None and outcome.status == OK:
                    self._measure(sums, slots, task, attempt, outcome, now)
                self._decide(task, attempt, outcome, now)
            elif outcome.status == OK and not attempt.token:
                self._late(task, attempt, outcome, now)
        for slots, (count, elapsed) in sums.items():
            self._learn(slots, count, elapsed, now)
        self._failing.judge(link, now)
        if not self._gate.is_unsure(link, message.batch):
            self._outbox.send(link, ResultsAck((message.batch,)))

    # Leases.

    def lease_told(self, command: LeaseTold, now: Now) -> None:
        """The log's answer: a result counts or does not, an attempt goes on or is lost."""
        lease = self._gate.told(command, now)
        if lease is None or lease.task.current is None:
            return
        if has_result(lease.task) and lease.until:
            assert lease.pending is not None, "it has a result"
            self._decide(lease.task, lease.task.current, lease.pending.outcome, now)
        else:
            self._lease_over(lease.task, now)

    def wake_leases(self, now: Now) -> None:
        """Attempts whose leases could not be renewed in time are given up."""
        for lease in self._gate.wake(now):
            self._lease_over(lease.task, now)

    def _lease_over(self, task: Task, now: Now) -> None:
        attempt = task.current
        assert attempt is not None, "one-attempt-out: nothing is out"
        self.dirty[task.desk] = None
        if not attempt.is_over:
            self._outbox.send(attempt.peer, CancelJobs((JobKey(task.id, attempt.number),)))
        self._failing.lost(task, "its lease ended", now)

    def _fault(self, desk: Desk, outcome: Outcome) -> str | None:
        """What is wrong with a result, by its skill's schema.

        After a restart the peer that a task is for may be gone, and then what others
        say of the same version holds; where nobody is known yet, what was known before.
        """
        skill = self._catalogue.skill
        known = (
            desk.known
            or skill(desk.skill, desk.version, desk.to)
            or skill(desk.skill, desk.version, b"")
            or self._catalogue.remembered(desk.skill, desk.version)
        )
        return fault_of(known.check_output if known is not None else None, outcome.value)

    def _decide(self, task: Task, attempt: Attempt, outcome: Outcome, now: Now) -> None:
        desk = task.desk
        self.dirty[desk] = None
        if outcome.status == OK:
            fault = self._fault(desk, outcome)
            if fault is None:
                self._settling.done(task, attempt, outcome, now)
                return
            outcome = Outcome(
                outcome.task, outcome.attempt, "rejected", outcome.value, outcome.elapsed_us,
                "InvalidOutput", f"{desk.skill} gave {fault}",
            )  # fmt: skip
        status = outcome.status if outcome.status in OUTCOME_STATUSES else "failed"
        kind = outcome.error_kind or status.capitalize()
        if status == CRASHED:
            self._failing.crashed(task, kind, outcome.error_message)
        else:
            self._failing.failed(task, status, kind, outcome.error_message, now)

    def _late(self, task: Task, attempt: Attempt, outcome: Outcome, now: Now) -> None:
        """A result of an attempt that was given up: as good as any."""
        desk = task.desk
        if self._fault(desk, outcome) is not None:
            return
        self.dirty[desk] = None
        current = task.current
        if current is not None:
            self._outbox.send(current.peer, CancelJobs((JobKey(task.id, current.number),)))
            current.status, current.ended_wall = "cancelled", now.wall_ns
        self._settling.done(task, attempt, outcome, now)

    def _measure(
        self,
        sums: dict[Slots, list[int]],
        slots: Slots,
        task: Task,
        attempt: Attempt,
        outcome: Outcome,
        now: Now,
    ) -> None:
        entry = sums.get(slots)
        if entry is None:
            sums[slots] = [1, outcome.elapsed_us]
            if len(slots.running) == 1:
                whole_us = (now.monotonic_ns - attempt.started) / MICROSECOND_NS
                slots.pace.observe_round_trip(whole_us - outcome.elapsed_us)
        else:
            entry[0] += 1
            entry[1] += outcome.elapsed_us
        if task.weight_us:
            slots.pace.observe_weight(task.weight_us, outcome.elapsed_us)

    def _learn(self, slots: Slots, count: int, elapsed_us: int, now: Now) -> None:
        pace = slots.pace
        pace.observe(count, elapsed_us)
        self._failing.breakers.succeeded(slots.breaker, count, now.monotonic_ns)
        since_us = (now.monotonic_ns - slots.answered_at) / MICROSECOND_NS
        if slots.answered_at and count > 1:
            pace.observe_interval(since_us * slots.count / count)
        slots.answered_at = now.monotonic_ns
        slots.grow(self._parameters.target_us)
        if slots.claimed_us and slots.observed_at <= now.monotonic_ns:
            slots.observed_at = now.monotonic_ns + OBSERVED_NS
            desk = slots.desk
            observed = CompletionObserved(
                slots.peer, slots.claimed_us, elapsed_us // count, desk.skill, desk.version
            )
            self._outbox.emit(observed)

    # Signs of life.

    def beat(self, link: bytes, message: Beat, now: Now) -> None:
        """A worker names all attempts that it holds for this custodian.

        What it still holds of a task that has ended is stopped: an attempt that was
        written off while its peer was silent may not even have begun by then.
        """
        self._suspected.pop(link, None)
        tasks = self._ledger.tasks
        unwanted: list[JobKey] = []
        for keys in (message.running, message.parked):
            for key in keys:
                task = tasks.get(key.task)
                if task is None:
                    continue
                attempt = task.current
                if attempt is None:
                    if task.state in SETTLED:
                        unwanted.append(key)
                elif attempt.number == key.attempt and attempt.peer == link:
                    attempt.seen = now.monotonic_ns
                    attempt.is_heard = True
        for at in range(0, len(unwanted), BATCH_LIMIT):
            self._outbox.send(link, CancelJobs(tuple(unwanted[at : at + BATCH_LIMIT])))

    def progress(self, link: bytes, message: Progress) -> None:
        """A running handler says how far it is."""
        task = self._ledger.tasks.get(message.task)
        if task is None or task.current is None:
            return
        if task.current.number == message.attempt and task.current.peer == link:
            task.progress = message.text
            self._outbox.emit(
                TaskProgressed(task.id, message.attempt, message.fraction, message.text)
            )

    def parked(self, link: bytes, message: Parked, now: Now) -> None:
        """Attempts wait for children and give their slots back, or have taken them again."""
        for key in message.jobs:
            task = self._ledger.tasks.get(key.task)
            attempt = task.current if task is not None else None
            if task is None or attempt is None:
                continue
            if attempt.number != key.attempt or attempt.peer != link:
                continue
            attempt.seen = now.monotonic_ns
            attempt.is_heard = True
            if attempt.is_parked != message.waiting:
                self._set_parked(task, attempt, message.waiting)

    def _set_parked(self, task: Task, attempt: Attempt, waiting: bool) -> None:
        desk = task.desk
        self.dirty[desk] = None
        attempt.is_parked = waiting
        slots = attempt.slots
        if slots is not None and desk.slots.get((slots.lot, slots.peer)) is not slots:
            slots = attempt.slots = None
        if waiting:
            desk.parked += 1
            desk.running -= 1
            if slots is not None:
                del slots.running[task]
                desk.free[slots] = None
                self.vacated[slots] = self.vacated.get(slots, 0) + 1
        else:
            desk.parked -= 1
            desk.running += 1
            if slots is not None:
                slots.running[task] = None

    # Losses.

    def suspect(self, peer: bytes, now: Now) -> None:
        """A peer does not answer gossip: what it is silent about is not sent to it once more."""
        flights = self._ledger.flights.get(peer)
        if flights:
            self._suspected[peer] = None
            self._sweep_peer(peer, tuple(flights), now)

    def cleared(self, peer: bytes) -> None:
        """Gossip holds the peer alive."""
        self._suspected.pop(peer, None)

    def peer_lost(self, peer: bytes, why: str, has_ended: bool, now: Now) -> None:
        """A peer, or its process (`has_ended`), is gone, and all attempts there with it."""
        self._suspected.pop(peer, None)
        flights = self._ledger.flights.get(peer, ())
        tasks = tuple(task for task in flights if not has_result(task))
        for task in tasks:
            self.dirty[task.desk] = None
        self._failing.peer_lost(tasks, peer, why, has_ended, now)

    def sweep(self, now: Now) -> None:
        """Looks for attempts that nobody speaks of any more, and for overlong ones."""
        for peer in tuple(self._ledger.flights):
            self._sweep_peer(peer, tuple(self._ledger.flights[peer]), now)
        for peer in [peer for peer in self._suspected if peer not in self._ledger.flights]:
            del self._suspected[peer]

    def _sweep_peer(self, peer: bytes, tasks: Iterable[Task], now: Now) -> None:
        silence = self._parameters.beat_ns * self._parameters.silent_beats
        is_suspected = peer in self._suspected
        again: dict[tuple[Desk, str], list[Job]] = {}
        for task in tasks:
            attempt = task.current
            assert attempt is not None, "one-attempt-out: in flight without an attempt"
            if has_result(task):
                continue
            # Of what a suspect was sent, the first sending counts: it answers nobody.
            is_unheard = is_suspected and not attempt.is_heard
            last = attempt.started if is_unheard else attempt.seen
            if now.monotonic_ns - last >= silence:
                if attempt.is_heard or attempt.is_resent or is_suspected:
                    self.dirty[task.desk] = None
                    self._failing.silent(task, now)
                else:
                    attempt.is_resent = True
                    attempt.seen = now.monotonic_ns
                    job = job_of(task, attempt, now.wall_ns)
                    again.setdefault((task.desk, attempt.lot), []).append(job)
            elif task.envelope.timeout_ms:
                # The worker counts from when the job begins; others of its slot come first.
                patience = task.envelope.timeout_ms * MILLISECOND_NS * attempt.patience
                if now.monotonic_ns - attempt.started >= patience + self._parameters.grace_ns:
                    self.dirty[task.desk] = None
                    self._outbox.send(peer, CancelJobs((JobKey(task.id, attempt.number),)))
                    message = f"no answer in {task.envelope.timeout_ms} ms and the time to stop it"
                    self._failing.failed(task, "timeout", "Timeout", message, now)
        for (desk, lot), jobs in again.items():
            shown = "" if desk.has_no_lots else lot
            for job in jobs:
                self._outbox.send(peer, Assign(shown, desk.skill, desk.version, (job,)))

    def sweep_at(self, now: int) -> int:
        """When to sweep next, while anything is out."""
        return now + min(self._parameters.beat_ns, SECOND_NS) if self._ledger.flights else NEVER
