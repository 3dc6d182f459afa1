"""Many schedules of twins: ``python -m tests.protocols.voting.twins_at_length``.

Not a test: 100,000 schedules take many minutes of one core. It stops at the first one that
breaks something, and says which.
"""

import argparse
import sys
import time

from tests.protocols.voting.test_twins import play, sampled


def main() -> int:
    """Plays schedules; the exit status is 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    begun = time.process_time()
    for number, rounds in enumerate(sampled(options.seed, options.schedules), 1):
        try:
            play(rounds)
        except AssertionError as failure:
            print(f"schedule {number} of seed {options.seed}: {rounds}: {failure}")
            return 1
        if number % 1_000 == 0 or number == options.schedules:
            seconds = time.process_time() - begun
            print(f"{number} schedules, none failed, {seconds:.0f} s of processor time", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
