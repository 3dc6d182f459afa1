"""Agents are replaced while a map runs over them, on real peers."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes.rig import finish, local_mesh, until

AGENT = """
import os, time
from mesh import Agent, Context
agent = Agent("counter")

@agent.skill(slots=2, retries=0)
def mark(ctx: Context, index: int, folder: str) -> list:
    time.sleep(0.002)
    file = os.open(f"{{folder}}/{{index}}", os.O_CREAT | os.O_EXCL)
    os.close(file)
    return [index, {version}]
"""
ENOUGH = 200


@pytest.mark.slow
def test_a_map_goes_on_while_its_agents_are_replaced(tmp_path: Path) -> None:
    file, marks = tmp_path / "counter.py", tmp_path / "marks"
    marks.mkdir()
    file.write_text(AGENT.format(version=1))
    with local_mesh(tmp_path, 2, [str(file)]) as mesh, mesh.client("peer-1") as client:
        workers = {worker.pid for name in mesh.names() for worker in mesh.workers(name)}
        given = replaced_at = 0
        reloading = None

        def inputs() -> Iterator[dict[str, Any]]:
            nonlocal given
            while not replaced_at or given < replaced_at + ENOUGH:
                yield {"index": given, "folder": str(marks)}
                given += 1

        done = []
        for result in client.map("mark", inputs()):
            done.append(result)
            if len(done) == ENOUGH:
                file.write_text(AGENT.format(version=2))
                reloading = mesh.start_cli("reload", "--all")
            if reloading is not None and not replaced_at and reloading.poll() is not None:
                replaced_at = given
        assert reloading is not None
        rows = [(row["peer"], row["replaced"]) for row in finish(reloading).rows]
        assert rows == [("peer-1", True), ("peer-2", True)]
        # Each handler makes a file that must not be there, and is not tried again.
        assert [index for index, _ in done] == list(range(given))
        assert len(os.listdir(marks)) == given
        assert {version for _, version in done[:ENOUGH]} == {1}
        assert {version for _, version in done[-ENOUGH:]} == {2}
        until(
            lambda: not workers & {w.pid for name in mesh.names() for w in mesh.workers(name)},
            "the old workers to end",
        )
        file.write_text("raise RuntimeError('out of ink')\n")
        ran = mesh.cli("reload", "--all", expect=1)
        assert "out of ink" in ran.row["error"]
        assert "peer-1 goes on with the agents it had; no further peer was asked" in ran.err
        assert client.call("mark", index=given, folder=str(marks)) == [given, 2]
        watching = mesh.start_cli("reload", "--all", "--watch")
        assert watching.stderr is not None
        assert watching.stdout is not None
        assert watching.stderr.readline().startswith("watching")
        file.write_text(AGENT.format(version=3))
        assert [json.loads(watching.stdout.readline())["replaced"] for _ in "12"] == [True] * 2
        assert client.call("mark", index=given + 1, folder=str(marks)) == [given + 1, 3]
        watching.send_signal(signal.SIGINT)
        assert finish(watching).status == 0
