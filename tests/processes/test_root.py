"""The root's key is rotated under real peers in three folders, and a fourth joins afterwards."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mesh.local.ask import ask
from mesh.storage.folder import MeshFolder
from protocols.credentials import decode_chain
from tests.processes.rig import RUNNING, LocalMesh, finish, start_cli, until

PATIENCE_S = 60.0


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[dict[str, LocalMesh]]:
    """anna founds and has two peers, bert is a named issuer, carl is an ordinary member."""
    meshes = {name: LocalMesh(tmp_path / name) for name in ("anna", "bert", "carl", "dora")}
    RUNNING.extend(meshes.values())
    try:
        meshes["anna"].create(2)
        meshes["anna"].up()
        for name in ("bert", "carl"):
            join(meshes, name)
        until(lambda: alive(meshes["anna"], "peer-1") == 4, "all to meet")
        meshes["anna"].cli("issuer", "add", "bert")
        until(lambda: roots_and_issuers(meshes["bert"], "bert")[1], "bert to know of it")
        yield meshes
    finally:
        for mesh in meshes.values():
            mesh.down()
            RUNNING.remove(mesh)


def join(meshes: dict[str, LocalMesh], name: str) -> None:
    token = meshes["anna"].cli("invite").row["token"]
    mesh = meshes[name]
    ran = finish(start_cli("join", token, "--dir", str(mesh.path), "--name", name), PATIENCE_S)
    assert ran.status == 0, ran.err
    start(mesh)


def start(mesh: LocalMesh) -> None:
    ran = finish(start_cli("up", "--dir", str(mesh.path), "--detach"), PATIENCE_S)
    assert ran.status == 0, ran.err


def alive(mesh: LocalMesh, name: str) -> int:
    return int(mesh.status(name).get("alive", 0))


def signer(mesh: LocalMesh, name: str) -> bytes:
    """The root that a peer's credential goes back to."""
    folder = MeshFolder.open(mesh.path)
    chain, _, _ = decode_chain(folder.peer_folder(name).credential.read_bytes())
    return chain.issuer.signer


def roots_and_issuers(mesh: LocalMesh, name: str) -> tuple[list[str], list[str]]:
    told = ask(mesh.socket(name), "trust", timeout_s=5.0)
    return [row["id"] for row in told["roots"]], [row["id"] for row in told["issuers"]]


def knows(mesh: LocalMesh, name: str, root: str) -> bool:
    return root in roots_and_issuers(mesh, name)[0]


@pytest.mark.slow
def test_a_new_root_is_believed_by_all_by_who_was_down_and_by_who_comes_later(
    folders: dict[str, LocalMesh],
) -> None:
    anna, bert, carl, dora = folders.values()
    first = signer(bert, "bert")
    carl.cli("down")

    row = anna.cli("root", "rotate", "--retire-after", "7d").row
    assert (row["renewed"], row["issuers"]) == (["peer-1", "peer-2"], [bert.folder.peer("bert").id])
    assert signer(anna, "peer-1") == signer(anna, "peer-2") != first
    until(lambda: roots_and_issuers(bert, "bert")[0] == [row["predecessor"], row["root"]], "news")
    assert signer(bert, "bert") == first, "both count"
    assert row["electors_named_anew"]
    assert anna.cli("electors", "add", "bert").row["epoch"] == 3
    refused = anna.cli("electors", "remove", "bert", "--root-key", row["old_key"], expect=2)
    assert "is not the present root's key" in refused.err
    assert anna.cli("call", "echo", "text=hi", "--to", "bert").row["result"] == {"text": "hi"}
    bert.cli("renew", "bert")
    assert signer(bert, "bert") == signer(anna, "peer-1")

    start(carl)
    until(lambda: alive(carl, "carl") == 4, "who knows nothing of the new root to believe it")
    join(folders, "dora")
    until(lambda: alive(dora, "dora") == 5, "a newcomer to meet all")
    assert signer(dora, "dora") == signer(anna, "peer-1"), "new invitations use the new root"
    assert dora.cli("call", "echo", "text=hi", "--to", "carl").row["result"] == {"text": "hi"}

    again = anna.cli("root", "rotate", "--retire-after", "7d").row
    assert again["predecessor"] == row["root"]
    assert again["electors_named_anew"]
    for mesh, name in ((bert, "bert"), (carl, "carl"), (dora, "dora")):
        until(partial(knows, mesh, name, again["root"]), "news again")
        mesh.cli("renew", name)
        assert signer(mesh, name) == signer(anna, "peer-1")
    for mesh in (anna, bert, carl, dora):
        mesh.cli("down")
    for mesh in (dora, carl, bert, anna):
        start(mesh)
    until(lambda: alive(anna, "peer-1") == 5, "all to be there again")
    assert {each["epoch"] for each in anna.cli("electors", "ls").rows} == {4}
    assert anna.cli("electors", "remove", "bert").row["epoch"] == 5
    refused = carl.cli("root", "rotate", expect=2)
    assert "only the mesh's root may do this" in refused.err


@pytest.mark.slow
def test_a_rotation_that_was_interrupted_is_ended_by_the_next(
    folders: dict[str, LocalMesh],
) -> None:
    anna, bert, *_ = folders.values()
    credential = anna.folder.issuer_credential
    # What it writes after all have heard cannot be written.
    aside = credential.read_bytes()
    credential.unlink()
    credential.mkdir()
    anna.cli("root", "rotate", expect=2)
    credential.rmdir()
    credential.write_bytes(aside)
    told = roots_and_issuers(anna, "peer-1")[0]
    assert len(told) == 2
    row = anna.cli("root", "rotate").row
    assert [row["predecessor"], row["root"]] == told
    until(lambda: roots_and_issuers(bert, "bert")[0] == told, "the same root everywhere")
    another = anna.path / "another.key"
    another.write_bytes((anna.path / "issuer.key").read_bytes())
    assert "root-key" in anna.cli("root", "rotate", "--root-key", str(another), expect=2).err
    wrong = anna.cli("root", "rotate", "--root-key", row["old_key"], expect=2)
    assert "is not the present root's key" in wrong.err
