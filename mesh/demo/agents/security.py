"""Looks for security problems, with bandit."""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo import analysers
from mesh.demo.findings import Scan

agent = Agent("security")


@agent.skill(version="1", timeout=120, retries=3, slots=1)
def scan_security(root: str, path: str) -> Scan:
    """Bandit's findings in one file."""
    return analysers.scan_security(Path(root), path)
