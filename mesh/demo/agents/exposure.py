"""Reviews findings: may strangers reach it?"""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo.findings import Finding, Verdict
from mesh.demo.review import exposure

agent = Agent("exposure")


@agent.skill(version="1", timeout=120, retries=3)
def review_exposure(root: str, finding: Finding) -> Verdict:
    """May strangers reach it?"""
    return exposure.review_exposure(Path(root), finding)
