"""Findings as SARIF 2.1.0, which code hosts and editors read."""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import quote

from mesh.demo.findings import Finding, Judgement, Note, order

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"high": "error", "medium": "warning", "low": "note"}


def tool_versions() -> dict[str, str]:
    """The versions of the analysers; findings may only be compared between the same ones."""
    found: dict[str, str] = {}
    for tool in ("bandit", "radon", "ruff"):
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            found[tool] = "unknown"
    return found


def sarif(
    findings: Iterable[Finding], judgements: Iterable[Judgement], notes: Iterable[Note]
) -> dict[str, Any]:
    """A SARIF log with one run per tool, every finding a result of the tool that knew best."""
    judged = {judgement.finding.key: judgement for judgement in judgements}
    by_tool: dict[str, list[Finding]] = {tool: [] for tool in tool_versions()}
    for finding in sorted(findings, key=order):
        by_tool[finding.tool].append(finding)
    runs = [_run(tool, number, by_tool[tool], judged) for tool, number in tool_versions().items()]
    notifications = [_notification(note) for note in notes]
    runs[0]["invocations"] = [
        {"executionSuccessful": True, "toolExecutionNotifications": notifications}
    ]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": runs}


def _run(
    tool: str, number: str, findings: list[Finding], judged: dict[str, Judgement]
) -> dict[str, Any]:
    rules = sorted({finding.rule for finding in findings})
    index = {rule: place for place, rule in enumerate(rules)}
    return {
        "tool": {
            "driver": {"name": tool, "version": number, "rules": [{"id": rule} for rule in rules]}
        },
        "originalUriBaseIds": {"ROOT": {"description": {"text": "the audited tree"}}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(each, index[each.rule], judged.get(each.key)) for each in findings],
    }


def _result(finding: Finding, rule_index: int, judgement: Judgement | None) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "severity": finding.severity,
        "confidence": finding.confidence,
        "seenBy": list(finding.seen_by),
    }
    if judgement is not None:
        properties["confirmed"] = judgement.confirmed
        properties["votes"] = [
            {"reviewer": vote.reviewer, "confirm": vote.confirm, "reason": vote.reason}
            for vote in judgement.votes
        ]
    return {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.message},
        "locations": [_location(finding)],
        "partialFingerprints": {"place/v1": finding.key},
        "properties": properties,
    }


def _location(finding: Finding) -> dict[str, Any]:
    region = {"startLine": finding.line}
    if finding.column:
        region["startColumn"] = finding.column
    return {"physicalLocation": {"artifactLocation": _artifact(finding.path), "region": region}}


def _artifact(path: str) -> dict[str, str]:
    return {"uri": quote(path), "uriBaseId": "ROOT"}


def _notification(note: Note) -> dict[str, Any]:
    return {
        "level": "note",
        "message": {"text": f"{note.analyser}: {note.text}"},
        "locations": [{"physicalLocation": {"artifactLocation": _artifact(note.path)}}],
    }
