"""The experiments by name. A runner (`mesh sim run` among them) needs only `run`."""

from collections.abc import Callable, Iterator

import msgspec

from simulations.experiments import detection, dissemination, lifeguard, makespan, partition


class Experiment(msgspec.Struct, frozen=True):
    """What it shows, and what makes its rows: `rows(quick, jobs)`."""

    about: str
    rows: Callable[[bool, int], Iterator[msgspec.Struct]]


def _lifeguard(quick: bool, jobs: int) -> Iterator[msgspec.Struct]:
    if quick:
        yield from lifeguard.lifeguard(lifeguard.QUICK, kills=2, peers=32, jobs=jobs)
    else:
        yield from lifeguard.lifeguard(jobs=jobs)


def _detection(quick: bool, jobs: int) -> Iterator[msgspec.Struct]:
    yield from detection.detection(runs=2 if quick else 20, jobs=jobs)


def _dissemination(quick: bool, jobs: int) -> Iterator[msgspec.Struct]:
    sizes = (10, 20) if quick else (10, 20, 40, 100)
    yield from dissemination.dissemination(sizes, runs=2 if quick else 10, jobs=jobs)


def _partition(quick: bool, jobs: int) -> Iterator[msgspec.Struct]:
    yield from partition.partition((10,) if quick else (10, 40), runs=3 if quick else 20, jobs=jobs)


def _makespan(quick: bool, jobs: int) -> Iterator[msgspec.Struct]:
    yield from makespan.figures(4 if quick else 100)


EXPERIMENTS = {
    "lifeguard": Experiment("who is held dead while peers are blocked again and again", _lifeguard),
    "detection": Experiment("how soon a kill is known, and that nobody else is", _detection),
    "dissemination": Experiment(
        "whom a rumour reaches, and what a mesh at rest costs", _dissemination
    ),
    "partition": Experiment("how soon a healed partition is one mesh again", _partition),
    "makespan": Experiment("how long tasks take against what no scheduler could beat", _makespan),
}


def run(name: str, quick: bool = False, jobs: int = 1) -> Iterator[msgspec.Struct]:
    """The rows of an experiment, each as soon as it is there.

    Raises:
        KeyError: there is no such experiment.
    """
    return EXPERIMENTS[name].rows(quick, jobs)
