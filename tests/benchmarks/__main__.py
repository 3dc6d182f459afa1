"""Runs the benchmarks named on the command line, or all of them, and prints a table."""

import argparse
import importlib
import json
import sys

import msgspec

from tests.benchmarks.figures import Figure

BENCHMARKS = (
    "start_up",
    "one_task",
    "many_tasks",
    "killed_peer",
    "speeds",
    "idle",
    "demo",
    "recorder",
    "simulation",
    "blackboard",
    "blobs",
    "decisions",
)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="one object per figure")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    for name in options.names or BENCHMARKS:
        print(f"# {name}", file=sys.stderr, flush=True)
        for figure in importlib.import_module(f"tests.benchmarks.{name}").run():
            _show(figure, options.json)


def _show(figure: Figure, as_json: bool) -> None:
    if as_json:
        print(json.dumps(msgspec.to_builtins(figure)), flush=True)
        return
    reach = f"  (to reach: {figure.reach})" if figure.reach else ""
    note = f"  [{figure.note}]" if figure.note else ""
    print(f"{figure.name:58} {figure.value:10.3f} {figure.unit}{reach}{note}", flush=True)


if __name__ == "__main__":
    main()
