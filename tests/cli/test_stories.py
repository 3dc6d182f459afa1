"""What `mesh why` prints of a task's story."""

from typing import Any

import pytest

from mesh.cli.tasks import tell


def story(*peers: str) -> dict[str, Any]:
    """A task of peer-1 with an attempt at each of these peers, and one child at peer-1."""
    attempt = {"lot": None, "started": 1.0, "ended": 2.0, "status": "ok", "message": ""}
    return {
        "task": "t1",
        "skill": "nest@1",
        "state": "done",
        "custodian": "peer-1",
        "parent": None,
        "accepted": 1.0,
        "settled": 2.0,
        "producer": peers[-1],
        "incomplete": False,
        "error": None,
        "lots": [],
        "history": [{**attempt, "attempt": n, "peer": peer} for n, peer in enumerate(peers, 1)],
        "children": ["t2"],
    }


@pytest.mark.parametrize(
    ("peers", "told"),
    [
        (["peer-1"], ["  children: t2"]),
        (
            ["peer-3", "peer-1", "peer-2"],
            [
                "  children: t2",
                "  children that it submitted at peer-2, peer-3 are told there only: "
                "`mesh tasks` lists the tasks of all local peers",
            ],
        ),
    ],
)
def test_children_of_attempts_elsewhere_are_said_not_to_be_told(
    peers: list[str], told: list[str]
) -> None:
    assert [line for line in tell(story(*peers)) if "children" in line] == told


def test_the_story_of_an_exclusive_task_tells_its_lease_and_what_it_waits_for() -> None:
    """The key, the token of each attempt, and why it does not run."""
    told = story("peer-1")
    told |= {"state": "accepted", "settled": None, "exclusive": "k", "waits_for": "the electors"}
    told["history"][0]["fencing_token"] = 7340032
    lines = tell(told)
    assert "            exclusive: under the lease 'tasks/k'" in lines
    assert any(line.endswith("attempt 1 at peer-1, under token 7340032") for line in lines)
    assert "  waits for the electors" in lines
