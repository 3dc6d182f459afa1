"""`mesh demo`: runs the audit, writes its files, tells how it went, and verifies it."""

import json
from pathlib import Path
from typing import Any

import msgspec

from mesh.demo.audit import Audit, audit_alone, audit_on_mesh
from mesh.demo.deciding import write_certificates
from mesh.demo.face import DemoMesh, Explainer
from mesh.demo.findings import order
from mesh.demo.narration import Narrator
from mesh.demo.report import report
from mesh.demo.sarif import sarif
from mesh.demo.sources import find_sources, standard_library

OUT = Path("mesh-demo")
TOP = 24
"""Findings that the reviewers judge."""
REPORT, SARIF, FINDINGS = "report.md", "findings.sarif", "findings.json"


class NothingToAudit(Exception):
    """The path is not there, or holds no Python file."""


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to audit and how.

    Attributes:
        path: a folder or a file; None for the standard library of this Python.
        out: the folder for the report, SARIF and findings.
        limit: audit only so many files, the largest; 0 for all.
        top: how many of the highest findings are reviewed.
        chaos: whether a peer is killed half-way.
        explainer: explains findings in the report, where there is one.
    """

    path: Path | None = None
    out: Path = OUT
    limit: int = 0
    top: int = TOP
    chaos: bool = True
    explainer: Explainer | None = None

    @property
    def root(self) -> Path:
        """The absolute path of the tree.

        Raises:
            NothingToAudit: see there.
        """
        root = (self.path or standard_library()).resolve()
        if not root.exists():
            raise NothingToAudit(f"there is no {self.path}")
        return root

    @property
    def name(self) -> str:
        """What people call the tree."""
        return self.path.resolve().name if self.path else "the standard library, without its tests"


class DemoOutcome(msgspec.Struct, kw_only=True):
    """How a run went, as `--json` prints it.

    The last four are None and 0 until `verify` has recomputed the findings.
    """

    files: int
    files_found: int
    tasks: int
    peers_killed: list[str]
    tasks_rerun: int
    tasks_failed: int
    tasks_lost: int
    findings: int
    reviewed: int
    confirmed: int
    decided: int
    certified: int
    seconds: float
    sha256: str
    report: str
    sarif: str
    verified: bool | None = None
    verify_sha256: str = ""
    verify_seconds: float = 0.0
    speedup: float = 0.0

    @property
    def is_good(self) -> bool:
        """Nothing lost, nothing failed, and the same findings where they were recomputed."""
        return not self.tasks_lost and not self.tasks_failed and self.verified is not False

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def lines(self) -> list[str]:
        """As people read it at the end of a run."""
        killed = ", ".join(self.peers_killed) or "none"
        files = f"{self.files}"
        if self.files < self.files_found:
            files = f"{self.files}, the largest of {self.files_found}"
        told = [
            f"files: {files}",
            f"findings: {self.findings}, the {self.reviewed} highest reviewed, "
            f"{self.confirmed} confirmed",
            f"settled by vote: {self.decided}, {self.certified} certified",
            f"peers killed: {killed}",
            f"tasks re-run: {self.tasks_rerun}",
        ]
        if self.tasks_failed:
            told.append(f"tasks failed: {self.tasks_failed}")
        told += [
            f"tasks lost: {self.tasks_lost}",
            f"time: {self.seconds:.1f} s",
            f"sha256: {self.sha256}",
        ]
        if self.verified is not None:
            word = "the same" if self.verified else "DIFFERENT"
            told += [
                f"one process: {self.verify_sha256}, {word}",
                f"one process: {self.verify_seconds:.1f} s, "
                f"{self.speedup:.2f} times as long as the mesh",
            ]
        return [*told, f"report: {self.report}", f"SARIF: {self.sarif}"]


def run_demo(options: DemoOptions, mesh: DemoMesh, narrator: Narrator) -> DemoOutcome:
    """Audits a tree on a mesh and writes the report, SARIF and findings.

    Args:
        options: what and how.
        mesh: peers of `face.AGENTS_BY_PEER`, up and converged.
        narrator: hears of progress, the kill and the recovery as they happen; the caller
            closes it.

    Raises:
        NothingToAudit: there is no such path, or no Python file in it.
        TaskWentWrong: a task that the audit cannot do without failed.
    """
    root = options.root
    check(options)
    narrator.say(f"auditing {options.name}")
    audit = audit_on_mesh(root, options.limit, options.top, mesh, narrator, options.chaos)
    return write(audit, options)


def check(options: DemoOptions) -> None:
    """Refuses a tree without Python files, before any peer is started.

    Raises:
        NothingToAudit: see there.
    """
    if not find_sources(options.root):
        raise NothingToAudit(f"there is no Python file in {options.path}, tests aside")


def write(audit: Audit, options: DemoOptions) -> DemoOutcome:
    """Writes what an audit found into `options.out`."""
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    log = sarif(audit.findings, audit.judgements, audit.notes)
    _write_json(out / SARIF, log)
    (out / REPORT).write_text(
        report(audit, options.root, options.name, options.explainer), encoding="utf-8"
    )
    if audit.settled:
        write_certificates(out, audit.settled, audit.root_public)
    listed = {
        "sha256": audit.digest,
        "seconds": round(audit.seconds, 3),
        "findings": msgspec.to_builtins(sorted(audit.findings, key=order)),
        "reviews": msgspec.to_builtins(audit.judgements),
        "notes": msgspec.to_builtins(audit.notes),
    }
    _write_json(out / FINDINGS, listed)
    return DemoOutcome(
        files=audit.files,
        files_found=audit.found,
        tasks=audit.tasks,
        peers_killed=[kill.peer for kill in audit.kills],
        tasks_rerun=len(audit.rerun),
        tasks_failed=audit.failed,
        tasks_lost=audit.lost,
        findings=len(audit.findings),
        reviewed=len(audit.judgements),
        confirmed=sum(judgement.confirmed for judgement in audit.judgements),
        decided=len(audit.settled),
        certified=sum(each.status == "certified" for each in audit.settled),
        seconds=round(audit.seconds, 3),
        sha256=audit.digest,
        report=str(out / REPORT),
        sarif=str(out / SARIF),
    )


def verify(options: DemoOptions, outcome: DemoOutcome, narrator: Narrator) -> DemoOutcome:
    """Recomputes the findings in this one process, without the mesh, and compares.

    Args:
        options: those of the run.
        outcome: what it came to.
        narrator: hears of progress; a fresh one, as its bar starts anew.

    Returns:
        The outcome, with its last four fields filled in.
    """
    narrator.say("the same in one process, without the mesh")
    alone = audit_alone(options.root, options.limit, options.top, narrator.progress)
    return msgspec.structs.replace(
        outcome,
        verified=alone.digest == outcome.sha256,
        verify_sha256=alone.digest,
        verify_seconds=round(alone.seconds, 3),
        speedup=round(alone.seconds / outcome.seconds, 2) if outcome.seconds else 0.0,
    )


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
