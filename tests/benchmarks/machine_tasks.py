"""The tasks machine alone: microseconds of CPU for each task, at custodian and workers.

    python -m tests.benchmarks.machine_tasks [--profile]

One custodian and two workers in memory, no-op tasks in batches, every message
and record encoded and decoded as in production; what encoding and decoding cost
is counted apart. Slots are held from the start, as in steady state.
"""

import cProfile
import pstats
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from protocols.effects import Effect, Perform, Persist, Send
from protocols.machine import SECOND_NS, Now
from protocols.tasks import commands, events, messages
from protocols.tasks.messages import Outcome
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.skills import SkillSpec
from protocols.tasks.tasks import Tasks
from protocols.wire import Codec

TASKS = 20_000
BATCH = 200
PENDING = 1_000
SLOTS = 4
CUSTODIAN, WORKERS = b"c" * 32, (b"v" * 32, b"w" * 32)
SPEC = SkillSpec("noop", "1", b"{}", b"{}")
KINDS = Codec(messages.KINDS)


class Bench:
    """Three machines, and where their time goes."""

    def __init__(self) -> None:
        self.machines = {
            peer: Tasks(peer, 1, TaskParameters(), random.Random(1), _no_schema)
            for peer in (CUSTODIAN, *WORKERS)
        }
        self.spent = {"custodian": 0, "workers": 0, "codec": 0}
        self.queue: deque[tuple[bytes, bytes, bytes]] = deque()
        self.jobs: deque[tuple[bytes, events.RunJobs]] = deque()
        self.settled = 0
        self.messages = 0
        self.records = 0

    def step(self, peer: bytes, call: Callable[[Tasks, Now], tuple[Effect, ...]]) -> None:
        """One step of a machine, timed, and its effects carried out."""
        begin = time.perf_counter_ns()
        effects = call(self.machines[peer], Now(begin, begin))
        self.spent["custodian" if peer == CUSTODIAN else "workers"] += (
            time.perf_counter_ns() - begin
        )
        for effect in effects:
            match effect:
                case Send(to, message):
                    self.messages += 1
                    self.queue.append((peer, to, self._coded(message)))
                case Persist(record):
                    self.records += 1
                    self._coded(record)
                case Perform(events.RunJobs() as jobs):
                    self.jobs.append((peer, jobs))
                case _:
                    event = getattr(effect, "event", None)
                    if isinstance(event, events.TasksSettled):
                        self.settled += len(event.settled)

    def _coded(self, value: msgspec.Struct) -> bytes:
        begin = time.perf_counter_ns()
        data = msgspec.msgpack.encode(value)
        self.spent["codec"] += time.perf_counter_ns() - begin
        return data

    def drain(self) -> None:
        """Delivers and runs until nothing is left to do."""
        while self.queue or self.jobs:
            while self.queue:
                sender, to, data = self.queue.popleft()
                begin = time.perf_counter_ns()
                message = KINDS.decode(data, 1 << 24)
                self.spent["codec"] += time.perf_counter_ns() - begin
                self.step(to, lambda m, now, s=sender, x=message: m.receive(s, s, x, now))  # type: ignore[misc]
            if self.jobs:
                peer, jobs = self.jobs.popleft()
                ends = tuple(
                    (job.custodian, Outcome(job.task, job.attempt, "ok", job.input, 5))
                    for job in jobs.jobs
                )
                ended = commands.JobsEnded(ends)
                self.step(peer, lambda m, now, x=ended: m.submit(x, now))  # type: ignore[misc]

    def prepare(self) -> None:
        """Everybody knows everybody, and slots are held."""
        advert = ((SPEC.name, SPEC.version, SPEC.digest()),)
        for peer in WORKERS:
            self.step(peer, lambda m, now: m.submit(commands.HostSkills(((SPEC, SLOTS),)), now))
            up = commands.PeerUp(peer, "w", 1, advert)
            self.step(CUSTODIAN, lambda m, now, x=up: m.submit(x, now))  # type: ignore[misc]
        self.drain()
        for index, peer in enumerate(WORKERS):
            lot = f"lot-{index}"
            lent = commands.SlotsLent(lot, CUSTODIAN, SPEC.name, "1", SLOTS)
            held = commands.SlotsHeld(lot, SPEC.name, "1", peer, SLOTS, 0)
            self.step(peer, lambda m, now, x=lent: m.submit(x, now))  # type: ignore[misc]
            self.step(CUSTODIAN, lambda m, now, x=held: m.submit(x, now))  # type: ignore[misc]

    def run(self, tasks: int, keyed: bool) -> None:
        """Submits in batches, with a bounded number pending, as a client's map does."""
        raw = msgspec.Raw(msgspec.msgpack.encode({"x": 1}))
        target = self.settled + tasks
        submitted = 0
        while self.settled < target:
            while submitted < tasks and submitted - (self.settled - target + tasks) < PENDING:
                specs = tuple(
                    commands.TaskSpec(
                        SPEC.name, raw, key=f"{target}/{submitted + i}" if keyed else ""
                    )
                    for i in range(BATCH)
                )
                submit = commands.SubmitTasks(1, specs)
                self.step(CUSTODIAN, lambda m, now, x=submit: m.submit(x, now))  # type: ignore[misc]
                submitted += BATCH
            self.drain()


def _no_schema(schema: bytes) -> Any:
    raise ValueError("no schema but the one that takes anything")


def main() -> None:
    """Prints microseconds a task for each side."""
    bench = Bench()
    bench.prepare()
    bench.run(2_000, keyed=False)
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    for keyed in (False, True):
        bench.spent = dict.fromkeys(bench.spent, 0)
        bench.messages = bench.records = 0
        begin = time.perf_counter_ns()
        if profile is not None and not keyed:
            profile.enable()
        bench.run(TASKS, keyed)
        if profile is not None:
            profile.disable()
        whole = (time.perf_counter_ns() - begin) / SECOND_NS
        shares = ", ".join(f"{side} {ns / 1000 / TASKS:.1f}" for side, ns in bench.spent.items())
        print(
            f"{'with keys' if keyed else 'no keys'}: us a task: {shares}; "
            f"{TASKS / whole:,.0f} tasks/s, {bench.messages} messages, {bench.records} records"
        )
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
