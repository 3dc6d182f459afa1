"""What the jurors settle: a ballot for each of the highest findings, and its certificate."""

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from mesh.demo.face import DemoDecision, DemoMesh
from mesh.demo.findings import Finding
from mesh.demo.review import CONFIRMED, REJECTED

SKILL = "judge_finding"
FOLDER = "certificates"
CLOSE_S = 10.0
"""How long a juror may take; those that are dead are not waited for."""
AT_ONCE = 4
"""Ballots that are open at one time."""


class Settled(msgspec.Struct, kw_only=True):
    """What the jurors settled about one finding.

    Attributes:
        finding: its key.
        outcome: ``confirmed`` or ``rejected``; "" where it is undecided.
        status: certified, leaning or undecided.
        margin: of the votes; above `needed` no liar could have bent it.
        needed: see there.
        dissent: the peers that voted otherwise.
        certificate: the file, as its bytes are.
    """

    finding: str
    outcome: str
    status: str
    margin: int
    needed: int
    dissent: list[str]
    certificate: bytes


def settle(mesh: DemoMesh, root: Path, findings: Sequence[Finding]) -> list[Settled]:
    """Has the jurors decide on each finding, a few at once, in the order of the findings.

    Raises:
        Exception: whatever a client raised, once the others have ended.
    """
    places: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in range(len(findings)):
        places.put(place)
    settled: dict[int, Settled] = {}
    failures: list[Exception] = []

    def work() -> None:
        try:
            client = mesh.connect()
            try:
                while not failures:
                    place = places.get_nowait()
                    settled[place] = _settled(client.decide, root, findings[place])
            finally:
                client.close()
        except queue.Empty:
            return
        except Exception as error:  # noqa: BLE001  # raised again below, in the caller's thread
            failures.append(error)

    threads = [
        threading.Thread(target=work, name=f"jury-{number}", daemon=True)
        for number in range(min(AT_ONCE, len(findings)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [settled[place] for place in sorted(settled)]


def _settled(decide: Any, root: Path, finding: Finding) -> Settled:
    inputs = {"root": str(root), "finding": msgspec.to_builtins(finding)}
    decision: DemoDecision = decide(SKILL, inputs, options=(CONFIRMED, REJECTED), close=CLOSE_S)
    return Settled(
        finding=finding.key,
        outcome=str(decision.outcome or ""),
        status=decision.status,
        margin=decision.margin,
        needed=decision.needed,
        dissent=[vote.peer for vote in decision.dissent],
        certificate=decision.certificate,
    )


def write_certificates(out: Path, settled: Sequence[Settled], root_public: bytes) -> None:
    """Writes the certificates and the mesh's public root key, with which they verify."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.cert"):
        old.unlink()
    (folder / "root.pub").write_bytes(root_public)
    for number, each in enumerate(settled, 1):
        (folder / f"{number:02}.cert").write_bytes(each.certificate)
