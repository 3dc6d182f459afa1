"""What agents ask for their work, and what happens while their backend is down."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes.rig import AGENTS, LocalMesh, local_mesh, until

PRICED = str(AGENTS / "priced.py")
PEERS = ("peer-1", "peer-2", "peer-3")

Say = Callable[[str, str, str], None]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which the agents find what is said to them."""
    folder = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRICED_FOLDER", str(folder))
        yield folder


@pytest.fixture(scope="module")
def say(words: Path) -> Say:
    """Says something to the agent of one peer."""

    def write(peer: str, kind: str, text: str) -> None:
        draft = words / f"{peer}.draft"
        draft.write_text(text)
        draft.replace(words / f"{peer}.{kind}")

    return write


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, words: Path) -> Iterator[LocalMesh]:
    """The first peer is a custodian without agents; the others have the same one."""
    with local_mesh(tmp_path_factory.mktemp("m"), 3, [f"{PRICED}@peer-2,peer-3"]) as made:
        yield made


def events(mesh: LocalMesh, peer: str, kind: str) -> list[dict[str, Any]]:
    path = mesh.path / "peers" / peer / "events.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["event"] == kind]


def bids(mesh: LocalMesh, task: str) -> dict[str, float]:
    """Who asked how many milliseconds in the lot of a task; nothing where it kept a slot."""
    story = mesh.cli("why", task).row
    return {bid["bidder"]: bid["completion_ms"] for lot in story["lots"] for bid in lot["bids"]}


def no_slot_is_held(mesh: LocalMesh) -> bool:
    """Whether every slot that was granted has been given back: the next task needs a lot."""
    granted: dict[str, int] = {}
    for peer in PEERS:
        for row in events(mesh, peer, "auction.slots-granted"):
            granted[row["lot"]] = row["slots"]
    return not any(granted.values())


def winner(mesh: LocalMesh) -> tuple[str, dict[str, float]]:
    """Who runs a task with a lot of its own, and what was asked."""
    until(lambda: no_slot_is_held(mesh), "all slots are given back")
    with mesh.client("peer-1") as client:
        task = client.submit("where")
        return task.result(20), bids(mesh, task.id)


def asks(mesh: LocalMesh, peer: str, least_ms: float, most_ms: float) -> str:
    """Waits until a peer bids between these numbers, and says who wins then."""
    found: list[str] = []

    def does() -> bool:
        won, asked = winner(mesh)
        found.append(won)
        return least_ms <= asked.get(peer, -1) <= most_ms

    until(does, f"{peer} asks {least_ms:g} to {most_ms:g} ms")
    return found[-1]


@pytest.mark.slow
def test_the_cheaper_agent_gets_the_work_and_a_hanging_handler_asks_what_was_measured(
    mesh: LocalMesh, say: Say
) -> None:
    say("peer-2", "price", "30")
    say("peer-3", "price", "0.5")
    assert asks(mesh, "peer-2", 30_000, 30_000) == "peer-3"
    say("peer-3", "price", "60")
    assert asks(mesh, "peer-3", 60_000, 60_000) == "peer-2"
    # One that does not answer in time has no price of its own, and is told of once.
    say("peer-3", "price", "hang")
    assert asks(mesh, "peer-3", 0, 1_000) == "peer-3"
    (failed,) = events(mesh, "peer-3", "agent.bid-failed")
    assert failed["agent"] == "priced"
    assert "did not answer in 0.2 s" in failed["reason"]


def rows(mesh: LocalMesh) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in mesh.cli("peers").rows}


@pytest.mark.slow
def test_a_sick_backend_takes_no_work_and_its_peer_is_as_well_as_before(
    mesh: LocalMesh, say: Say
) -> None:
    with mesh.client("peer-1") as client:
        running = client.options(to="peer-2").submit("where", seconds=1.0)
        until(lambda: mesh.workers("peer-2"), "it runs")
        say("peer-2", "sick", "the model does not answer")
        until(
            lambda: (
                rows(mesh)["peer-1"]["alive"] == 3
                and "where@1" in mesh_member(mesh, "peer-1", "peer-2")["sick"]
            ),
            "the others hear of it",
        )
        row = rows(mesh)["peer-2"]
        assert (row["state"], row["skills"], row["sick"]) == ("alive", ["where@1"], ["where@1"])
        assert row["ailing"] == [{"agent": "priced", "reason": "the model does not answer"}]
        assert set(client.map("where", [{}] * 20)) == {"peer-3"}
        assert running.result(20) == "peer-2", "what ran was left alone"
        (sick,) = events(mesh, "peer-2", "agent.sick")
        assert sick["reason"] == "the model does not answer"

        # Where all are sick, tasks wait.
        say("peer-3", "sick", "nor does this one")
        until(lambda: mesh_member(mesh, "peer-1", "peer-3")["sick"], "they hear of the other one")
        waiting = client.submit("where")
        say("peer-2", "sick", "")
        assert waiting.result(20) == "peer-2"
        until(lambda: not mesh_member(mesh, "peer-1", "peer-2")["sick"], "it is told to be well")
        assert len(events(mesh, "peer-2", "agent.well")) == 1


def mesh_member(mesh: LocalMesh, seen_by: str, name: str) -> dict[str, Any]:
    members = {member["name"]: member for member in mesh.status(seen_by)["members"]}
    found: dict[str, Any] = members[name]
    return found
