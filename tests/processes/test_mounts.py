"""Disks that are really full or read-only. What mounts needs a machine that lets it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.runtime import launcher
from tests.processes.mounts import python, require_mounts, run_read_only, start_on_small_disk
from tests.processes.rig import PATIENCE_S, RUNNING, LocalMesh, until, until_done
from tests.processes.test_full_disk import submit_until_it_breaks

pytestmark = [pytest.mark.slow, pytest.mark.mounts]

RUN_PEER = "import sys, pathlib; from mesh.runtime.peer_process import run_peer; \
sys.exit(run_peer(pathlib.Path(sys.argv[1]), sys.argv[2]))"


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[LocalMesh]:
    """A mesh folder of two peers, none of which runs yet."""
    (tmp_path / "try").mkdir()
    require_mounts(tmp_path / "try")
    made = LocalMesh(tmp_path / ".mesh")
    RUNNING.append(made)
    made.create(2)
    try:
        yield made
    finally:
        made.down()
        RUNNING.remove(made)


def test_a_disk_that_fills_stops_its_peer_and_keeps_what_was_acknowledged(mesh: LocalMesh) -> None:
    place = mesh.folder.peer_folder("peer-1").path
    process = start_on_small_disk(place, "6m", python("-c", RUN_PEER, str(mesh.path), "peer-1"))
    try:
        until(lambda: mesh.status("peer-1"), "the peer on the small disk to start")
        launcher.start(mesh.folder, ["peer-2"])
        mesh.converge()
        accepted = submit_until_it_breaks(mesh.socket("peer-1"))
        assert len(accepted) > 10
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 1, err
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


def test_a_folder_that_may_only_be_read_is_told_at_the_start(mesh: LocalMesh) -> None:
    words = ("-m", "mesh.cli", "up", "--detach", "--dir", str(mesh.path))
    ran = run_read_only(mesh.path, python(*words))
    assert ran.returncode == 2, ran.stderr
    assert str(mesh.path) in ran.stderr
    assert "read-only" in ran.stderr.lower()
    assert "Traceback" not in ran.stderr
    assert launcher.running(mesh.folder) == {}


def test_a_new_mesh_where_nothing_can_be_written_is_refused(mesh: LocalMesh) -> None:
    new = mesh.path.parent / "try"
    words = ("-m", "mesh.cli", "up", "-n", "1", "--detach", "--dir", str(new / ".mesh"))
    ran = run_read_only(new, python(*words))
    assert ran.returncode == 2, ran.stderr
    assert str(new) in ran.stderr
    assert "Traceback" not in ran.stderr
    assert os.listdir(new) == []


def test_a_peer_whose_journal_may_only_be_read_says_so(mesh: LocalMesh) -> None:
    place = mesh.folder.peer_folder("peer-1").path
    ran = run_read_only(place, python("-c", RUN_PEER, str(mesh.path), "peer-1"))
    assert ran.returncode == 1, ran.stderr
    assert "peer-1 stops" in ran.stderr
    assert str(place) in ran.stderr
    assert "Traceback" not in ran.stderr
