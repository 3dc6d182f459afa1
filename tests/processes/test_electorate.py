"""The electorate of real peers changes while it decides: it grows, loses one for good, shrinks."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mesh.client import Refused
from mesh.local.ask import ask
from mesh.runtime import launcher
from tests.processes.rig import AGENTS, LocalMesh, local_mesh, start_cli, until

JUDGES = str(AGENTS / "judges.py")


def epoch_at(mesh: LocalMesh, name: str) -> int:
    told = ask(mesh.socket(name), "electorate", timeout_s=5.0)
    return int(told["epoch"])


def electors(mesh: LocalMesh) -> list[str]:
    return [row["name"] for row in mesh.cli("electors", "ls").rows]


def decided(mesh: LocalMesh, by: str, text: str) -> list[str]:
    """Has the mesh decide; who voted."""
    with mesh.client(by) as client:
        decision = client.decide("judge", {"text": text})
    assert (decision.status, decision.outcome) == ("certified", "yes")
    decision.save(mesh.path.parent / f"{text}.cert")
    return [vote.peer for vote in decision.votes]


def grown(mesh: LocalMesh, count: int) -> None:
    """More peers in the folder; all run."""
    launcher.prepare(mesh.path, count, [JUDGES])
    mesh.up()


def test_a_mesh_of_one_grows_and_the_newcomers_know_all_that_was_settled(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 1, [JUDGES]) as mesh:
        with mesh.client() as client:
            assert client.board.strong.compare_and_set("kept", None, "from before")
        grown(mesh, 4)
        row = mesh.cli("electors", "add", "peer-2", "peer-3", "peer-4").row
        assert (row["epoch"], row["quorum"], row["tolerates"], row["by"]) == (2, 3, 1, 1)
        mesh.kill("peer-1")
        with mesh.client("peer-3") as client:
            assert client.board.strong.get("kept") == "from before"
        assert electors(mesh) == ["peer-1", "peer-2", "peer-3", "peer-4"]


@pytest.mark.slow
def test_one_lost_for_good_is_replaced_and_others_are_removed(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 4, [JUDGES]) as mesh:
        with mesh.client() as client:
            for number in range(40):  # more blocks than are shown at one time
                assert client.board.strong.compare_and_set("n", number - 1 if number else None,
                                                           number)  # fmt: skip
        assert decided(mesh, "peer-1", "first") == [f"peer-{n}" for n in range(1, 5)]
        mesh.kill("peer-4")
        lost = mesh.folder.peer("peer-4").id
        shutil.rmtree(mesh.folder.peer_folder("peer-4").path)
        launcher.prepare(mesh.path, 6, [JUDGES])
        launcher.start(mesh.folder, ["peer-5", "peer-6"])
        until(lambda: mesh.state_of("peer-5", "peer-1") == "alive", "peer-5 to be seen")
        row = mesh.cli("electors", "replace", lost, "peer-5").row
        assert row["removed"] == [lost]
        assert electors(mesh) == ["peer-1", "peer-2", "peer-3", "peer-5"]
        with mesh.client("peer-5") as client:
            assert client.board.strong.get("n") == 39
        # Those that decide no more are told who does, and so are those that never did.
        assert decided(mesh, "peer-6", "second") == electors(mesh)
        mesh.cli("electors", "add", "peer-6")
        mesh.cli("electors", "remove", "peer-2")
        for name in ("peer-1", "peer-2", "peer-3", "peer-5", "peer-6"):
            mesh.kill(name)
        launcher.start(mesh.folder, ["peer-1", "peer-2", "peer-3", "peer-5", "peer-6"])
        until(lambda: mesh.state_of("peer-6", "peer-1") == "alive", "all to be back")
        assert electors(mesh) == ["peer-1", "peer-3", "peer-5", "peer-6"]
        assert decided(mesh, "peer-2", "third") == electors(mesh)
        with mesh.client("peer-2") as client, pytest.raises(Refused, match="NotAnElector"):
            client.board.strong.get("n")
        for epoch, text in ((1, "first"), (2, "second"), (4, "third")):
            found = start_cli("verify", str(tmp_path / f"{text}.cert"), "--mesh",
                              str(mesh.path / "root.pub"), "--json")  # fmt: skip
            row = json.loads(found.communicate()[0])
            assert (row["valid"], row["epoch"]) == (True, epoch)


@pytest.mark.slow
def test_without_a_quorum_the_electorate_stays_and_the_verb_says_so(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 3, [JUDGES]) as mesh:
        mesh.kill("peer-3")
        mesh.kill("peer-2")
        ran = mesh.cli("electors", "remove", "peer-3", expect=4, timeout_s=60)
        assert "2 of the 3 electors must agree" in ran.err
        assert len(electors(mesh)) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "peer-1"), "is an elector already"),
        (("remove", "peer-3"), "is no elector"),
        (("remove", "peer-9"), "no member is called"),
        (("remove", "peer-1", "peer-2"), "somebody must decide"),
    ],
)
def test_lists_that_make_no_sense_are_refused(two: LocalMesh, words: Any, said: str) -> None:
    assert said in two.cli("electors", *words, expect=2).err
    assert len(electors(two)) == 2


@pytest.mark.slow
def test_where_a_quorum_is_lost_for_good_others_take_over_with_the_log(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 4, [JUDGES]) as mesh:
        with mesh.client() as client:
            assert client.board.strong.compare_and_set("kept", None, "from before")
        said = mesh.cli("electors", "recover", "peer-1", expect=2).err
        assert "4 of the 4 electors are there, and 3 settle a change" in said
        for name in ("peer-3", "peer-4"):
            mesh.kill(name)
        until(
            lambda: {mesh.state_of(name, "peer-1") for name in ("peer-3", "peer-4")} == {"dead"},
            "both to be dead",
        )
        launcher.prepare(mesh.path, 6, [JUDGES])
        launcher.start(mesh.folder, ["peer-5", "peer-6"])
        until(lambda: mesh.state_of("peer-6", "peer-1") == "alive", "peer-6 to be seen")
        assert "name peer-" in mesh.cli("electors", "recover", "peer-5", expect=2).err
        row = mesh.cli("electors", "recover", "peer-1", "peer-2", "peer-5", "peer-6").row
        assert (row["epoch"], row["quorum"], row["tolerates"], row["before"]) == (17, 3, 1, 4)
        assert sorted(row["lost"]) == sorted(
            mesh.folder.peer(name).id for name in ("peer-3", "peer-4")
        )
        for name in ("peer-1", "peer-5"):
            with mesh.client(name) as client:
                assert client.board.strong.get("kept") == "from before"
        assert decided(mesh, "peer-2", "after") == ["peer-1", "peer-2", "peer-5", "peer-6"]
        found = start_cli("verify", str(tmp_path / "after.cert"), "--mesh",
                          str(mesh.path / "root.pub"), "--json")  # fmt: skip
        assert json.loads(found.communicate()[0])["valid"] is True
        # Those that were lost come back, and see that others decide; nobody is blamed.
        launcher.start(mesh.folder, ["peer-3", "peer-4"])
        mesh.converge()
        until(lambda: epoch_at(mesh, "peer-3") == 17, "peer-3 to hear who decides")
        assert decided(mesh, "peer-3", "late") == ["peer-1", "peer-2", "peer-5", "peer-6"]
        assert electors(mesh) == ["peer-1", "peer-2", "peer-5", "peer-6"]
        assert mesh.cli("peers", "--suspects").rows == []
        mesh.cli("electors", "replace", "peer-6", "peer-4")
        assert electors(mesh) == ["peer-1", "peer-2", "peer-5", "peer-4"]


@pytest.mark.slow
def test_an_elector_that_is_revoked_leaves_by_the_log_first(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 4, [JUDGES]) as mesh:
        row = mesh.cli("revoke", "peer-4").row
        assert (row["elector"], row["left"]) == (False, True)
        assert electors(mesh) == ["peer-1", "peer-2", "peer-3"]
        assert decided(mesh, "peer-1", "without") == ["peer-1", "peer-2", "peer-3"]
        # Without a quorum beside it nothing is waited for.
        mesh.kill("peer-3")
        until(lambda: mesh.state_of("peer-3", "peer-1") == "dead", "peer-3 to be dead")
        row = mesh.cli("revoke", "peer-2").row
        assert (row["elector"], row["left"]) == (True, False)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with local_mesh(tmp_path_factory.mktemp("two"), 2, [JUDGES]) as mesh:
        grown(mesh, 3)
        yield mesh


@pytest.mark.slow
def test_a_voter_on_this_machine_says_why_it_abstained(two: LocalMesh) -> None:
    options = ("--option", "never", "--option", "as little")
    row = two.cli("decide", "judge", "text=x", *options, expect=1).row
    assert row["status"] == "undecided"
    assert [vote["reason"] for vote in row["votes"]] == ["the answer is none of the options"] * 2
    row = two.cli("decide", "judge", "text=x").row
    assert [vote["reason"] for vote in row["votes"]] == [None] * 2


@pytest.mark.slow
def test_a_revoked_elector_is_still_one_and_revoke_says_so(two: LocalMesh) -> None:
    assert two.cli("revoke", "peer-2").row["elector"] is True
    assert two.cli("revoke", "peer-3").row["elector"] is False
    assert len(electors(two)) == 2
