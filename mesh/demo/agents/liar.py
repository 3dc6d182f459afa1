"""A juror that lies: it says the opposite of what it found, whatever that is."""

from pathlib import Path

from mesh.agent import Agent
from mesh.demo.findings import Finding
from mesh.demo.review import CONFIRMED, REJECTED, jury_vote

agent = Agent("liar")


@agent.skill(version="1", timeout=60, retries=1, slots=2)
def judge_finding(root: str, finding: Finding) -> str:
    """The wrong one of ``confirmed`` and ``rejected``."""
    return REJECTED if jury_vote(Path(root), finding) == CONFIRMED else CONFIRMED
