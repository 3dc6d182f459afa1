"""`report.md`: what was found, how it was judged and how the audit ran, for people."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from mesh.demo.audit import Audit
from mesh.demo.deciding import FOLDER
from mesh.demo.face import Explainer
from mesh.demo.findings import SEVERITIES, Finding, Judgement
from mesh.demo.sarif import tool_versions
from mesh.demo.sources import Unreadable, read_text

FINDINGS_A_FILE = 15
"""Findings listed of one file; the rest are counted."""
FINDINGS_LISTED = 1_000
"""Findings listed by file in all; every one is in findings.json and SARIF."""
NOTES_LISTED = 50
CONTEXT_LINES = 5
"""Lines around a finding that an explainer sees."""


def report(audit: Audit, root: Path, name: str, explainer: Explainer | None = None) -> str:
    """The report as Markdown.

    Args:
        audit: what came of the audit.
        root: the audited tree, for the lines that an explainer sees.
        name: what people call the tree.
        explainer: explains the highest findings, where there is one.
    """
    lines = [f"# Audit of {name}", ""]
    lines += _summary(audit)
    lines += ["", "## The highest findings", ""]
    lines += _highest(audit)
    if explainer is not None:
        lines += _explained(audit, root, explainer)
    lines += ["", "## How the reviewers voted", ""]
    lines += _votes(audit)
    if audit.settled:
        lines += ["", "## What the jurors settled", ""]
        lines += _settled(audit)
    lines += ["", "## All findings by file", ""]
    lines += _by_file(audit)
    if audit.notes:
        lines += ["", "## What could not be audited", ""]
        lines += _not_audited(audit)
    lines += ["", "## How it ran", ""]
    lines += _run(audit)
    return "\n".join(lines) + "\n"


def _summary(audit: Audit) -> Iterator[str]:
    counts = Counter(finding.severity for finding in audit.findings)
    severities = ", ".join(f"{counts[word]} {word}" for word in reversed(SEVERITIES))
    confirmed = sum(judgement.confirmed for judgement in audit.judgements)
    files = f"{audit.files} files"
    if audit.files < audit.found:
        files = f"The {audit.files} largest of {audit.found} files"
    yield (
        f"{files}, **{len(audit.findings)} findings**: {severities}. "
        f"{audit.duplicates} more were duplicates of these, seen by a second tool or twice. "
        f"Of the {len(audit.judgements)} highest, the reviewers confirmed {confirmed}."
    )
    tools = Counter(finding.tool for finding in audit.findings)
    yield ""
    yield "| tool | looks for | findings |"
    yield "|---|---|---:|"
    about = {"bandit": "security", "radon": "complexity", "ruff": "errors and likely bugs"}
    for tool, number in tool_versions().items():
        yield f"| {tool} {number} | {about[tool]} | {tools[tool]} |"


def _highest(audit: Audit) -> Iterator[str]:
    if not audit.judgements:
        yield "None."
        return
    yield "| | where | severity | rule | what | votes |"
    yield "|---:|---|---|---|---|---|"
    for number, judgement in enumerate(audit.judgements, 1):
        finding = judgement.finding
        verdict = "confirmed" if judgement.confirmed else "rejected"
        yield (
            f"| {number} | `{finding.place}` | {finding.severity} | {_rules(finding)} "
            f"| {_cell(finding.message)} | {verdict} {judgement.tally} |"
        )


def _rules(finding: Finding) -> str:
    return ", ".join(each.replace(":", " ") for each in finding.seen_by)


def _cell(text: str) -> str:
    """Text that may stand in a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _explained(audit: Audit, root: Path, explainer: Explainer) -> Iterator[str]:
    yield ""
    yield "## Explanations"
    for judgement in audit.judgements:
        finding = judgement.finding
        text = explainer.explain(finding, _around(root, finding))
        if text:
            yield ""
            yield f"**`{finding.place}`** {text}"


def _around(root: Path, finding: Finding) -> str:
    try:
        lines = read_text(root, finding.path).split("\n")
    except Unreadable:
        return ""
    first = max(0, finding.line - 1 - CONTEXT_LINES)
    return "\n".join(lines[first : finding.line + CONTEXT_LINES])


