"""Lifeguard's experiment: peers whose messages are held up again and again.

Dadgar, Phillips and Currey 2018, section V: of 128 peers, C are blocked for a
duration D, then free for an interval I, then blocked again, for two minutes.
While a peer is blocked, what it sends and what is sent to it waits until the
block ends; its clocks and timers go on. So it sees nobody answer, and the
question is whom it, and those who hear of it in its moments of freedom, bury.

A false positive is one peer's verdict that a peer is dead which was never
blocked. "At healthy" are the verdicts of peers that were not blocked either.
Plain SWIM (`GossipParameters.plain_swim`) is the same machine with Lifeguard's
and our own rules switched off, and a suspicion timer of 5 log10 n intervals.

How fast true failures are found is measured in the same mesh: so many peers are
killed at once instead of being blocked.
"""

import itertools
import math
import random
from collections.abc import Iterator

import msgspec

from protocols.gossip.parameters import GossipParameters
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant
from simulations.experiments.parallel import spread
from simulations.experiments.stage import LOCAL_NETWORK, Stage, percentile
from simulations.network import Network, NetworkConditions

PEERS = 128
DURATION_NS = 120 * SECOND_NS
"""Blocks begin anew until at least so much time has passed."""
AFTERWARDS_NS = 20 * SECOND_NS
"""So long after the last block verdicts still count: a timer may end late."""
BLOCKED = (1, 4, 8, 16, 32)
DURATIONS_MS = (2048, 8192, 16384, 32768)
INTERVALS_MS = (1, 64, 1024)
KILLED_SECONDS = 60
VARIANTS = {"plain SWIM": GossipParameters.plain_swim(), "ours": GossipParameters()}


class BlockedNetwork(Network):
    """Holds the frames of some peers while they are blocked, in both directions."""

    def __init__(self, conditions: NetworkConditions, rng: random.Random) -> None:
        """Nobody is blocked yet."""
        super().__init__(conditions, rng)
        self._blocked: dict[bytes, None] = {}
        self._begin: Instant = 0
        self._end: Instant = 0
        self._duration_ns = 0
        self._period_ns = 1

    def block(
        self, peers: list[bytes], begin: Instant, duration_ns: int, interval_ns: int, least_ns: int
    ) -> Instant:
        """Blocks peers in cycles for at least `least_ns`; returns when the last cycle ends."""
        self._blocked = dict.fromkeys(peers)
        self._duration_ns, self._period_ns = duration_ns, duration_ns + interval_ns
        self._begin = begin
        self._end = begin + math.ceil(least_ns / self._period_ns) * self._period_ns
        return self._end

    def _free_at(self, peer: bytes, at: Instant) -> Instant:
        if peer not in self._blocked or not self._begin <= at < self._end:
            return at
        into = (at - self._begin) % self._period_ns
        return max(at, at - into + self._duration_ns)

    def arrivals(
        self, sender: bytes, receiver: bytes, now: Instant, size: int = 0
    ) -> list[Instant]:
        """As the network's; a frame leaves when its sender is free, and arrives likewise."""
        leaves = self._free_at(sender, now)
        instants = super().arrivals(sender, receiver, leaves, size)
        return [self._free_at(receiver, instant) for instant in instants]


class Cell(msgspec.Struct, frozen=True):
    """One point of the grid."""

    blocked: int
    duration_ms: int
    interval_ms: int


GRID = tuple(Cell(*each) for each in itertools.product(BLOCKED, DURATIONS_MS, INTERVALS_MS))
QUICK = tuple(Cell(*each) for each in itertools.product((8,), (8192, 16384), (1,)))


class CellResult(msgspec.Struct, frozen=True):
    """What one variant did in one cell."""

    variant: str
    cell: Cell
    seed: int
    peers: int
    false_positives: int
    at_healthy: int
    """False positives whose observer was never blocked either."""
    blocked_held_dead: int
    """Verdicts about blocked peers: right while they last."""
    frames: int


