"""Tests of foragers.py: in a simulated mesh, and with real peers of which one is killed."""

import subprocess
import sys
from pathlib import Path

import foragers
import pytest

from mesh import Client
from mesh.testing import LocalMesh

HERE = Path(__file__).parent


def harvested(patches):
    return {f"harvest/{n}": f"what grew on {n}" for n in range(patches)}


def test_all_is_harvested_though_a_forager_dies_and_nobody_notices():
    with LocalMesh(peers=3, agents=foragers.agent, seed=5) as mesh:
        board = mesh.client.board
        board.put_many({f"patches/{n}": n for n in range(12)})
        how = {"patch_s": 5.0, "half_life": 90.0}
        stays, _ = [
            mesh.client.options(to=name).submit("forage", **how) for name in ("peer-1", "peer-2")
        ]
        mesh.run(12)
        mesh.kill("peer-2")
        assert stays.result() > 6
        found = {entry.key: entry.value for entry in board.ls("harvest/")}
        assert found == harvested(12)
        assert any(board.sense(f"marks/{n}") > 1 for n in range(12)), "somebody came a second time"


def test_marks_save_most_of_the_double_work():
    assert foragers.visits(seed=1, marks=True, patches=18) < 18 + 4
    assert foragers.visits(seed=1, marks=False, patches=18) > 18 + 4


@pytest.mark.slow
@pytest.mark.processes
def test_real_foragers_share_a_list_and_survive_the_death_of_one(tmp_path):
    folder = tmp_path / ".mesh"

    def mesh(*words):
        command = [sys.executable, "-m", "mesh.cli", *words, "--dir", str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    mesh("up", "-n", "3", "--agents", str(HERE / "foragers.py"), "--detach")
    try:
        with Client(dir=folder) as client:
            client.board.put_many({f"patches/{n}": n for n in range(40)})
            names = [peer["name"] for peer in client.peers()]
            foraging = {name: client.options(to=name).submit("forage") for name in names}
            for change in client.board.watch("harvest/", since=""):
                if change.value:
                    break
            victim = next(name for name in names if name != client.home)
            mesh("kill", victim)
            counts = [foraging[name].result(60) for name in names if name != victim]
            found = {entry.key: entry.value for entry in client.board.ls("harvest/")}
            assert found == harvested(40)
            assert sum(counts) < 60, "hardly a patch was worked on twice"
    finally:
        mesh("down")
