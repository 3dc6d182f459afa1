"""How long a batch of tasks takes, against what no scheduler could beat.

300 tasks of exponential duration (mean 100 ms at speed 1) on ten workers with
one slot each and speeds from 0.5 to 2, four milliseconds of round trip between
any two peers; the eleventh peer takes the batch and has no slot of its own. The
whole stack is in it: skills learnt by gossip, sealed bids, leases, late binding.

Two schedulers to compare with:

- the omniscient bound: max(all work / all speeds, longest task / highest speed);
- central greedy: one queue in the order of submission, no messages at all; a
  free worker takes the next task at once, the fastest free worker first.

`known`: whether callers say beforehand how long each task lasts (`weight_us`).
`wrong`: each worker bids, and reports its durations, wrong by a factor of its
own between 1 - wrong and 1 + wrong.
"""

import heapq
import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from mesh.core.settings import CoreSettings
from protocols.machine import MICROSECOND_NS, MILLISECOND_NS, SECOND_NS
from protocols.tasks.commands import JobsEnded, TaskSpec
from protocols.tasks.events import TasksSettled
from protocols.tasks.messages import Outcome
from simulations.agents import Handling, ModelledSkill, Workers, answer
from simulations.network import NetworkConditions
from simulations.observations import JobFinished
from simulations.peer import SimulatedPeer
from simulations.world import World

TASKS = 300
WORKERS = 10
MEAN_NS = 100 * MILLISECOND_NS
SPEED_LEAST, SPEED_MOST = 0.5, 2.0
ONE_WAY_NS = 2 * MILLISECOND_NS
SETTLING_NS = 5 * SECOND_NS
LONGEST_NS = 120 * SECOND_NS


class Makespan(msgspec.Struct, frozen=True):
    """One batch. Durations in nanoseconds."""

    seed: int
    mesh_ns: int
    bound_ns: float
    greedy_ns: float

    @property
    def over_bound(self) -> float:
        """The mesh's time over the omniscient bound."""
        return self.mesh_ns / self.bound_ns

    @property
    def over_greedy(self) -> float:
        """The mesh's time over that of a central greedy scheduler."""
        return self.mesh_ns / self.greedy_ns


def bound_ns(durations: Sequence[int], speeds: Sequence[float]) -> float:
    """What no scheduler can beat, however much it knows."""
    return max(sum(durations) / sum(speeds), max(durations) / max(speeds))


def greedy_ns(durations: Sequence[int], speeds: Sequence[float]) -> float:
    """One central queue without any delay; the fastest free worker takes the next task."""
    free = [(0.0, -speed) for speed in speeds]
    heapq.heapify(free)
    end = 0.0
    for duration in durations:
        at, minus = heapq.heappop(free)
        at += duration / -minus
        end = max(end, at)
        heapq.heappush(free, (at, minus))
    return end


class _TimedWorkers(Workers):
    """Agents whose tasks say how long they last; `claims` scales what is reported."""

    claims = 1.0

    def _begin(self, handling: Handling) -> None:
        work_us: int = msgspec.msgpack.decode(handling.job.input)["work_us"]
        handling.outcome = "ok"
        duration = int(work_us * MICROSECOND_NS / self._peer.speed)
        self._later(duration, handling, lambda: self._end(handling))

    def _end(self, handling: Handling) -> None:
        job = handling.job
        del self.handlings[handling.key]
        self._vacate(handling)
        value = answer(job.skill, msgspec.msgpack.decode(job.input))
        elapsed_us = int((self._world.now - handling.begun) * self.claims) // MICROSECOND_NS
        raw = msgspec.Raw(msgspec.msgpack.encode(value))
        self._world.observe(self._peer, JobFinished(*handling.key, "ok"))
        end = Outcome(job.task, job.attempt, "ok", raw, elapsed_us, "", "")
        self._say(JobsEnded(((job.custodian, end),)))


