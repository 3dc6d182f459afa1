"""What keeps a peer from starting, and what it says then."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.runtime.sockets import Address
from tests.processes.rig import PATIENCE_S, ROOT, LocalMesh, local_mesh, until

USAGE = 2


def run_peer(mesh: LocalMesh, name: str) -> "subprocess.CompletedProcess[str]":
    """Starts one peer in the foreground; only for those that cannot start."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; "
            "from mesh.runtime.peer_process import run_peer; "
            "sys.exit(run_peer(Path(sys.argv[1]), sys.argv[2]))",
            str(mesh.path),
            name,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture
def unborn(tmp_path: Path) -> Iterator[LocalMesh]:
    """A mesh of one peer that has never run."""
    mesh = LocalMesh(tmp_path / ".mesh")
    mesh.create(1)
    yield mesh
    mesh.down()


@pytest.mark.slow
def test_a_second_process_on_a_peers_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 1) as mesh:
        before = mesh.pid("peer-1")
        ended = run_peer(mesh, "peer-1")
        assert ended.returncode == 1
        assert f"process {before}" in ended.stderr or str(before) in ended.stderr
        assert "Traceback" not in ended.stderr
        assert mesh.pid("peer-1") == before
        with mesh.client() as client:
            assert client.call("echo", a=1) == {"a": 1}


@pytest.mark.slow
def test_a_peer_whose_port_is_taken_moves_and_the_others_find_it(tmp_path: Path) -> None:
    with local_mesh(tmp_path, 3) as mesh:
        mesh.kill("peer-2")
        old = mesh.door("peer-2")
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(tuple(Address.parse(old)))
            squatter.listen()
            mesh.up()
            assert mesh.door("peer-2") != old
            assert "door-moved" in mesh.log("peer-2")
            with mesh.client("peer-1") as client:
                assert client.options(to="peer-2").call("echo", a=1) == {"a": 1}


@pytest.mark.slow
def test_a_key_file_that_others_may_read_is_refused(unborn: LocalMesh) -> None:
    key = unborn.folder.peer_folder("peer-1").key
    key.chmod(0o644)
    ended = run_peer(unborn, "peer-1")
    assert ended.returncode == 1
    assert f"chmod 600 {key}" in ended.stderr
    assert "Traceback" not in ended.stderr
    ran = unborn.cli("up", "--detach", expect=USAGE)
    assert f"chmod 600 {key}" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("what", ["credential", "key", "journal"])
def test_damaged_files_are_refused_with_their_path(unborn: LocalMesh, what: str) -> None:
    place = unborn.folder.peer_folder("peer-1")
    path: Path = getattr(place, what)
    path.write_bytes(b"this is not what was written here" * 300)
    path.chmod(0o600)
    ended = run_peer(unborn, "peer-1")
    assert ended.returncode == 1
    assert str(path) in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_of_a_mesh_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder", encoding="utf-8")
    ran = LocalMesh(file / ".mesh").cli("up", "-n", "1", "--detach", expect=USAGE)
    assert str(file) in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_a_peers_folder_that_is_gone_is_told(unborn: LocalMesh) -> None:
    place = unborn.folder.peer_folder("peer-1").path
    place.rename(place.with_name("elsewhere"))
    ran = unborn.cli("up", "--detach", expect=USAGE)
    assert str(place) in ran.err
    assert "Traceback" not in ran.err


def test_a_folder_that_is_not_writable_is_told(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    where = tmp_path / "closed"
    if os.access(where, os.W_OK):
        where = Path("/proc")  # the superuser may write anywhere else
    ran = LocalMesh(where / ".mesh").cli("up", "-n", "1", "--detach", expect=USAGE)
    assert str(where) in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.slow
def test_a_peer_does_not_run_without_its_assertions(unborn: LocalMesh) -> None:
    ended = subprocess.run(
        [sys.executable, "-O", "-P", "-m", "mesh.runtime.nursery"],
        input=json.dumps({"folder": str(unborn.path), "names": ["peer-1"]}) + "\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0
    until(lambda: "python -O" in unborn.log("peer-1"), "the peer to refuse")
    assert not unborn.pid("peer-1")


@pytest.mark.slow
def test_a_nursery_that_is_told_of_nobody_starts_nobody() -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "mesh.runtime.nursery"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
