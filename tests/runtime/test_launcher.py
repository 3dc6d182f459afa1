"""Several people start one mesh at once."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.local.discovery import PeerEntry
from mesh.runtime import launcher
from mesh.storage.authority import create_mesh
from mesh.storage.folder import MeshFolder
from protocols.errors import ConfigurationError

PREPARE = """
import sys
from pathlib import Path
from mesh.runtime import launcher
folder = launcher.prepare(Path(sys.argv[1]), 6, [])
launcher._reserve_doors(folder, [entry.name for entry in folder.peers()])
"""


@pytest.mark.processes
def test_a_mesh_that_is_prepared_several_times_at_once_is_prepared_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".mesh"
    command = [sys.executable, "-c", PREPARE, str(path)]
    ups = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for up in ups:
        _, error = up.communicate(timeout=60)
        assert up.returncode == 0, error
    peers = MeshFolder.open(path).peers()
    assert [entry.name for entry in peers] == [f"peer-{n}" for n in range(1, 7)]
    assert len({entry.door for entry in peers}) == len(peers)


def test_whoever_fails_removes_no_mesh_that_another_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".mesh"

    def after_another(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        create_mesh(path, "theirs")
        fcntl.flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", after_another)
    with pytest.raises(ConfigurationError, match="no agent file"):
        launcher.prepare(path, 1, ["missing.py"])
    assert MeshFolder.open(path).read().name == "theirs"
    assert not launcher.prepare(path, 1, []).is_new


def test_whoever_fails_leaves_nothing_of_a_mesh_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / ".mesh"
    with pytest.raises(ConfigurationError, match="no agent file"):
        launcher.prepare(path, 1, ["missing.py"])
    assert not path.exists()
    assert launcher.prepare(path, 1, []).is_new


def test_peers_are_told_in_their_order_whichever_was_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = launcher.prepare(tmp_path / ".mesh", 3, [])
    names = [entry.name for entry in folder.peers()]
    asked: list[str] = []

    def status(entries: list[PeerEntry]) -> dict[str, launcher.Status]:
        asked.extend(entry.name for entry in entries)
        ready = asked[-1] != "peer-2" or asked.count("peer-2") > 1
        said = {"ready": ready, "agents": [], "alive": 3, "members": []}
        return {entry.name: {"id": entry.name, "skills": [], **said} for entry in entries}

    monkeypatch.setattr(launcher, "_statuses", status)
    monkeypatch.setattr(launcher, "running", lambda folder: dict.fromkeys(names, 0))
    monkeypatch.setattr(launcher, "is_paused", lambda pid: False)
    found = launcher.wait_converged(folder, 30.0)
    assert found.converged
    assert asked[:4] == ["peer-1", "peer-2", "peer-2", "peer-1"]
    assert list(found.statuses) == names
