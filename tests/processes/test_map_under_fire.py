"""Thousands of tasks by the command line, one peer killed and one stopped half-way."""

import json
import signal
from pathlib import Path

import pytest

from tests.processes.rig import CREW, TRIO_CREW, LocalMesh, finish, local_mesh, until

INPUTS = 3000


def test_every_index_comes_exactly_once_with_its_own_result(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    lines = [json.dumps({"path": "", "index": i, "seconds": 0.004}) for i in range(INPUTS)]
    file.write_text("\n".join(lines), encoding="utf-8")
    with local_mesh(tmp_path, 4, [CREW]) as mesh:
        process = mesh.start_cli("map", "mark_index", str(file))
        assert process.stdout is not None
        rows = []
        for line in process.stdout:
            rows.append(json.loads(line))
            if len(rows) == INPUTS // 3:
                mesh.signal("peer-3", signal.SIGKILL)
                mesh.signal("peer-4", signal.SIGSTOP)
        assert finish(process).status == 0
        assert [row for row in rows if row["state"] != "done"] == []
        assert sorted(row["index"] for row in rows) == list(range(INPUTS))
        assert all(row["result"] == row["index"] for row in rows)
        assert len({row["task"] for row in rows}) == INPUTS
        assert any(row["attempts"] > 1 for row in rows), "some ran where nobody answers"
        _back(mesh)


@pytest.mark.slow
def test_the_same_inline(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 4, [TRIO_CREW]) as mesh:
        with mesh.client("peer-1", "peer-2") as client:
            values = [{"seconds": 0.002, "value": i} for i in range(INPUTS)]
            results = client.map("inline_wait", values)
            first = [next(results) for _ in range(INPUTS // 3)]
            mesh.signal("peer-3", signal.SIGKILL)
            mesh.signal("peer-4", signal.SIGSTOP)
            assert first + list(results) == list(range(INPUTS))
        _back(mesh)


def _back(mesh: LocalMesh) -> None:
    """The stopped peer goes on, the killed one is started, and all is as before."""
    mesh.signal("peer-4", signal.SIGCONT)
    mesh.up()
    until(
        lambda: all(mesh.status(name).get("alive") == 4 for name in mesh.names()),
        "all to see all",
    )
