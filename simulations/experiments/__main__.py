"""Runs one experiment: ``python -m simulations.experiments NAME [--quick] [--json] [--jobs J]``."""

import argparse
import sys

import msgspec

from simulations.experiments.catalogue import EXPERIMENTS, run


def main() -> int:
    """See the module; prints a row as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m simulations.experiments", description=__doc__)
    parser.add_argument("name", choices=sorted(EXPERIMENTS))
    parser.add_argument("--quick", action="store_true", help="a small version, in seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    for row in run(options.name, quick=options.quick, jobs=options.jobs):
        fields = msgspec.to_builtins(row)
        if options.json:
            text = msgspec.json.encode(fields).decode()
        else:
            text = "  ".join(f"{name}={_short(value)}" for name, value in fields.items())
        print(text, flush=True)
    return 0


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, dict):
        return "/".join(_short(each) for each in value.values())
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