class Job(msgspec.Struct, frozen=True):
    """One run: of a cell, or, where `cell` is None, of a kill."""

    variant: str
    cell: Cell
    seed: int
    peers: int = PEERS
    duration_ns: int = DURATION_NS


def run_cell(job: Job) -> CellResult:
    """Blocks some peers of a mesh that has met, again and again, and counts who is buried."""
    stage = Stage(
        job.seed, job.peers, VARIANTS[job.variant], LOCAL_NETWORK, make_network=BlockedNetwork
    )
    network, cell = stage.network, job.cell
    assert isinstance(network, BlockedNetwork), "the network that was asked for"
    blocked = [peer.peer for peer in stage.rng.sample(stage.world.peers, cell.blocked)]
    frames = stage.world.events
    end = network.block(
        blocked,
        stage.world.now,
        cell.duration_ms * MILLISECOND_NS,
        cell.interval_ms * MILLISECOND_NS,
        job.duration_ns,
    )
    stage.run(end + AFTERWARDS_NS - stage.world.now)
    deaths = stage.views.deaths()
    false = [death for death in deaths if death.subject not in blocked]
    return CellResult(
        job.variant,
        cell,
        job.seed,
        job.peers,
        len(false),
        sum(1 for death in false if death.observer not in blocked),
        len(deaths) - len(false),
        stage.world.events - frames,
    )


class Killing(msgspec.Struct, frozen=True):
    """How long after a kill -9 the survivors knew, in seconds, sorted: the first, and all."""

    variant: str
    seed: int
    first: tuple[float, ...]
    every: tuple[float, ...]


class KillJob(msgspec.Struct, frozen=True):
    """Kills so many peers at once."""

    variant: str
    seed: int
    peers: int = PEERS
    killed: int = 4


def run_kill(job: KillJob) -> Killing:
    """Kills peers of a mesh that has met; their links tell nobody, as in the paper."""
    stage = Stage(job.seed, job.peers, VARIANTS[job.variant], LOCAL_NETWORK)
    at = stage.world.now
    killed = stage.rng.sample(stage.world.peers, job.killed)
    for peer in killed:
        stage.kill(peer, links_tell=False)
    stage.run(KILLED_SECONDS * SECOND_NS)
    first: list[float] = []
    every: list[float] = []
    for peer in killed:
        times = [
            (death.at - at) / SECOND_NS
            for death in stage.views.deaths()
            if death.subject == peer.peer
        ]
        survivors = job.peers - job.killed
        assert len(times) >= survivors, f"{survivors - len(times)} never knew of {peer.name}"
        first.append(min(times))
        every.extend(times)
    return Killing(job.variant, job.seed, tuple(sorted(first)), tuple(sorted(every)))


class Figure(msgspec.Struct, frozen=True):
    """The experiment as a whole, for one variant."""

    variant: str
    cells: int
    false_positives: int
    at_healthy: int
    first_median_s: float
    first_99_s: float
    every_median_s: float
    every_99_s: float


def lifeguard(
    cells: tuple[Cell, ...] = GRID, kills: int = 10, peers: int = PEERS, jobs: int = 1
) -> Iterator[CellResult | Figure]:
    """Every cell under both variants, one seed each; at last what they come to together."""
    work = [
        Job(variant, cell, seed, peers) for seed, cell in enumerate(cells) for variant in VARIANTS
    ]
    results: list[CellResult] = []
    for result in spread(run_cell, work, jobs):
        results.append(result)
        yield result
    deadly = [KillJob(variant, seed, peers) for seed in range(kills) for variant in VARIANTS]
    killings = list(spread(run_kill, deadly, jobs))
    for variant in VARIANTS:
        mine = [result for result in results if result.variant == variant]
        first = [s for killing in killings if killing.variant == variant for s in killing.first]
        every = [s for killing in killings if killing.variant == variant for s in killing.every]
        yield Figure(
            variant,
            len(mine),
            sum(result.false_positives for result in mine),
            sum(result.at_healthy for result in mine),
            percentile(first, 0.5),
            percentile(first, 0.99),
            percentile(every, 0.5),
            percentile(every, 0.99),
        )
