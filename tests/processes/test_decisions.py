"""Decisions of real peers: with f of them killed, lying, restarted in the middle."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.client import Client, Decision, Refused
from protocols.quorum import tolerated
from tests.processes.rig import AGENTS, PATIENCE_S, LocalMesh, local_mesh, until

JUDGES, LIARS = AGENTS / "judges.py", AGENTS / "liars.py"


@pytest.fixture(scope="module", params=[4, pytest.param(5, marks=pytest.mark.slow)])
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalMesh]:
    """n peers, of which the last f lie."""
    n = request.param
    names = [f"peer-{number}" for number in range(1, n + 1)]
    honest, lying = names[: -tolerated(n)], names[-tolerated(n) :]
    agents = [f"{JUDGES}@{','.join(honest)}", f"{LIARS}@{','.join(lying)}"]
    with local_mesh(tmp_path_factory.mktemp(f"bench-{n}"), n, agents) as mesh:
        yield mesh


@pytest.fixture(autouse=True)
def all_up(bench: LocalMesh) -> None:
    bench.up()


def liars(bench: LocalMesh) -> list[str]:
    names = bench.names()
    return names[-tolerated(len(names)) :]


def verified(bench: LocalMesh, decision: Decision, path: Path) -> dict[str, object]:
    """What `mesh verify` says of it, in a folder without a mesh."""
    file, root = decision.save(path / "decision.cert"), path / "root.pub"
    shutil.copy(bench.path / "root.pub", root)
    row: dict[str, object] = bench.cli("verify", str(file), "--mesh", str(root), "--json").row
    return row


def test_f_that_lie_are_dissent_and_change_nothing(bench: LocalMesh, tmp_path: Path) -> None:
    with bench.client("peer-1") as client:
        decision = client.decide("judge", {"text": "x"})
    n = len(bench.names())
    assert (decision.status, decision.outcome, decision.tolerates) == ("certified", "yes", 1)
    assert decision.margin == n - 2
    assert [vote.peer for vote in decision.dissent] == liars(bench)
    assert {vote.confidence for vote in decision.votes} == {0.75, 1.0}
    assert verified(bench, decision, tmp_path)["valid"] is True


@pytest.mark.slow
def test_an_input_that_does_not_fit_the_skill_opens_no_ballot(bench: LocalMesh) -> None:
    with bench.client("peer-1") as client, pytest.raises(Refused, match="text") as refused:
        client.decide("judge", {"other": "x"})
    assert refused.value.kind == "InvalidInput"


@pytest.mark.slow
def test_a_changed_certificate_proves_nothing(bench: LocalMesh, tmp_path: Path) -> None:
    with bench.client("peer-2") as client:
        decision = client.decide("judge", {"text": "x"})
    bent = bytearray(decision.certificate)
    bent[len(bent) // 3] ^= 4
    (tmp_path / "bent.cert").write_bytes(bytes(bent))
    ran = bench.cli(
        "verify", str(tmp_path / "bent.cert"), "--mesh", str(bench.path), "--json", expect=1
    )
    assert ran.row["valid"] is False
    assert ran.row["reason"]
    ran = bench.cli("verify", str(tmp_path / "bent.cert"), "--mesh", "nowhere.pub", expect=2)
    assert "there is no nowhere.pub: give --mesh" in ran.err


@pytest.mark.slow
def test_a_killed_peer_is_not_waited_for(bench: LocalMesh, tmp_path: Path) -> None:
    victim = liars(bench)[0]
    bench.kill(victim)
    with bench.client("peer-1") as client:
        decision = client.decide("judge", {"text": "x"}, close=PATIENCE_S)
    assert (decision.status, decision.outcome) == ("certified", "yes")
    assert decision.missing == [victim]
    assert verified(bench, decision, tmp_path)["outcome"] == "yes"


@pytest.mark.slow
def test_an_elector_restarted_in_the_middle_signs_nothing_against_itself(
    bench: LocalMesh, tmp_path: Path
) -> None:
    marks, gate = tmp_path / "marks", tmp_path / "gate"
    found: list[Decision] = []
    with bench.client("peer-1") as client:
        inputs = {"path": str(marks), "gate": str(gate)}
        thread = threading.Thread(
            target=lambda: found.append(client.decide("hold_judgement", inputs, close=PATIENCE_S))
        )
        thread.start()
        honest = len(bench.names()) - len(liars(bench))
        until(lambda: marks.exists() and len(marks.read_text().split()) == honest, "all to begin")
        bench.kill("peer-2")
        bench.up()
        gate.touch()
        thread.join(2 * PATIENCE_S)
        (decision,) = found
        again = client.decide("judge", {"text": "x"})
    # It leans only where the restarted one was thought dead a moment too long.
    assert decision.status in ("certified", "leaning"), decision.votes
    assert decision.outcome == "yes"
    assert not any(vote.contradicts for vote in decision.votes)
    assert (again.status, again.outcome) == ("certified", "yes")
    assert "signed against itself" not in bench.log("peer-1")


def test_without_a_quorum_a_decision_is_refused_at_once(bench: LocalMesh) -> None:
    others = bench.names()[1:3]
    for name in others:
        bench.kill(name)
    until(
        lambda: all(bench.state_of(name, "peer-1") != "alive" for name in others),
        "the deaths to be known",
    )
    with bench.client("peer-1") as client:
        with pytest.raises(Refused, match="electors are alive") as refused:
            client.decide("judge", {"text": "x"})
        assert refused.value.kind == "NoQuorum"


def test_the_verbs_print_what_scripts_rely_on(bench: LocalMesh, tmp_path: Path) -> None:
    file = tmp_path / "proof.cert"
    ran = bench.cli(
        "decide", "judge", "text=x", "--rule", "supermajority:2/3", "--voters",
        str(len(bench.names())), "--certificate", str(file), "--json",
    )  # fmt: skip
    assert ran.row["outcome"] == "yes"
    assert ran.row["status"] in ("certified", "leaning")
    assert ran.row["certificate"] == str(file)
    assert {"margin", "votes", "dissent", "error"} <= ran.row.keys()
    undecided = bench.cli(
        "decide", "judge", "text=x", "--rule", "unanimous", "--json",
        expect=1,
    )  # fmt: skip
    assert (undecided.row["status"], undecided.row["outcome"]) == ("undecided", None)
    wrong = bench.cli("decide", "judge", "text=x", "--rule", "best", "--json", expect=2)
    assert json.loads(wrong.out)["error"]["kind"] == "InvalidBallot"


@pytest.mark.slow
def test_why_and_trace_tell_each_voters_own_story_by_the_ballots_id(bench: LocalMesh) -> None:
    ballot = bench.cli("decide", "judge", "text=x").row["ballot"]
    story = bench.cli("why", ballot).row
    assert (story["skill"], story["outcome"], story["status"]) == ("judge@1", "yes", "certified")
    assert [voter["peer"] for voter in story["voters"]] == bench.names()
    stories = [voter["story"] for voter in story["voters"]]
    assert [each["custodian"] for each in stories] == bench.names()
    tasks = {each["task"] for each in stories}
    assert len(tasks) == len(stories)
    assert bench.cli("why", ballot[:16]).row == story
    # The events of a moment ago may not be in their files yet.
    until(
        lambda: {row["task"] for row in bench.cli("trace", ballot, expect=None).rows} == tasks,
        "all to be told",
    )
    for peer, each in zip(bench.names(), stories, strict=True):
        told = bench.cli("why", each["task"]).row
        assert (told["custodian"], told["producer"]) == (peer, peer)
    strange = bench.cli("why", "0" * 64, expect=1)
    assert "no peer of this folder has answered in a ballot 000" in strange.err


@pytest.mark.slow
def test_all_restarted_at_once_decide_again(bench: LocalMesh) -> None:
    for name in bench.names():
        bench.kill(name)
    bench.up()
    with Client(dir=bench.path) as client:
        assert client.decide("judge", {"text": "x"}).outcome == "yes"
