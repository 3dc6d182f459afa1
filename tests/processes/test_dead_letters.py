"""Dead letters on real peers: what dies, what is kept, what is run again."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.client import TaskFailed
from tests.processes.rig import AGENTS, LocalMesh, local_mesh, until_done


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    with local_mesh(tmp_path_factory.mktemp("fragile"), 3, [str(AGENTS / "fragile.py")]) as mesh:
        yield mesh


@pytest.mark.slow
def test_a_dead_letter_outlives_its_custodian_and_is_redriven_under_its_id(
    fragile: LocalMesh, tmp_path: Path
) -> None:
    file = tmp_path / "late"
    with fragile.client("peer-1") as client:
        with pytest.raises(TaskFailed) as caught:
            client.options(key="k").call("needs", path=str(file))
        task = caught.value.task
    fragile.kill("peer-1")
    fragile.up()
    fragile.converge()
    listed = fragile.cli("tasks", "--state", "dead", "--json").out.splitlines()
    assert {"retries"} == {row["reason"] for row in map(json.loads, listed) if row["task"] == task}
    file.write_text("here", encoding="utf-8")
    ran = fragile.cli("redrive", task, "--json")
    assert json.loads(ran.out) == {
        "redriven": [task],
        "refused": [],
    }
    with fragile.client("peer-1") as client:
        row = until_done(client, task)
        assert (row["state"], row["result"], row["attempts"]) == ("done", "here", 1)
        assert client.options(key="k").call("needs", path=str(file)) == "here"
    again = fragile.cli("redrive", task, expect=1)
    assert "done, and no dead letter" in again.err


@pytest.mark.slow
def test_a_task_that_ends_its_workers_is_stopped_after_two_peers(fragile: LocalMesh) -> None:
    with fragile.client() as client:
        with pytest.raises(TaskFailed) as caught:
            client.call("bomb")
        assert (caught.value.state, caught.value.kind) == ("dead", "PoisonTask")
        story = client.why(caught.value.task)
        assert story["reason"] == "poison"
        assert len({attempt["peer"] for attempt in story["history"]}) == 2
