"""Votes on findings: each peer has a juror, which looks for itself by all three rules."""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo.findings import Finding
from mesh.demo.review import jury_vote

agent = Agent("juror")


@agent.skill(version="1", timeout=60, retries=1, slots=2)
def judge_finding(root: str, finding: Finding) -> str:
    """``confirmed`` or ``rejected``, by the majority of the three rules."""
    return jury_vote(Path(root), finding)
