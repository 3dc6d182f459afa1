"""Tasks that are claimed from the blackboard, on real peers of which one is killed."""

from pathlib import Path

import pytest

from mesh.cli.tasks import tell
from tests.processes.rig import LANES, PATIENCE_S, local_mesh, until


@pytest.mark.slow
def test_claimed_work_is_done_though_a_claimer_is_killed(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 4, [LANES]) as mesh, mesh.client("peer-1") as client:
        view = client.options(strategy="board", deadline=PATIENCE_S)
        tasks = [view.submit("hold", seconds=0.1 + n / 1000) for n in range(40)]

        def runs_at_the_victim() -> bool:
            attempts = [each for task in tasks for each in client.why(task.id)["history"]]
            return any((each["peer"], each["status"]) == ("peer-3", "running") for each in attempts)

        until(runs_at_the_victim, "peer-3 has claimed something")
        mesh.kill("peer-3")
        assert [task.result(PATIENCE_S) for task in tasks] == [0.1 + n / 1000 for n in range(40)]
        stories = [client.why(task.id) for task in tasks]
        assert {story["strategy"] for story in stories} == {"board"}
        assert not any(story["lots"] for story in stories)
        assert len({story["producer"] for story in stories}) > 1
        for story in stories:
            claims = {each["lot"]: each["claims"] for each in story["claims"]}
            for attempt in story["history"]:
                given = {each["peer"]: each["given"] for each in claims[attempt["lot"]]}
                assert given[attempt["peer"]] >= 1, "only who claimed is sent a task"
        lines = tell(stories[0])
        assert any("offered on the blackboard" in line for line in lines)
        assert any("claims 1 place" in line for line in lines)
