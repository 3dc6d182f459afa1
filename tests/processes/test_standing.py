"""Who may take part, on real peers: revoked, renewed by another issuer, drained."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from mesh.local.ask import ask
from mesh.local.errors import Refused
from mesh.runtime.sockets import curve_keys_from_secret
from mesh.storage.keys import load_peer_keys
from tests.processes.intruders import knock
from tests.processes.rig import CREW, LocalMesh, local_mesh, until


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """Five peers with the crew; each test takes another one out."""
    with local_mesh(tmp_path_factory.mktemp("members"), 5, [CREW]) as mesh:
        yield mesh


def ends_of(mesh: LocalMesh, name: str) -> int:
    """When a peer's credential ends."""
    told = ask(mesh.socket(name), "trust", timeout_s=5.0)
    return int(told["credential"]["ends"])


def issuers_of(mesh: LocalMesh) -> set[str]:
    return {row["id"] for row in mesh.cli("issuer", "ls").rows if row["state"] == "issuer"}


def until_unknown(mesh: LocalMesh, name: str, to: str) -> None:
    until(lambda: not mesh.state_of(name, seen_by=to), f"{to} to have no such member")


@pytest.mark.slow
def test_a_peer_renews_at_an_issuers_door_and_no_link_breaks(members: LocalMesh) -> None:
    members.cli("issuer", "add", "peer-1")
    aside = members.folder.issuer_key.with_name("aside")
    members.folder.issuer_key.rename(aside)
    try:
        before = ends_of(members, "peer-2")
        boots = [m["incarnation"] for m in members.status("peer-2")["members"]]
        time.sleep(1)  # a credential's times are whole seconds
        row = members.cli("renew", "peer-2").row
        assert row["by"] == members.folder.peer("peer-1").id
        assert ends_of(members, "peer-2") > before
        assert members.cli("call", "add", "a:=1").row["result"] == 2
        assert [m["incarnation"] for m in members.status("peer-2")["members"]] == boots
    finally:
        aside.rename(members.folder.issuer_key)


@pytest.mark.slow
def test_a_drained_peer_finishes_and_leaves_and_nothing_is_lost(
    members: LocalMesh, tmp_path: Path
) -> None:
    with members.client("peer-1", "peer-2") as client:
        inputs = [{"path": str(tmp_path), "index": i, "seconds": 0.02} for i in range(300)]
        results = client.map("mark_index", inputs)
        first = [next(results) for _ in range(20)]
        assert members.cli("drain", "peer-3", "--wait").row["state"] == "left"
        assert first + list(results) == list(range(300))
    assert members.state_of("peer-3", seen_by="peer-1") == "left"
    assert members.status("peer-3")["state"] == "left"
    with members.client("peer-3", "peer-1") as client:
        assert client.home == "peer-3"
        assert client.call("add", a=1) == 2
        assert client.home == "peer-1"
    with members.client("peer-3") as client, pytest.raises(Refused, match="being stopped"):
        client.call("add", a=1)
    refused = members.cli("drain", "peer-9", expect=2)
    assert "no peer 'peer-9'" in refused.err
    assert members.cli("down", "peer-3").row["stopped"] == ["peer-3"]


def test_a_revoked_peer_is_cut_off_while_it_sleeps_and_ends_when_it_wakes(
    members: LocalMesh, tmp_path: Path
) -> None:
    with members.client("peer-1", "peer-2") as client:
        inputs = [{"path": str(tmp_path), "index": i, "seconds": 0.01} for i in range(300)]
        results = client.map("mark_index", inputs)
        first = [next(results) for _ in range(20)]
        members.signal("peer-4", signal.SIGSTOP)
        row = members.cli("revoke", "peer-4", "--reason", "left the company").row
        assert row["id"] == members.folder.peer("peer-4").id
        for other in ("peer-1", "peer-2", "peer-5"):
            until_unknown(members, "peer-4", other)
        assert first + list(results) == list(range(300))
    keys = load_peer_keys(members.folder.peer_folder("peer-4").key)
    credential = members.folder.peer_folder("peer-4").credential.read_bytes()
    curve = curve_keys_from_secret(keys.curve_secret)
    assert trio.run(knock, members, "peer-5", credential, curve) == "revoked"
    members.signal("peer-4", signal.SIGCONT)
    until(lambda: not members.pid("peer-4"), "the revoked peer to end")
    assert "was revoked (left the company)" in members.log("peer-4")


@pytest.mark.slow
def test_a_revocation_survives_restarts_and_nobody_starts_who_was_revoked(
    members: LocalMesh,
) -> None:
    gone = members.folder.peer("peer-4")
    if members.pid("peer-4"):  # the test before did not run
        members.cli("revoke", "peer-4")
        until(lambda: not members.pid("peer-4"), "the revoked peer to end")
    members.kill("peer-5")
    told = members.cli("up", "--detach")
    assert "revoked, and not started: peer-4" in told.err
    assert not members.pid("peer-4")
    for name in ("peer-1", "peer-5"):
        kept = ask(members.socket(name), "trust", timeout_s=5.0)["revocations"]
        assert [row["id"] for row in kept] == [gone.id]
    states = {row["name"]: row["state"] for row in members.cli("peers").rows}
    assert states["peer-4"] == "revoked"


@pytest.mark.slow
def test_a_revoked_issuer_is_replaced_where_its_key_was_and_its_peers_stay(
    members: LocalMesh,
) -> None:
    before = issuers_of(members)
    (issuer,) = [r for r in members.cli("issuer", "ls").rows if r["name"] == "issuer.key"]
    assert members.cli("revoke", issuer["id"]).row["issuer"] is True
    members.converge()
    # An earlier test may have named others, or may not have run in this process.
    after = issuers_of(members)
    assert (before - after, len(after - before)) == ({issuer["id"]}, 1)
    assert members.cli("call", "add", "a:=1").row["result"] == 2


@pytest.mark.slow
def test_without_a_running_peer_and_with_wrong_words_it_says_what_to_try(
    members: LocalMesh,
) -> None:
    assert members.cli("revoke", expect=2).status == 2
    assert "no member is called" in members.cli("revoke", "nobody", expect=2).err
    assert (
        "--root-key"
        in members.cli("issuer", "add", "peer-1", "--root-key", "nowhere", expect=2).err
    )
