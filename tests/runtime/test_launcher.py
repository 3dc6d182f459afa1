"""Several people start one mesh at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from mesh.storage.folder import MeshFolder

pytestmark = pytest.mark.processes

PREPARE = """
import sys
from pathlib import Path
from mesh.runtime import launcher
folder = launcher.prepare(Path(sys.argv[1]), 6, [])
launcher._reserve_doors(folder, [entry.name for entry in folder.peers()])
"""


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
