"""A disk that is full: the peer stops with a clear error, and keeps what it acknowledged."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.local.codec import encode_value, for_local, pack
from mesh.local.messages import Accepted, Hello, Submit
from mesh.runtime import launcher
from tests.processes.rig import (
    PATIENCE_S,
    ROOT,
    RUNNING,
    LocalMesh,
    until,
    until_done,
)

PAGES = 400
"""1.6 MB: what the peers need, and a few dozen tasks."""
BLOB = 20_000


def submit_until_it_breaks(address: Path) -> list[str]:
    """One task after the other, each acknowledged before the next; the ids of those that were."""
    accepted: list[str] = []
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(PATIENCE_S)
        raw.connect(str(address))
        raw.sendall(pack(Hello(role="client", name="test")))
        unpacker = for_local()
        while True:
            number = len(accepted)
            value = encode_value({"number": number, "blob": "x" * BLOB})
            before = number
            try:
                raw.sendall(pack(Submit(request=1 + number, skill="echo", inputs=[value])))
                while len(accepted) == before:
                    data = raw.recv(1 << 18)
                    if not data:
                        return accepted
                    for message in unpacker.feed(data):
                        if isinstance(message, Accepted):
                            accepted += message.tasks
            except (BrokenPipeError, ConnectionResetError):
                return accepted


@pytest.mark.slow
def test_a_full_disk_stops_the_peer_and_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path / ".mesh")
    RUNNING.append(mesh)
    mesh.create(2)
    limited = [sys.executable, "-m", "tests.processes.short_of_disk"]
    process = subprocess.Popen(
        [*limited, str(mesh.path), "peer-1", str(PAGES)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: mesh.status("peer-1"), "the limited peer to start")
        launcher.start(mesh.folder, ["peer-2"])
        mesh.converge()
        accepted = submit_until_it_breaks(mesh.socket("peer-1"))
        assert len(accepted) > 10
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1
        assert "full" in err
        assert "free some space" in err
        assert "Traceback" not in err
        with mesh.client() as client:
            assert client.home == "peer-2"
            assert client.call("echo", still="here") == {"still": "here"}
        mesh.up()
        with mesh.client("peer-1") as client:
            for number, task in enumerate(accepted):
                assert until_done(client, task)["result"]["number"] == number
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        mesh.down()
        RUNNING.remove(mesh)


def test_a_journal_that_cannot_be_written_at_all_is_told_at_the_start(tmp_path: Path) -> None:
    mesh = LocalMesh(tmp_path / ".mesh")
    mesh.create(1)
    mesh.folder.peer_folder("peer-1").journal.mkdir()
    ran = mesh.cli("up", "--detach", expect=2)
    assert str(mesh.folder.peer_folder("peer-1").journal) in ran.err
    assert "Traceback" not in ran.err
    mesh.down()
