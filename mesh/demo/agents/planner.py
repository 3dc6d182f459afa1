"""Splits an audit into one task per file and analyser."""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo import planning

agent = Agent("planner")


@agent.skill(version="1", timeout=120, retries=3)
def plan_audit(root: str, limit: int = 0) -> planning.Plan:
    """The units of an audit, the longest first."""
    return planning.plan(Path(root), limit)
