"""Deduplicates and ranks findings, and counts the reviewers' votes."""

from mesh.agent import Agent
from mesh.demo import merging
from mesh.demo.findings import Finding, Judgement, Verdict

agent = Agent("merger")


@agent.skill(version="1", timeout=120, retries=3)
def merge_findings(findings: list[Finding], top: int) -> merging.Merged:
    """One finding per problem, for a batch of whole files."""
    return merging.merge(findings, top)


@agent.skill(version="1", timeout=120, retries=3)
def rank_findings(candidates: list[Finding], top: int) -> list[Finding]:
    """The highest findings of all batches, the highest first."""
    return merging.highest(candidates, top)


@agent.skill(version="1", timeout=120, retries=3)
def count_votes(findings: list[Finding], verdicts: list[Verdict]) -> list[Judgement]:
    """What the majority of the reviewers thinks of each finding."""
    return merging.judge(findings, verdicts)
