"""Electors that cannot be trusted: on an older copy of their folder, and signing twice."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from mesh.client import Decision
from mesh.storage.electorate import load_electorate
from mesh.storage.keys import load_key, load_peer_keys
from protocols.identity import Ed25519Keyring, peer_of_text
from protocols.voting.answers import sign_answer
from protocols.voting.ballot_messages import Vote
from protocols.voting.roll import open_bundle
from protocols.wire import encode, encode_frame
from tests.processes.accusations import accusations
from tests.processes.intruders import admitted
from tests.processes.rig import AGENTS, PATIENCE_S, LocalMesh, local_mesh, until

pytestmark = pytest.mark.slow

JUDGES = AGENTS / "judges.py"


def events(mesh: LocalMesh, name: str, kind: str) -> list[dict[str, Any]]:
    """What a peer wrote of one kind."""
    file = mesh.folder.peer_folder(name).events
    lines = map(json.loads, file.read_bytes().splitlines())
    return [line for line in lines if line["event"] == kind]


def suspects(mesh: LocalMesh) -> list[dict[str, Any]]:
    ran = mesh.cli("peers", "--suspects", "--json")
    return [json.loads(line) for line in ran.out.splitlines()]


def standing(mesh: LocalMesh, name: str) -> str:
    return str(mesh.status(name)["standing"]["state"])


def test_an_elector_on_an_older_copy_of_its_folder_conflicts_with_nobody(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 4, [str(JUDGES)]) as mesh:
        home = mesh.folder.peer_folder("peer-1").path
        with mesh.client("peer-2") as client:
            assert client.decide("judge", {"text": "before"}).outcome == "yes"
            assert client.board.strong.compare_and_set("k", None, 1)
        mesh.kill("peer-1")
        shutil.copytree(home, tmp_path / "copy")
        mesh.up()
        until(lambda: standing(mesh, "peer-1") == "signs", "its return")
        assert not events(mesh, "peer-1", "voting.disk-found-old")
        with mesh.client("peer-2") as client:
            for number in range(5):
                assert client.decide("judge", {"text": str(number)}).outcome == "yes"
                assert client.board.strong.compare_and_set("k", number + 1, number + 2)
        mesh.kill("peer-1")
        until(lambda: mesh.state_of("peer-1", "peer-2") == "dead", "its death to be known")
        shutil.rmtree(home)
        shutil.copytree(tmp_path / "copy", home)
        mesh.up()
        readmitted = "voting.readmitted"
        until(lambda: len(events(mesh, "peer-1", readmitted)) == 2, "its readmission")
        assert standing(mesh, "peer-1") == "signs"
        found = {line["where"] for line in events(mesh, "peer-1", "voting.disk-found-old")}
        assert found == {"ballots", "log"}
        ran = mesh.cli("doctor", "--json", expect=None)
        told = [json.loads(line) for line in ran.out.splitlines()]
        assert [each["subject"] for each in told if each["check"] == "elector"] == ["peer-1"]

        for name in ("peer-1", "peer-2"):
            with mesh.client(name) as client:
                decision = client.decide("judge", {"text": f"after at {name}"})
                assert (decision.status, decision.outcome) == ("certified", "yes")
                assert len(decision.votes) == 4, "it votes again"
                value = client.board.strong.get("k")
                assert client.board.strong.compare_and_set("k", value, value + 1)
        assert suspects(mesh) == []
        assert accusations(mesh.path) == []


async def test_who_signs_twice_is_shown_by_all_and_after_a_restart(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 4, [str(JUDGES)]) as mesh:
        marks, gate = tmp_path / "marks", tmp_path / "gate"
        found: list[Decision] = []
        inputs = {"path": str(marks), "gate": str(gate)}
        with mesh.client("peer-1") as client:
            thread = threading.Thread(
                target=lambda: found.append(
                    client.decide("hold_judgement", inputs, close=PATIENCE_S)
                )
            )
            thread.start()
            until(lambda: marks.exists() and len(marks.read_text().split()) == 4, "all to begin")
            # What it signs behind everybody's back; somebody passes it on to one peer.
            async with admitted(mesh, "peer-2") as intruder:
                intruder.send(encode_frame(1, 1, (encode(_lie(mesh)),)))
                await trio.sleep(0.5)
            gate.touch()
            thread.join(2 * PATIENCE_S)
        until(lambda: _known_to(mesh) == "peer-1, peer-2, peer-3, peer-4", "all to know it")
        (row,) = suspects(mesh)
        assert (row["name"], row["offence"]) == ("peer-4", "signed two answers to one ballot")
        assert row["since"] > 0
        assert found[0].outcome == "yes"
        for name in mesh.names():
            mesh.kill(name)
        mesh.up()
        assert suspects(mesh) == [row], "by its own clock, as before"
        table = mesh.cli("peers", "--suspects").out
        assert "peer-4" in table
        ran = mesh.cli("doctor", "--json", expect=None)
        told = [json.loads(line) for line in ran.out.splitlines()]
        assert [each["subject"] for each in told if each["check"] == "suspect"] == ["peer-4"]


def _lie(mesh: LocalMesh) -> Vote:
    """Another answer of the last peer to the ballot that is open, signed with its key."""
    (opened,) = events(mesh, "peer-1", "voting.ballot-opened")
    ballot = peer_of_text(opened["ballot"])
    root = load_key(mesh.folder.root_public, "root-public")
    liar = Ed25519Keyring(load_peer_keys(mesh.folder.peer_folder("peer-4").key).seed, root)
    roll = open_bundle(load_electorate(mesh.folder), root, liar)
    assert roll is not None
    answer = sign_answer(liar, roll.epoch, ballot, b"z" * 32)
    return Vote(ballot, roll.electors.index(liar.peer), answer)


def _known_to(mesh: LocalMesh) -> str:
    return next((str(row["known_to"]) for row in suspects(mesh)), "")
