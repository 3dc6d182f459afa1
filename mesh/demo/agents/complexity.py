"""Looks for code that is too complex, with radon."""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo import analysers
from mesh.demo.findings import Scan

agent = Agent("complexity")


@agent.skill(version="1", timeout=120, retries=3, slots=1)
def scan_complexity(root: str, path: str) -> Scan:
    """Radon's findings in one file."""
    return analysers.scan_complexity(Path(root), path)
