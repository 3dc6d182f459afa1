"""A mesh that falls apart into groups of any shape, and meets again.

Shapes are drawn by the seed: two to four groups of any sizes, all of whose links
are cut in both directions, for five seconds to a minute; some cuts go one way
only. What is measured after the heal: how long until every peer holds exactly
all others alive, and whether any peer's view of another changes later.
"""

from collections.abc import Iterator

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.experiments.parallel import spread
from simulations.experiments.stage import Stage, percentile

HEALED_LONGEST_NS = 60 * SECOND_NS
CHURN_FROM_NS = 10 * SECOND_NS
CHURN_UNTIL_NS = 60 * SECOND_NS
ONE_WAY_SHARE = 0.25


class Partition(msgspec.Struct, frozen=True):
    """One run; the seed draws the shape."""

    peers: int
    seed: int


class Healed(msgspec.Struct, frozen=True):
    """How one partition healed. `churn`: changes of any view from 10 to 60 s after the heal."""

    peers: int
    seed: int
    groups: tuple[int, ...]
    one_way: bool
    cut_s: float
    seconds: float
    churn: int


def heal(job: Partition) -> Healed:
    """Cuts a mesh that has met into groups, heals it, and waits until it is one again."""
    stage = Stage(job.seed, job.peers)
    rng, world, network = stage.rng, stage.world, stage.network
    peers = rng.sample(world.peers, len(world.peers))
    count = rng.randint(2, min(4, job.peers))
    ends = [*sorted(rng.sample(range(1, job.peers), count - 1)), job.peers]
    groups = [peers[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
    one_way = rng.random() < ONE_WAY_SHARE
    for index, group in enumerate(groups):
        for other in groups[:index] if one_way else groups[:index] + groups[index + 1 :]:
            for sender in group:
                for receiver in other:
                    network.cut(sender.peer, receiver.peer)
    cut_ns = rng.randint(5, 60) * SECOND_NS
    stage.run(cut_ns)
    network.heal()
    healed = world.now
    whole = world.run_until(stage.is_whole, HEALED_LONGEST_NS, 100 * MILLISECOND_NS)
    seconds = (world.now - healed) / SECOND_NS if whole else float("inf")
    stage.run(max(0, healed + CHURN_FROM_NS - world.now))
    begun = world.now
    stage.views.take()
    stage.run(max(0, healed + CHURN_UNTIL_NS - begun))
    return Healed(
        job.peers,
        job.seed,
        tuple(len(group) for group in groups),
        one_way,
        cut_ns / SECOND_NS,
        seconds,
        len(stage.views.changes),
    )


class PartitionFigure(msgspec.Struct, frozen=True):
    """Seconds until a mesh is one again, over many shapes; and all changes after ten."""

    peers: int
    runs: int
    median_s: float
    worst_s: float
    churn: int


def partition(
    sizes: tuple[int, ...], runs: int, jobs: int = 1
) -> Iterator[Healed | PartitionFigure]:
    """Every run, and a summary for each size."""
    for peers in sizes:
        made = []
        for healed in spread(heal, [Partition(peers, seed) for seed in range(runs)], jobs):
            made.append(healed)
            yield healed
        seconds = [healed.seconds for healed in made]
        yield PartitionFigure(
            peers,
            len(made),
            percentile(seconds, 0.5),
            max(seconds),
            sum(healed.churn for healed in made),
        )
