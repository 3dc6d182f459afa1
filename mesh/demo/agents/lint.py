"""Looks for errors and likely bugs, with ruff."""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo import analysers
from mesh.demo.findings import Scan

agent = Agent("lint")


@agent.skill(version="1", timeout=120, retries=3, slots=2)
def scan_lint(root: str, path: str) -> Scan:
    """Ruff's findings in one file."""
    return analysers.scan_lint(Path(root), path)
