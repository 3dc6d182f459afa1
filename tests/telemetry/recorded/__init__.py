"""What three peers wrote of one review and the five tasks that it asked for."""

import json
from pathlib import Path
from typing import Any

import msgspec

from mesh.local.discovery import MeshFile, PeerEntry

HERE = Path(__file__).parent
PEERS = {
    "peer-1": "5x4umrlps7kbo6c5wnhumnuwoyrqvp7bne7hzmlzbkllfyl775ua",
    "peer-2": "dzelllzrofuu7ooo5a5irpyrrfxt42fpizaasq6nkysuutxz5xga",
    "peer-3": "tl46oueu6yfufqc42jnpowklh6yb3kpjpvw53njcbofedaumeksq",
}
REVIEW = "b5hyxnrxjbtei57oihlz"
LAST_CHILD = "4jqzwojp4cwx32ju"
TRACE = "a42a56ccb4e88237c2ca610709c4f9ac"


def folder(path: Path, names: tuple[str, ...] = tuple(PEERS)) -> Path:
    """A mesh folder whose peers have written this, and do not run."""
    entries = [
        PeerEntry(name=name, id=PEERS[name], pid_file=f"peers/{name}/pid", socket=str(path / name))
        for name in names
    ]
    for name in names:
        events(path, name).parent.mkdir(parents=True)
        events(path, name).write_bytes((HERE / f"{name}.jsonl").read_bytes())
    (path / "mesh.json").write_bytes(msgspec.json.encode(MeshFile(mesh="m", peers=entries)))
    return path


def events(path: Path, name: str) -> Path:
    """A peer's events in such a folder."""
    return path / "peers" / name / "events.jsonl"


def view() -> dict[str, Any]:
    """The review as its custodian told it."""
    told: dict[str, Any] = json.loads((HERE / "why.json").read_text(encoding="utf-8"))
    return told