def _votes(audit: Audit) -> Iterator[str]:
    yield "Each reviewer has a rule of its own: is the *evidence* there and can it run; is it"
    yield "*exposed* to callers whom the author does not know; is it a harmless *idiom*."
    for number, judgement in enumerate(audit.judgements, 1):
        yield ""
        yield (
            f"{number}. `{judgement.finding.place}` {_rules(judgement.finding)}: "
            f"**{'confirmed' if judgement.confirmed else 'rejected'} {judgement.tally}**"
        )
        for vote in judgement.votes:
            word = "confirms" if vote.confirm else "rejects"
            yield f"   - {vote.reviewer} {word}{_dissent(judgement, vote.confirm)}: {vote.reason}"


def _settled(audit: Audit) -> Iterator[str]:
    yield "Every peer has a *juror* that looks for itself, and all of them vote. What is certified"
    yield "holds whatever as many of them lie as the mesh tolerates: its margin is more than those"
    yield "and the voters left out could make up for. Anybody can check a certificate, anywhere:"
    yield f"`mesh verify {FOLDER}/01.cert --mesh {FOLDER}/root.pub`."
    yield ""
    yield "| | where | outcome | status | margin | dissent | certificate |"
    yield "|---:|---|---|---|---:|---|---|"
    places = {judgement.finding.key: judgement.finding.place for judgement in audit.judgements}
    for number, each in enumerate(audit.settled, 1):
        yield (
            f"| {number} | `{places.get(each.finding, each.finding)}` | {each.outcome or 'none'} "
            f"| {each.status} | {each.margin} (above {each.needed}) "
            f"| {', '.join(each.dissent) or 'none'} | `{FOLDER}/{number:02}.cert` |"
        )


def _dissent(judgement: Judgement, confirm: bool) -> str:
    return "" if confirm == judgement.confirmed else " (dissent)"


def _by_file(audit: Audit) -> Iterator[str]:
    files: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in audit.findings:
        files[finding.path].append(finding)
    if not files:
        yield "None."
        return
    listed = hidden_files = 0
    for path in sorted(files):
        if listed >= FINDINGS_LISTED:
            hidden_files += 1
            continue
        findings = files[path]
        shown = sorted(findings, key=_worst_first)[:FINDINGS_A_FILE]
        yield f"### {path}"
        yield ""
        for finding in sorted(shown, key=lambda each: (each.line, each.column, each.rule)):
            message = finding.message.replace("<", "&lt;")
            yield f"- `{finding.place}` {finding.severity}, {_rules(finding)}: {message}"
        if len(shown) < len(findings):
            yield f"- and {len(findings) - len(shown)} lower ones"
        yield ""
        listed += len(shown)
    if hidden_files:
        yield f"Findings in {hidden_files} more files are left out here to keep this page readable."
    yield "The complete list is in `findings.json` and `findings.sarif`."


def _worst_first(finding: Finding) -> tuple[int, int]:
    return (-SEVERITIES.index(finding.severity), finding.line)


def _not_audited(audit: Audit) -> Iterator[str]:
    for note in audit.notes[:NOTES_LISTED]:
        yield f"- `{note.path}`, {note.analyser}: {_cell(note.text)}"
    if len(audit.notes) > NOTES_LISTED:
        yield f"- and {len(audit.notes) - NOTES_LISTED} more"


def _run(audit: Audit) -> Iterator[str]:
    yield f"- {audit.tasks} tasks, one per file and analyser, in {audit.seconds:.1f} s"
    for kill in audit.kills:
        known = f"; the others knew {kill.known_after:.2f} s later" if kill.known_after else ""
        yield (
            f"- {kill.peer} was killed with SIGKILL after {kill.after:.1f} s, "
            f"with {kill.tasks_done} tasks done{known}"
        )
    if not audit.kills:
        yield "- no peer was killed"
    yield f"- tasks re-run: {len(audit.rerun)}"
    for what in audit.rerun:
        yield f"  - {what}"
    yield f"- tasks failed: {audit.failed}"
    yield f"- tasks lost: {audit.lost}"
    yield f"- sha256 of the sorted findings: `{audit.digest}`"
