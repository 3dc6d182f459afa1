"""Reviews findings: is it a known harmless idiom?"""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo.findings import Finding, Verdict
from mesh.demo.review import idiom

agent = Agent("idiom")


@agent.skill(version="1", timeout=120, retries=3)
def review_idiom(root: str, finding: Finding) -> Verdict:
    """Is it a known harmless idiom?"""
    return idiom.review_idiom(Path(root), finding)
