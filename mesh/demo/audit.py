"""An audit from plan to votes: on the mesh, or in one process with the same functions."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mesh.demo import merging, planning
from mesh.demo.analysers import ANALYSERS
from mesh.demo.chaos import Chaos, Kill
from mesh.demo.crew import Stream, TaskWentWrong, gather, gather_all
from mesh.demo.deciding import Settled, settle
from mesh.demo.face import DemoMesh, Outcome
from mesh.demo.findings import Finding, Judgement, Note, Scan, Verdict, digest
from mesh.demo.narration import Narrator
from mesh.demo.review import REVIEWERS

BATCH = 1_000
"""Findings in one batch for the merger, a few hundred kilobytes."""

T = TypeVar("T")


class Audit(msgspec.Struct, kw_only=True):
    """What came of an audit. `findings` are merged and sorted."""

    found: int
    files: int
    tasks: int
    findings: list[Finding]
    judgements: list[Judgement]
    notes: list[Note]
    duplicates: int
    seconds: float
    lost: int = 0
    failed: int = 0
    kills: list[Kill] = []
    rerun: list[str] = []
    settled: list[Settled] = []
    root_public: bytes = b""

    @property
    def digest(self) -> str:
        """The sha256 of the sorted findings."""
        return digest(self.findings)


def audit_alone(
    root: Path, limit: int, top: int, progress: Callable[[int, int, float], None]
) -> Audit:
    """The audit in this one process, one task after the other."""
    begin = time.perf_counter()
    plan = planning.plan(root, limit)
    scans: list[Scan] = []
    work_us = sum(unit.weight_us for unit in plan.units)
    worked_us = 0
    for unit in plan.units:
        scans.append(ANALYSERS[unit.analyser](root, unit.path))
        worked_us += unit.weight_us
        progress(len(scans), len(plan.units), worked_us / work_us)
    merged = [merging.merge(batch, top) for batch in batches(scans)]
    candidates = [finding for each in merged for finding in each.candidates]
    highest = merging.highest(candidates, top)
    verdicts = [review(root, finding) for review in REVIEWERS.values() for finding in highest]
    return Audit(
        found=plan.found,
        files=len(plan.files),
        tasks=len(plan.units),
        findings=[finding for each in merged for finding in each.findings],
        judgements=merging.judge(highest, verdicts),
        notes=_notes(scans),
        duplicates=sum(each.duplicates for each in merged),
        seconds=time.perf_counter() - begin,
    )


def audit_on_mesh(
    root: Path, limit: int, top: int, mesh: DemoMesh, narrator: Narrator, chaos: bool
) -> Audit:
    """The audit by the crew on a mesh, with a peer killed half-way where `chaos` is set.

    Raises:
        TaskWentWrong: a plan, merge, review or count failed. A scan that fails is a note.
    """
    begin = time.perf_counter()
    plan = _one(mesh, planning.Plan, "plan_audit", root=str(root), limit=limit)
    narrator.say(f"planned {len(plan.units)} tasks over {len(plan.files)} files")
    trouble = Chaos(mesh, narrator, chaos)
    try:
        scans, ended, failed = _scan(root, plan, mesh, narrator, trouble)
        merged = _merge(mesh, scans, top)
        candidates = [finding for each in merged for finding in each.candidates]
        highest = _one(mesh, list[Finding], "rank_findings", candidates=_plain(candidates), top=top)
        narrator.say(f"three reviewers judge the {len(highest)} highest findings")
        verdicts = _review(mesh, root, highest)
        judgements = _one(
            mesh, list[Judgement], "count_votes",
            findings=_plain(highest), verdicts=_plain(verdicts),
        )  # fmt: skip
        narrator.say(f"all jurors vote on each of the {len(highest)}, and settle it")
        settled = settle(mesh, root, highest)
        seconds = time.perf_counter() - begin
    finally:
        trouble.close()
    return Audit(
        found=plan.found,
        files=len(plan.files),
        tasks=len(plan.units),
        findings=[finding for each in merged for finding in each.findings],
        judgements=judgements,
        notes=_notes(scans),
        duplicates=sum(each.duplicates for each in merged),
        seconds=seconds,
        lost=len(plan.units) - ended,
        failed=failed,
        kills=trouble.kills,
        rerun=trouble.rerun,
        settled=settled,
        root_public=mesh.root_public(),
    )


def batches(scans: Iterable[Scan]) -> list[list[Finding]]:
    """Findings in batches of whole files, by path, so that duplicates meet in one batch."""
    cut: list[list[Finding]] = []
    path = ""
    for scan in sorted(scans, key=lambda scan: (scan.path, scan.analyser)):
        if not scan.findings:
            continue
        if not cut or (len(cut[-1]) >= BATCH and scan.path != path):
            cut.append([])
        cut[-1] += scan.findings
        path = scan.path
    return cut


def _scan(
    root: Path, plan: planning.Plan, mesh: DemoMesh, narrator: Narrator, trouble: Chaos
) -> tuple[list[Scan], int, int]:
    """Runs every unit. Returns what they found, how many came to an end, how many failed."""
    units = {name: [unit for unit in plan.units if unit.analyser == name] for name in ANALYSERS}
    streams = [
        Stream(name, f"scan_{name}", [{"root": str(root), "path": unit.path} for unit in some])
        for name, some in units.items()
        if some
    ]
    scans: list[Scan] = []
    done = failed = worked_us = 0
    work_us = sum(unit.weight_us for unit in plan.units)
    for arrival in gather(mesh, streams):
        unit = units[arrival.stream][arrival.place]
        done += 1
        if arrival.outcome.state == "done":
            scans.append(msgspec.convert(arrival.outcome.value, Scan))
        else:
            failed += 1
            scans.append(_failed(unit, arrival.outcome))
            narrator.say(f"failed: {unit.analyser} of {unit.path}: {arrival.outcome.error}")
        worked_us += unit.weight_us
        share = worked_us / work_us
        narrator.progress(done, len(plan.units), share)
        trouble.see(arrival, f"{unit.analyser} of {unit.path}", done, share)
    return scans, done, failed


def _failed(unit: planning.Unit, outcome: Outcome) -> Scan:
    text = str(outcome.error or outcome.state).partition("\n")[0]
    note = Note(path=unit.path, analyser=unit.analyser, text=text)
    return Scan(path=unit.path, analyser=unit.analyser, notes=[note])


def _merge(mesh: DemoMesh, scans: list[Scan], top: int) -> list[merging.Merged]:
    inputs = [{"findings": _plain(batch), "top": top} for batch in batches(scans)]
    if not inputs:
        return []
    outcomes = gather_all(mesh, [Stream("merger", "merge_findings", inputs)])
    return [msgspec.convert(outcome.value, merging.Merged) for outcome in outcomes["merger"]]


def _review(mesh: DemoMesh, root: Path, highest: Sequence[Finding]) -> list[Verdict]:
    """Every reviewer's verdict on every finding, side by side."""
    if not highest:
        return []
    inputs = [{"root": str(root), "finding": _plain(finding)} for finding in highest]
    streams = [Stream(name, f"review_{name}", inputs) for name in REVIEWERS]
    outcomes = gather_all(mesh, streams)
    return [
        msgspec.convert(outcome.value, Verdict) for name in REVIEWERS for outcome in outcomes[name]
    ]


def _one(mesh: DemoMesh, kind: type[T], skill: str, **inputs: Any) -> T:
    """One task, whose value is wanted as a type."""
    outcome = gather_all(mesh, [Stream(skill, skill, [inputs])])[skill][0]
    try:
        return msgspec.convert(outcome.value, kind)
    except msgspec.ValidationError as error:
        raise TaskWentWrong(f"{skill} answered something else: {error}") from error


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)


def _notes(scans: Iterable[Scan]) -> list[Note]:
    notes = [note for scan in scans for note in scan.notes]
    return sorted(notes, key=lambda note: (note.path, note.analyser, note.text))
