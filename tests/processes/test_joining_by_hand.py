"""Three folders on one machine, joined by the commands of the how-to; and who is refused."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mesh.runtime.serve_file import read_serve_file
from protocols.invitations.token import decode_token
from tests.processes.rig import (
    PATIENCE_S,
    ROOT,
    RUNNING,
    LocalMesh,
    Ran,
    finish,
    start_cli,
    until,
)

DONE, FAILED, USAGE, NO_PEER = range(4)
PAGE = ROOT / "docs" / "how-to" / "many-hosts.md"
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(heading: str) -> list[str]:
    """The commands under one heading of the page."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")
    return FENCE.findall(section[0])


def mesh(*words: str, expect: int = DONE, cwd: Path = ROOT) -> Ran:
    """Runs a verb as a user would, with ``--json``."""
    ran = finish(start_cli(*words, "--json", cwd=cwd, environ={"PYTHONPATH": str(ROOT)}))
    assert ran.status == expect, f"mesh {' '.join(words)}: {ran.err or ran.out}"
    return ran


def shell(script: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a block of the page, with ``mesh`` on the path."""
    tools = cwd / "bin"
    tools.mkdir(exist_ok=True)
    command = tools / "mesh"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mesh.cli "$@"\n')
    command.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def sees_three(each: LocalMesh) -> bool:
    return bool(each.status(each.names()[0]).get("alive") == 3)


@contextlib.contextmanager
def folders(*places: Path) -> Iterator[list[LocalMesh]]:
    """Mesh folders that the test fills; whatever runs from them is stopped."""
    made = [LocalMesh(place) for place in places]
    RUNNING.extend(made)
    try:
        yield made
    finally:
        try:
            for each in made:
                each.down()
        finally:
            for each in made:
                RUNNING.remove(each)


@pytest.fixture(scope="module")
def founder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """A founded mesh whose peer runs; tests that share it leave it running."""
    with folders(tmp_path_factory.mktemp("founder") / "anna") as (anna,):
        mesh("init", "--dir", str(anna.path), "--name", "anna")
        anna.cli("up", "--detach", timeout_s=3 * PATIENCE_S)
        yield anna


def token(founder: LocalMesh, *words: str) -> str:
    return str(founder.cli("invite", *words).row["token"])


def refused(founder: LocalMesh, text: str, folder: Path, status: int, name: str = "bert") -> str:
    ran = mesh("join", text, "--dir", str(folder), "--name", name, expect=status)
    assert ran.out == ""
    assert not folder.exists(), "a refusal leaves the folder as it was"
    return ran.err


@pytest.mark.slow
def test_the_commands_of_the_page_join_three_folders(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("anna", "bert", "carl")]
    with folders(*places) as meshes:
        joins, ends = blocks("First on one machine")
        ran = shell(joins, tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert '"text": "hello"' in ran.stdout
        for each in meshes:
            until(partial(sees_three, each), f"{each.path.name} to see all")
        ids = {each.cli("peers").rows[0]["id"] for each in meshes}
        assert len(ids) == 3
        assert len({each.folder.read().mesh for each in meshes}) == 1
        assert not (places[1] / "issuer.key").exists()
        # Whoever was met first may be gone when a peer starts again.
        meshes[0].kill("anna")
        meshes[2].cli("down")
        meshes[2].cli("up", "--detach")
        until(lambda: meshes[2].state_of("bert", seen_by="carl") == "alive", "carl to find bert")
        ended = shell(ends, tmp_path)
        assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_a_token_is_used_once_even_over_kill_nine(founder: LocalMesh, tmp_path: Path) -> None:
    text = token(founder)
    mesh("join", text, "--dir", str(tmp_path / "one"), "--name", "one")
    assert "used: somebody joined" in refused(founder, text, tmp_path / "two", FAILED)
    founder.kill("anna")
    founder.cli("up", "--detach")
    assert "used: somebody joined" in refused(founder, text, tmp_path / "two", FAILED)


@pytest.mark.slow
def test_an_invitation_outlives_its_peers_restart(founder: LocalMesh, tmp_path: Path) -> None:
    text = token(founder)
    founder.kill("anna")
    assert "nobody-answers" in refused(founder, text, tmp_path / "late", NO_PEER)
    founder.cli("up", "--detach")
    mesh("join", text, "--dir", str(tmp_path / "late"), "--name", "late")


@pytest.mark.slow
def test_an_expired_token_is_told(founder: LocalMesh, tmp_path: Path) -> None:
    text = token(founder, "--valid", "1s")

    ends = decode_token(text).not_after_s + 1
    until(lambda: time.time() > ends, "the token's second to pass")
    assert "expired: the token ended" in refused(founder, text, tmp_path / "late", FAILED)


@pytest.mark.slow
def test_a_garbled_token_is_told(founder: LocalMesh, tmp_path: Path) -> None:
    text = token(founder)
    for garbled in (text[:-3], text[:40] + text[41:], "mesh1_", "hello"):
        assert "token" in refused(founder, garbled, tmp_path / "new", USAGE)


@pytest.mark.slow
def test_a_peer_that_was_down_when_it_was_revoked_hears_of_it_at_the_first_door_and_ends(
    founder: LocalMesh, tmp_path: Path
) -> None:
    with folders(tmp_path / "emil") as (emil,):
        mesh("join", token(founder), "--dir", str(emil.path), "--name", "emil")
        emil.cli("up", "--detach")
        until(lambda: founder.state_of("emil", seen_by="anna") == "alive", "anna to see emil")
        emil.kill("emil")
        founder.cli("revoke", emil.folder.peer("emil").id, "--reason", "the laptop was stolen")
        emil.cli("up", "--detach")
        until(lambda: not emil.pid("emil"), "the revoked peer to end")
        assert "was revoked (the laptop was stolen)" in emil.log("emil")
        again = emil.cli("up", "--detach", expect=FAILED)
        assert "there is no peer to start" in again.err
        assert "(the laptop was stolen)" in again.err
        assert [row["state"] for row in emil.cli("peers", expect=NO_PEER).rows] == ["revoked"]


@pytest.mark.slow
def test_a_token_for_another_mesh_than_the_folders_is_told(
    founder: LocalMesh, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    mesh("init", "--dir", str(other), "--name", "theirs")
    before = sorted(path.name for path in other.rglob("*"))
    ran = mesh("join", token(founder), "--dir", str(other), "--name", "bert", expect=USAGE)
    assert "holds another one" in ran.err
    assert sorted(path.name for path in other.rglob("*")) == before


@pytest.mark.slow
def test_a_name_that_is_taken_is_told_and_the_token_stays_good(
    founder: LocalMesh, tmp_path: Path
) -> None:
    text = token(founder)
    told = refused(founder, text, tmp_path / "new", FAILED, name="anna")
    assert "name-taken" in told
    mesh("join", text, "--dir", str(tmp_path / "new"), "--name", "other-anna")


@pytest.mark.slow
def test_a_peer_that_joined_does_not_invite_and_says_who_does(
    founder: LocalMesh, tmp_path: Path
) -> None:
    place = tmp_path / "guest"
    mesh("join", token(founder), "--dir", str(place), "--name", "guest")
    ran = mesh("invite", "--dir", str(place), expect=USAGE)
    assert "is an issuer" in ran.err
    assert "where the mesh was founded" in ran.err


@pytest.mark.slow
def test_an_invitation_needs_a_peer_that_runs(tmp_path: Path) -> None:
    mesh("init", "--dir", str(tmp_path / "alone"), "--name", "alone")
    ran = mesh("invite", "--dir", str(tmp_path / "alone"), expect=NO_PEER)
    assert "the peer that invites must run" in ran.err


@pytest.mark.slow
def test_a_peer_is_served_by_its_file_in_the_foreground(founder: LocalMesh, tmp_path: Path) -> None:
    place = tmp_path / "served"
    mesh("join", token(founder), "--dir", str(place), "--name", "served")
    config = tmp_path / "mesh.toml"
    config.write_text(
        'dir = "served"\nrecording = 0\ndurability = "disk"\ndrain = 1\n'
        '[listen]\nhost = "0.0.0.0"\n[advertise]\nhost = "localhost"\n'
    )
    with folders(place) as (served,):
        process = start_cli("serve", "--config", str(config), environ={"PYTHONPATH": str(ROOT)})
        assert process.stdout is not None
        card = json.loads(process.stdout.readline())
        assert (card["name"], card["pid"]) == ("served", process.pid)
        assert card["address"].startswith("tcp://localhost:")
        until(lambda: served.state_of("anna", seen_by="served") == "alive", "served to meet anna")
        until(lambda: founder.state_of("served", seen_by="anna") == "alive", "anna to meet it")
        ran = served.cli("call", "echo", "text=hi", "--to", "anna").row
        assert ran["result"] == {"text": "hi"}
        assert founder.cli("call", "echo", "--to", "served").row["state"] == "done"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 0, err
        assert "stops" in err
        until(lambda: founder.state_of("served", seen_by="anna") == "left", "its goodbye")
        assert not (place / "peers" / "served" / "recording").exists()


def test_a_mistake_in_the_file_is_told_before_anything_starts(tmp_path: Path) -> None:
    config = tmp_path / "mesh.toml"
    config.write_text('dir = "here"\n[listen]\nprot = 7400\n')
    ran = finish(start_cli("serve", "--config", str(config)))
    assert ran.status == USAGE
    assert "there is no key listen.prot" in ran.err
    config.write_text('dir = "here"\n')
    ran = finish(start_cli("serve", "--config", str(config)))
    assert ran.status == USAGE
    assert "mesh join TOKEN" in ran.err


def test_the_file_that_is_shipped_is_right() -> None:
    found = read_serve_file(ROOT / "docs" / "deploy" / "mesh.toml")
    assert found.serving().shown_host == "berlin.example.org"


@pytest.mark.slow
def test_a_founded_folder_is_not_founded_twice(tmp_path: Path) -> None:
    place = tmp_path / "once"
    first = mesh("init", "--dir", str(place), "--name", "one").row
    assert set(first) == {"mesh", "name", "id", "dir"}
    assert "holds a mesh already" in mesh("init", "--dir", str(place), expect=USAGE).err
    assert (
        "cannot name a peer"
        in mesh("init", "--dir", str(tmp_path / "no"), "--name", "a/b", expect=USAGE).err
    )
    assert not (tmp_path / "no").exists()
