"""Three reviewers, each with a rule of its own: evidence, exposure, idiom."""

from collections.abc import Callable
from pathlib import Path

from mesh.demo.findings import Finding, Verdict
from mesh.demo.review.evidence import review_evidence
from mesh.demo.review.exposure import review_exposure
from mesh.demo.review.idiom import review_idiom

REVIEWERS: dict[str, Callable[[Path, Finding], Verdict]] = {
    "evidence": review_evidence,
    "exposure": review_exposure,
    "idiom": review_idiom,
}
"""By name; each is a plain function of (root, finding)."""

CONFIRMED, REJECTED = "confirmed", "rejected"


def jury_vote(root: Path, finding: Finding) -> str:
    """What the majority of the three rules says of a finding, for a juror that asks them all."""
    confirming = sum(review(root, finding).confirm for review in REVIEWERS.values())
    return CONFIRMED if 2 * confirming > len(REVIEWERS) else REJECTED
