"""A measured figure beside the one to reach, and a local mesh to measure it on."""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One line of the report. `reach` is the figure of docs/benchmarks.md, "" for none."""

    name: str
    value: float
    unit: str
    reach: str = ""
    note: str = ""


def mesh(*words: str, folder: Path, check: bool = True) -> list[dict[str, Any]]:
    """Runs a verb of the command line with ``--json`` and gives the objects it printed."""
    command = [sys.executable, "-m", "mesh.cli", *words, "--dir", str(folder), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and ended.returncode != 0:
        raise RuntimeError(f"mesh {' '.join(words)}: {ended.stderr[-2000:]}")
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


@contextlib.contextmanager
def local_mesh(
    peers: int, agents: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A mesh of real peers in a folder of its own: the folder, and what `up` printed."""
    with tempfile.TemporaryDirectory(prefix="stigmesh-bench-") as scratch:
        folder = Path(scratch) / ".mesh"
        words = ["up", "-n", str(peers), "--detach", *options]
        for agent in agents:
            words += ["--agents", agent]
        try:
            yield folder, mesh(*words, folder=folder)[-1]
        finally:
            mesh("down", folder=folder, check=False)


def median(values: Sequence[float]) -> float:
    """The median, rounded to four digits after the point."""
    return round(statistics.median(values), 4)
