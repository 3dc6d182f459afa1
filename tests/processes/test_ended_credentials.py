"""A peer whose credential ended: while it was down, and while it runs. It comes back as itself."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.storage import authority
from mesh.storage.folder import MeshFolder
from protocols.credentials import CLOCK_TOLERANCE_S, decode_chain
from tests.processes.rig import RUNNING, LocalMesh, finish, start_cli, until

USAGE, FAILED = 2, 1
PATIENCE_S = 90.0
"""Others look at the ends of credentials twice a minute."""
LEFT_S = 15


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[LocalMesh, LocalMesh]]:
    """anna founds the mesh and has two peers; bert joined, and runs."""
    anna, bert = LocalMesh(tmp_path / "anna"), LocalMesh(tmp_path / "bert")
    RUNNING.extend((anna, bert))
    try:
        anna.create(2)
        anna.up()
        token = anna.cli("invite").row["token"]
        ran = finish(start_cli("join", token, "--dir", str(bert.path), "--name", "bert"))
        assert ran.status == 0, ran.err
        bert.cli("up", "--detach")
        until(lambda: anna.state_of("bert", seen_by="peer-1") == "alive", "all to meet")
        yield anna, bert
    finally:
        for mesh in (anna, bert):
            mesh.down()
            RUNNING.remove(mesh)


def sign_old_one(anna: LocalMesh, bert: LocalMesh, left_s: int, patch: pytest.MonkeyPatch) -> None:
    """Leaves a credential in bert's folder to which others listen for so long."""
    place = MeshFolder.open(bert.path).peer_folder("bert")
    _, _, mine = decode_chain(place.credential.read_bytes())
    with patch.context() as patched:
        patched.setattr(authority, "PEER_LIFE_S", left_s - CLOCK_TOLERANCE_S)
        signed = authority.sign_peer(anna.folder, mine.subject, mine.curve)
    place.credential.write_bytes(signed)


def readmit(anna: LocalMesh, bert: LocalMesh) -> None:
    token = anna.cli("invite").row["token"]
    row = bert.cli("join", token, "--name", "bert").row
    assert (row["name"], row["id"]) == ("bert", bert.folder.peer("bert").id)


@pytest.mark.slow
def test_a_peer_whose_credential_ended_while_it_was_down_is_readmitted_with_its_tasks(
    folders: tuple[LocalMesh, LocalMesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert = folders
    task = bert.cli("submit", "sleep", "seconds:=600").row["task"]
    bert.kill("bert")
    sign_old_one(anna, bert, -1, monkeypatch)
    told = bert.cli("up", "--detach", expect=USAGE).err
    assert "admits nobody: it ended 30" in told
    assert f"`mesh join TOKEN --dir {bert.path} --name bert` readmits it" in told
    assert "mesh join TOKEN" in bert.cli("doctor", expect=FAILED).out

    readmit(anna, bert)
    bert.cli("up", "--detach")
    until(lambda: anna.state_of("bert", seen_by="peer-2") == "alive", "bert to be back")
    assert bert.cli("task", task).row["state"] in ("accepted", "running", "waiting")
    bert.cli("cancel", task)
    refused = bert.cli("join", anna.cli("invite").row["token"], "--name", "bert", expect=USAGE)
    assert "has a peer 'bert' of this mesh already" in refused.err


@pytest.mark.slow
def test_a_peer_whose_credential_ends_while_it_runs_is_told_why_and_comes_back_without_a_restart(
    folders: tuple[LocalMesh, LocalMesh], monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, bert = folders
    bert.cli("down")
    sign_old_one(anna, bert, LEFT_S, monkeypatch)
    bert.cli("up", "--detach")
    until(lambda: anna.state_of("bert", seen_by="peer-1") == "alive", "bert to be heard still")
    process = bert.pid("bert")
    until(
        lambda: anna.state_of("bert", seen_by="peer-1") == "dead", "others to be deaf", PATIENCE_S
    )

    (mine, *_) = bert.cli("peers").rows
    assert mine["credential_ends"] < time.time()
    shown = finish(start_cli("peers", "--dir", str(bert.path))).out
    assert "bert: its credential has ended, and nobody listens: `mesh doctor`" in shown
    told = bert.cli("renew", "bert", expect=FAILED).err
    assert "the credential of this peer has ended" in told
    (seen,) = [row for row in anna.cli("doctor", expect=None).rows if row.get("subject") == "bert"]
    assert "its credential has ended" in seen["found"]
    assert "mesh join TOKEN --name bert" in seen["remedy"]

    readmit(anna, bert)
    until(lambda: anna.state_of("bert", seen_by="peer-1") == "alive", "bert to be heard again")
    until(lambda: bert.state_of("peer-1", seen_by="bert") == "alive", "bert to see others again")
    assert anna.cli("call", "echo", "text=hi", "--to", "bert").row["result"] == {"text": "hi"}
    assert bert.pid("bert") == process
