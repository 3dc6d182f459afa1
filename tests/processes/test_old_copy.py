"""A peer that is started on an older copy of its folder, as after a restored backup."""

import shutil
from pathlib import Path

import pytest

from mesh.client import Refused
from tests.processes.accusations import accusations
from tests.processes.rig import PATIENCE_S, local_mesh, until

pytestmark = pytest.mark.slow


def test_a_peer_on_an_older_copy_of_its_folder_comes_back_and_repeats_no_id(
    tmp_path: Path,
) -> None:
    with local_mesh(tmp_path, 4) as mesh:
        home = mesh.folder.peer_folder("peer-1").path
        with mesh.client("peer-1") as client:
            before = [client.submit("echo", n=n) for n in range(20)]
            assert [handle.result(PATIENCE_S) for handle in before] == [{"n": n} for n in range(20)]
        mesh.kill("peer-1")
        shutil.copytree(home, tmp_path / "copy")
        mesh.up()
        with mesh.client("peer-1") as client:
            since = [client.submit("echo", n=n) for n in range(20, 40)]
            assert [handle.result(PATIENCE_S) for handle in since] == [
                {"n": n} for n in range(20, 40)
            ]
        with mesh.client("peer-2") as client:
            elsewhere = client.submit("echo", n=99)
            assert elsewhere.result(PATIENCE_S) == {"n": 99}

        mesh.kill("peer-1")
        until(lambda: mesh.state_of("peer-1", "peer-2") == "dead", "its death to be known")
        shutil.rmtree(home)
        shutil.copytree(tmp_path / "copy", home)
        mesh.up()

        assert {mesh.state_of("peer-1", other) for other in ("peer-2", "peer-3", "peer-4")} == {
            "alive"
        }
        with mesh.client("peer-1") as client:
            assert [client.task(handle.id)["result"] for handle in before] == [
                {"n": n} for n in range(20)
            ], "what the copy holds is there"
            for handle in since:
                with pytest.raises(Refused):
                    client.task(handle.id)
            after = [client.submit("echo", n=n) for n in range(40, 80)]
            assert [handle.result(PATIENCE_S) for handle in after] == [
                {"n": n} for n in range(40, 80)
            ]
            ids = [handle.id for handle in (*before, *since, *after)]
            assert len(set(ids)) == len(ids), "an id was given twice"
        with mesh.client("peer-2") as client:
            assert client.task(elsewhere.id)["result"] == {"n": 99}
            assert list(client.map("echo", ({"n": n} for n in range(500)))) == [
                {"n": n} for n in range(500)
            ]
        assert accusations(mesh.path) == []