class _Settled:
    """Counts what has ended, and when the last did."""

    hears: tuple[type[msgspec.Struct], ...] = (TasksSettled,)

    def __init__(self) -> None:
        self.done = 0
        self.at = 0

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Tasks ended at their custodian."""
        assert isinstance(event, TasksSettled)
        for settled in event.settled:
            assert settled.state == "done", f"{settled.task} is {settled.state}"
        self.done += len(event.settled)
        self.at = world.now

    def finish(self, world: World) -> None:
        """Nothing is left to say."""


class Batch(msgspec.Struct, frozen=True):
    """Tasks, in the order of submission, and who is there to run them."""

    durations: tuple[int, ...]
    """Nanoseconds at speed 1."""
    speeds: tuple[float, ...]


def exponential(seed: int) -> Batch:
    """300 exponential tasks of 100 ms on ten workers of speeds 0.5 to 2."""
    rng = random.Random(f"exponential {seed}")
    speeds = tuple(rng.uniform(SPEED_LEAST, SPEED_MOST) for _ in range(WORKERS))
    mean_us = MEAN_NS // MICROSECOND_NS
    durations = [(int(rng.expovariate(1 / mean_us)) + 1) * MICROSECOND_NS for _ in range(TASKS)]
    return Batch(tuple(durations), speeds)


def lognormal(seed: int) -> Batch:
    """200 lognormal tasks of 20 ms on four workers of speeds 1, 1, 2 and 4."""
    rng = random.Random(f"lognormal {seed}")
    durations = [int(20_000 * rng.lognormvariate(-0.125, 0.5)) * MICROSECOND_NS for _ in range(200)]
    return Batch(tuple(durations), (1.0, 1.0, 2.0, 4.0))


def measure(
    batch: Batch,
    seed: int,
    *,
    known: bool = False,
    wrong: float = 0.0,
    one_way_ns: int = ONE_WAY_NS,
    settings: CoreSettings | None = None,
) -> Makespan:
    """One batch in a world of its own.

    Args:
        batch: what is to be done.
        seed: draws everything else.
        known: whether the tasks' durations are told with them.
        wrong: how far off bids and reported durations are, 0 to 1.
        one_way_ns: how long any frame travels.
        settings: the core's, for comparisons.
    """
    rng = random.Random(f"makespan {seed}")
    settled = _Settled()
    conditions = NetworkConditions(delay_least_ns=one_way_ns, delay_most_ns=one_way_ns)
    world = World(seed, len(batch.speeds) + 1, settings, conditions, checkers=(settled,))
    *workers, custodian = world.peers
    custodian.start(())
    for peer, speed in zip(workers, batch.speeds, strict=True):
        peer.speed = speed
        peer.start((ModelledSkill("work", 1, timeout_ms=60_000),))
        peer.workers = agents = _TimedWorkers(world, peer, random.Random(rng.getrandbits(64)))
        agents.claims = rng.uniform(1 - wrong, 1 + wrong)
    world.run(SETTLING_NS)
    begun = world.now
    refused = world.ask(custodian, _specs(batch, known), lambda _: None)
    assert refused is None, f"the batch is refused: {refused}"
    tasks = len(batch.durations)
    ended = world.run_until(lambda: settled.done == tasks, LONGEST_NS, 50 * MILLISECOND_NS)
    assert ended, f"{settled.done} of {tasks} tasks ended within {LONGEST_NS // SECOND_NS} s"
    return Makespan(
        seed,
        settled.at - begun,
        bound_ns(batch.durations, batch.speeds),
        greedy_ns(batch.durations, batch.speeds),
    )


def _specs(batch: Batch, known: bool) -> tuple[TaskSpec, ...]:
    specs = []
    for index, duration in enumerate(batch.durations):
        work_us = duration // MICROSECOND_NS
        value = msgspec.msgpack.encode({"index": index, "work_us": work_us})
        specs.append(TaskSpec("work", msgspec.Raw(value), weight_us=work_us if known else 0))
    return tuple(specs)


class Figure(msgspec.Struct, frozen=True):
    """One comparison, over the batches of many seeds."""

    batches: str
    known: bool
    wrong: float
    over_bound: float
    over_bound_most: float
    over_greedy: float


def compare(
    batches: Callable[[int], Batch],
    seeds: Iterable[int],
    *,
    known: bool = False,
    wrong: float = 0.0,
    one_way_ns: int = ONE_WAY_NS,
) -> Figure:
    """Means over the batches of these seeds; see `measure`."""
    made = [
        measure(batches(seed), seed, known=known, wrong=wrong, one_way_ns=one_way_ns)
        for seed in seeds
    ]
    return Figure(
        batches.__name__,
        known,
        wrong,
        statistics.mean(each.over_bound for each in made),
        max(each.over_bound for each in made),
        statistics.mean(each.over_greedy for each in made),
    )


def figures(seeds: int) -> Iterator[Figure]:
    """The page's table (`docs/experiments.md`), row by row."""
    for known, wrong in ((False, 0.0), (True, 0.0), (False, 0.5), (True, 0.5)):
        yield compare(exponential, range(seeds), known=known, wrong=wrong)
    yield compare(lognormal, range(seeds), one_way_ns=200 * MICROSECOND_NS)
