"""Sweeps seeds over scenarios: ``python -m simulations SCENARIO --seeds N``.

The verb `mesh sim` builds on this later.
"""

import argparse
import multiprocessing
import sys
import traceback

from simulations.scenario import SCENARIOS, run


def _one(name_and_seed: tuple[str, int]) -> tuple[str, int, str]:
    name, seed = name_and_seed
    try:
        run(name, seed)
    except Exception:  # noqa: BLE001 - whatever it is, it is reported with its seed
        return name, seed, traceback.format_exc()
    return name, seed, ""


def main() -> int:
    """See the module; the exit status is 1 where any seed failed."""
    parser = argparse.ArgumentParser(prog="python -m simulations", description=__doc__)
    parser.add_argument("scenarios", nargs="+", choices=sorted(SCENARIOS), metavar="SCENARIO")
    parser.add_argument("--seed-base", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    options = parser.parse_args()
    base, count = options.seed_base, options.seeds
    work = [(name, seed) for name in options.scenarios for seed in range(base, base + count)]
    failed = 0
    with multiprocessing.Pool(options.jobs) as pool:
        for name, seed, error in pool.imap_unordered(_one, work):
            if error:
                failed += 1
                print(f"{name} seed {seed} failed:\n{error}", file=sys.stderr)
    print(f"{len(work)} runs, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
