"""The merger's rules: one finding per problem, the highest first, votes counted.

Merging is done per batch of files and ranking over what the batches put
forward, so that no message grows with the tree; the result is the same however
the files are cut into batches.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from mesh.demo.findings import Finding, Judgement, Verdict, order, rank


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """A merged batch of files, and those of its findings that may be among the highest."""

    findings: list[Finding]
    candidates: list[Finding]
    duplicates: int


def merge(findings: Iterable[Finding], top: int) -> Merged:
    """Deduplicates the findings of whole files.

    Args:
        findings: all of what every analyser found in some files.
        top: how many of the highest will be wanted in the end.
    """
    groups: defaultdict[tuple[str, int, str], list[Finding]] = defaultdict(list)
    total = 0
    for finding in findings:
        groups[finding.path, finding.line, finding.kind].append(finding)
        total += 1
    merged: list[Finding] = []
    for group in groups.values():
        merged += _merge_one_place(group)
    merged.sort(key=order)
    return Merged(
        findings=merged, candidates=_candidates(merged, top), duplicates=total - len(merged)
    )


def _merge_one_place(group: list[Finding]) -> list[Finding]:
    """The findings of one kind on one line.

    Another tool's are folded into those of the tool that knows the kind best;
    two of the same tool and rule on one line are one.
    """
    group = sorted(group, key=_authority)
    best = group[0]
    seen = dict.fromkeys(f"{each.tool}:{each.rule}" for each in group)
    others = [name for name in seen if name != f"{best.tool}:{best.rule}"]
    sure = "high" if len({each.tool for each in group}) > 1 else best.confidence
    severity = max((each.severity for each in group), key=rank)
    return [
        msgspec.structs.replace(
            best,
            seen_by=(f"{best.tool}:{best.rule}", *others),
            confidence=sure,
            severity=severity,
        )
    ]


def _authority(finding: Finding) -> tuple[object, ...]:
    """Specialists speak before the general linter, then the worse and surer one."""
    worst = (-rank(finding.severity), -rank(finding.confidence))
    return (finding.tool == "ruff", *worst, *order(finding))


def _within_rule(finding: Finding) -> tuple[object, ...]:
    """The order among findings of one rule and severity."""
    return (-rank(finding.confidence), -len(finding.seen_by), *order(finding))


def _candidates(findings: Iterable[Finding], top: int) -> list[Finding]:
    """All that can be among the `top` highest of any set that holds these findings.

    Only the first `top` of a rule can; and once worse severities fill `top`, nothing
    below them can.
    """
    chosen: list[Finding] = []
    for severity in ("high", "medium", "low"):
        rules: defaultdict[str, list[Finding]] = defaultdict(list)
        for finding in findings:
            if finding.severity == severity:
                rules[finding.rule].append(finding)
        for name in sorted(rules):
            chosen += sorted(rules[name], key=_within_rule)[:top]
        if len(chosen) >= top:
            break
    return chosen


def highest(candidates: Iterable[Finding], top: int) -> list[Finding]:
    """The `top` highest findings, the highest first.

    By severity; within one, rules take turns, so that one frequent rule cannot hide
    the others; then by confidence and by how many tools agree.
    """
    turns: defaultdict[tuple[str, str], int] = defaultdict(int)
    ranked: list[tuple[tuple[object, ...], Finding]] = []
    for finding in sorted(candidates, key=_within_rule):
        turn = turns[finding.severity, finding.rule]
        turns[finding.severity, finding.rule] += 1
        ranked.append(((-rank(finding.severity), turn, *_within_rule(finding)), finding))
    ranked.sort(key=lambda pair: pair[0])
    return [finding for _, finding in ranked[:top]]


def judge(findings: Iterable[Finding], verdicts: Iterable[Verdict]) -> list[Judgement]:
    """Counts the majority of the verdicts on each finding.

    One vote a reviewer. A tie, which takes a missing verdict, does not confirm.
    """
    votes: defaultdict[str, dict[str, Verdict]] = defaultdict(dict)
    for verdict in verdicts:
        votes[verdict.finding].setdefault(verdict.reviewer, verdict)
    judged: list[Judgement] = []
    for finding in findings:
        cast = [votes[finding.key][name] for name in sorted(votes[finding.key])]
        confirming = sum(vote.confirm for vote in cast)
        judged.append(Judgement(finding=finding, confirmed=2 * confirming > len(cast), votes=cast))
    return judged
