"""How soon a kill -9 is known to all, and that nobody else is held dead.

Two ways to lose a peer: `links_tell`, where every link to it breaks and a
redial meets a closed port, as when a process is killed on a machine that runs;
and silence, as when a machine or its network is gone. The issue of liars: as
many as may lie without reaching the number of accusers that a death needs
accuse everybody, with true signatures, and drop their own links to their
victims, so that no refutation comes to them first.
"""

from collections.abc import Iterator

import msgspec

from protocols.gossip.parameters import GossipParameters
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.experiments.parallel import spread
from simulations.experiments.stage import Change, Stage, percentile

LONGEST_NS = 60 * SECOND_NS


class Kill(msgspec.Struct, frozen=True):
    """One peer of so many is killed, `loss` of all frames being lost."""

    peers: int
    loss: float
    links_tell: bool
    seed: int


class Known(msgspec.Struct, frozen=True):
    """Seconds after which each survivor knew, sorted; and who else was held dead."""

    seconds: tuple[float, ...]
    false_deaths: int


def kill(job: Kill) -> Known:
    """Kills one peer of a mesh that has met."""
    stage = Stage(job.seed, job.peers)
    stage.lose(job.loss)
    stage.run(2 * SECOND_NS)
    begun = stage.world.now
    victim = stage.rng.choice(stage.world.peers)
    stage.kill(victim, links_tell=job.links_tell)
    known: dict[bytes, Change] = {}

    def all_know() -> bool:
        for change in stage.views.take():
            if change.state == "dead":
                if change.subject == victim.peer:
                    known.setdefault(change.observer, change)
                else:
                    false.append(change)
        return len(known) >= job.peers - 1

    false: list[Change] = []
    everybody = stage.world.run_until(all_know, LONGEST_NS, 100 * MILLISECOND_NS)
    missing = [float("inf")] * (job.peers - 1 - len(known)) if not everybody else []
    seconds = sorted((change.at - begun) / SECOND_NS for change in known.values())
    return Known((*seconds, *missing), len(false))


class Peace(msgspec.Struct, frozen=True):
    """Nobody is killed; so many seconds pass under loss."""

    peers: int
    loss: float
    seconds: int
    seed: int


def false_deaths(job: Peace) -> int:
    """How many verdicts there are though nobody died."""
    stage = Stage(job.seed, job.peers)
    stage.lose(job.loss)
    stage.run(job.seconds * SECOND_NS)
    return len(stage.views.deaths())


class Slander(msgspec.Struct, frozen=True):
    """As many liars as may lie accuse everybody else, again and again."""

    peers: int
    loss: float
    seconds: int
    seed: int


def slandered_to_death(job: Slander) -> int:
    """How many verdicts the lies bring about among the honest."""
    stage = Stage(job.seed, job.peers)
    stage.slander(GossipParameters().accusers_needed - 1)
    stage.lose(job.loss)
    stage.run(job.seconds * SECOND_NS)
    liars = [peer.peer for peer in stage.world.peers if peer.liar is not None]
    return sum(
        1
        for death in stage.views.deaths()
        if death.observer not in liars and death.subject not in liars
    )


class DetectionFigure(msgspec.Struct, frozen=True):
    """One row: seconds until a survivor knows (median), until all do (median, worst run)."""

    peers: int
    loss: float
    links_tell: bool
    runs: int
    median_s: float
    all_median_s: float
    all_worst_s: float
    false_deaths: int


class FalseDeathFigure(msgspec.Struct, frozen=True):
    """One row: verdicts in runs where nobody dies."""

    what: str
    peers: int
    loss: float
    seconds: int
    runs: int
    false_deaths: int


def kills(peers: int, loss: float, links_tell: bool, seeds: range, jobs: int) -> DetectionFigure:
    """One row of kills."""
    work = [Kill(peers, loss, links_tell, seed) for seed in seeds]
    made = list(spread(kill, work, jobs))
    each = [seconds for known in made for seconds in known.seconds]
    everybody = [known.seconds[-1] for known in made]
    return DetectionFigure(
        peers,
        loss,
        links_tell,
        len(made),
        percentile(each, 0.5),
        percentile(everybody, 0.5),
        max(everybody),
        sum(known.false_deaths for known in made),
    )


def detection(runs: int = 20, jobs: int = 1) -> Iterator[DetectionFigure | FalseDeathFigure]:
    """The page's table, row by row; the large meshes take a fifth of the runs."""
    few = max(1, runs // 5)
    for peers, loss, links_tell, seeds in (
        (20, 0.0, False, runs),
        (40, 0.0, False, runs),
        (100, 0.0, False, few),
        (100, 0.0, True, few),
        (100, 0.5, False, few),
    ):
        yield kills(peers, loss, links_tell, range(seeds), jobs)
    calm = [Peace(10, 0.5, 30, seed) for seed in range(5 * runs)]
    yield FalseDeathFigure(
        "half of all frames lost", 10, 0.5, 30, len(calm), sum(spread(false_deaths, calm, jobs))
    )
    for loss in (0.0, 0.2):
        lies = [Slander(10, loss, 30, seed) for seed in range(runs)]
        yield FalseDeathFigure(
            "two liars accuse all",
            10,
            loss,
            30,
            len(lies),
            sum(spread(slandered_to_death, lies, jobs)),
        )
