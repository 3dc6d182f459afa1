"""Sweeps: many seeds of a scenario, in as many processes as told.

Outcomes come as they end, in no order that means anything. A sweep may be
interrupted at any time; what has ended by then counts.
"""

import multiprocessing
import signal
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import msgspec

from simulations.outcome import Outcome, execute
from simulations.plan import draw
from simulations.scenario import Scenario, unmet

JUDGED_FROM = 100
"""A sweep of so many seeds should have met all that its scenario promises to meet."""
AHEAD = 2
"""Runs that wait for each process, so that none is idle."""


class WorkerDied(Exception):
    """A process of the sweep was killed, by lack of memory or by somebody."""


class Tally(msgspec.Struct):
    """What a sweep has found so far."""

    runs: int = 0
    failed: list[Outcome] = []
    coverage: Counter[str] = msgspec.field(default_factory=Counter)
    events: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0
    """Processor time, of all processes together."""

    def add(self, outcome: Outcome) -> None:
        """Counts one more run."""
        self.runs += 1
        self.coverage.update(outcome.coverage)
        self.events += outcome.events
        self.virtual_seconds += outcome.virtual_seconds
        self.seconds += outcome.seconds
        if outcome.failure is not None:
            self.failed.append(outcome)

    @property
    def failed_seeds(self) -> list[int]:
        """The seeds that failed, in order."""
        return sorted(outcome.seed for outcome in self.failed)

    def unmet(self, scenario: Scenario) -> tuple[str, ...] | None:
        """What never met anything, though the scenario promises it; None: too few seeds to say."""
        return unmet(scenario, self.coverage) if self.runs >= JUDGED_FROM else None


def run_seed(scenario: Scenario, seed: int) -> Outcome:
    """One run of a sweep."""
    return execute(draw(scenario, seed))


def sweep(scenario: Scenario, seeds: Sequence[int], jobs: int) -> Generator[Outcome, None, None]:
    """Runs seeds of a scenario; close the iterator to stop.

    Raises:
        WorkerDied: a process ended that should not have.
    """
    if jobs <= 1:
        for seed in seeds:
            yield run_seed(scenario, seed)
        return
    others = multiprocessing.active_children()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, len(seeds)), fresh, _deaf_to_interrupts) as pool:
        try:
            yield from _spread(pool, scenario, seeds, jobs)
        except BrokenProcessPool:
            raise WorkerDied("a process of the sweep was killed; out of memory?") from None
        except BaseException:
            # Nobody wants what is under way; a run may take long to end by itself.
            for child in multiprocessing.active_children():
                if child not in others:
                    child.terminate()
            raise


def _spread(
    pool: ProcessPoolExecutor, scenario: Scenario, seeds: Sequence[int], jobs: int
) -> Iterator[Outcome]:
    under_way: set[Future[Outcome]] = set()
    left = iter(seeds)
    while True:
        while len(under_way) < jobs * AHEAD and (seed := next(left, None)) is not None:
            under_way.add(pool.submit(run_seed, scenario, seed))
        if not under_way:
            return
        ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for future in ended:
            yield future.result()


def _deaf_to_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal; only the first of them decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
