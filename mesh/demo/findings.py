"""What the audit finds, in the form in which it travels, is compared and is digested.

A finding never holds an absolute path, a time or a peer, so that the same tree
and the same tools give the same findings wherever and in whatever order they
were made. `digest` is taken over canonical JSON of the sorted findings.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

SEVERITIES = ("low", "medium", "high")
"""From the least to the worst; confidences use the same words."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One problem at one place.

    Attributes:
        path: relative to the audited root, with forward slashes.
        line: from 1.
        column: from 1; 0 where the tool names none.
        tool: ``bandit``, ``radon`` or ``ruff``.
        rule: the tool's own code, such as ``B602``.
        kind: the class of problem; two tools that see the same thing share it.
        severity: one of `SEVERITIES`.
        confidence: one of `SEVERITIES`.
        message: one line.
        seen_by: every ``tool:rule`` that saw it, the finding's own first.
    """

    path: str
    line: int
    column: int
    tool: str
    rule: str
    kind: str
    severity: str
    confidence: str
    message: str
    seen_by: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """``path.py:LINE``."""
        return f"{self.path}:{self.line}"

    @property
    def key(self) -> str:
        """Names the finding within one audit."""
        return f"{self.path}:{self.line}:{self.column}:{self.rule}"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Why an analyser could not look at a file, or not at all of it."""

    path: str
    analyser: str
    text: str


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """What one analyser has to say about one file."""

    path: str
    analyser: str
    findings: list[Finding] = []
    notes: list[Note] = []


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one reviewer thinks of one finding, named by its key."""

    finding: str
    reviewer: str
    confirm: bool
    reason: str


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A reviewed finding with the votes counted."""

    finding: Finding
    confirmed: bool
    votes: list[Verdict]

    @property
    def tally(self) -> str:
        """``2:1``, confirming votes first."""
        confirming = sum(vote.confirm for vote in self.votes)
        return f"{confirming}:{len(self.votes) - confirming}"


def order(finding: Finding) -> tuple[Any, ...]:
    """The one order of findings: by place, then by what tells two at one place apart."""
    return (
        finding.path,
        finding.line,
        finding.column,
        finding.tool,
        finding.rule,
        finding.message,
    )


def rank(word: str) -> int:
    """A severity or confidence as a number; the higher, the worse or the surer."""
    return SEVERITIES.index(word)


def canonical(findings: Iterable[Finding]) -> bytes:
    """Canonical JSON: sorted findings, keys in one order, a line each."""
    lines = [msgspec.json.encode(each, order="sorted") for each in sorted(findings, key=order)]
    return b"\n".join(lines)


def digest(findings: Iterable[Finding]) -> str:
    """The sha256 of the sorted findings, in hex."""
    return hashlib.sha256(canonical(findings)).hexdigest()
