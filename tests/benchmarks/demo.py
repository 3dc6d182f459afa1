"""The demo on the mesh against the same analysis in one process."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.figures import Figure


def run() -> list[Figure]:
    """`mesh demo --no-chaos --verify`: seconds of the one process over seconds of the mesh."""
    with tempfile.TemporaryDirectory(prefix="stigmesh-bench-") as scratch:
        command = [sys.executable, "-m", "mesh.cli", "demo", "--no-chaos", "--verify", "--json"]
        command += ["--out", str(Path(scratch) / "out")]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
    outcome = json.loads(ended.stdout.splitlines()[-1])
    assert outcome["verified"], outcome
    return [Figure("the demo, one process over the mesh", outcome["speedup"], "x", ">= 1.5")]
