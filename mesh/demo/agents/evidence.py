"""Reviews findings: is what the rule names really there, and can it run?"""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo.findings import Finding, Verdict
from mesh.demo.review import evidence

agent = Agent("evidence")


@agent.skill(version="1", timeout=120, retries=3)
def review_evidence(root: str, finding: Finding) -> Verdict:
    """Is what the rule names really there, and can it run?"""
    return evidence.review_evidence(Path(root), finding)
