"""Sweeps seeds over scenarios: ``python -m simulations SCENARIO --seeds N``.

Prints what failed, with its seed, and which faults met which phase. The verb
`mesh sim` builds on this later.
"""

import argparse
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator

import msgspec

from simulations.run import Report, run
from simulations.scenario import SCENARIOS


class Outcome(msgspec.Struct, frozen=True):
    """One run of a sweep: its report, or how it failed."""

    scenario: str
    seed: int
    report: Report | None
    error: str
    seconds: float


def one(name_and_seed: tuple[str, int]) -> Outcome:
    """Runs one seed of one scenario; whatever goes wrong is in the outcome."""
    name, seed = name_and_seed
    begun = time.process_time()
    report, error = None, ""
    try:
        report = run(name, seed)
    except Exception:  # noqa: BLE001 - whatever it is, it is reported with its seed
        error = traceback.format_exc()
    return Outcome(name, seed, report, error, time.process_time() - begun)


def sweep(work: list[tuple[str, int]], jobs: int) -> Iterator[Outcome]:
    """Runs seeds, in as many processes as told."""
    if jobs <= 1:
        yield from map(one, work)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap_unordered(one, work)


def main() -> int:
    """See the module; the exit status is 1 where any seed failed."""
    parser = argparse.ArgumentParser(prog="python -m simulations", description=__doc__)
    choices = [*sorted(SCENARIOS), "all"]
    parser.add_argument("scenarios", nargs="+", choices=choices, metavar="SCENARIO")
    parser.add_argument("--seed-base", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--coverage", action="store_true", help="which fault met which phase")
    options = parser.parse_args()
    names = sorted(SCENARIOS) if "all" in options.scenarios else options.scenarios
    seeds = range(options.seed_base, options.seed_base + options.seeds)
    work = [(name, seed) for seed in seeds for name in names]
    coverage: Counter[str] = Counter()
    failed: list[Outcome] = []
    events, seconds = 0, 0.0
    for outcome in sweep(work, options.jobs):
        seconds += outcome.seconds
        if outcome.report is None:
            failed.append(outcome)
            text = f"{outcome.scenario} seed {outcome.seed} failed:\n{outcome.error}"
            print(text, file=sys.stderr, flush=True)
        else:
            events += outcome.report.events
            coverage.update(outcome.report.coverage)
    if options.coverage:
        for what, count in sorted(coverage.items()):
            print(f"{count:9}  {what}")
    print(f"{len(work)} runs, {len(failed)} failed; {events / max(seconds, 1e-9):,.0f} events/s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
