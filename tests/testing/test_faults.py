"""What faults do to tasks whose handlers are real."""

from pathlib import Path

import pytest

from mesh.client import NoPeer
from mesh.testing import LocalMesh
from simulations.plan import PlanError
from simulations.schedule import Crash, Pause
from tests.testing.agents import diary, everybody, slow_double


def local_mesh(peers: int = 4, seed: int = 3) -> LocalMesh:
    return LocalMesh(peers=peers, agents=everybody, seed=seed)


def test_a_killed_peers_work_is_done_elsewhere(run_seed: int) -> None:
    with local_mesh(seed=run_seed) as mesh:
        handle = mesh.client.options(to="peer-3").submit("slow_double", n=21, seconds=5)
        spread = [mesh.client.submit("slow_double", n=n, seconds=5) for n in range(6)]
        mesh.run(2)
        assert mesh.running(handle) == ["peer-3"]
        mesh.kill("peer-3")
        assert mesh.running(handle) == []
        assert [each.result() for each in spread] == [0, 2, 4, 6, 8, 10]
        mesh.restart("peer-3")
        assert handle.result() == 42
        # Nothing of a dead process runs, its `finally` no more than in a real one.
        assert diary.count("begin 21") == 2
        assert diary.count("finally 21") == 1


def test_a_handler_meets_its_peers_death_at_its_next_await() -> None:
    with local_mesh() as mesh:
        handle = mesh.client.submit("total", numbers=[1, 2, 3])
        mesh.run_until(lambda: mesh.running(handle))
        (where,) = mesh.running(handle)
        mesh.run(0.1)
        mesh.kill(where)
        assert handle.result() == 12
        assert handle.outcome().producer != where


def test_a_client_whose_home_dies_goes_on_at_another_peer() -> None:
    with local_mesh() as mesh:
        handle = mesh.client.submit("slow_double", n=4, seconds=3)
        mesh.run(1)
        mesh.kill("peer-1")
        assert handle.result() == 8
        assert mesh.client.home == "peer-2"
        assert mesh.connect("peer-4").home == "peer-4"


def test_a_client_leaves_a_peer_that_does_not_answer() -> None:
    with local_mesh() as mesh:
        handle = mesh.client.submit("slow_double", n=4, seconds=2)
        mesh.pause("peer-1", 60)
        assert handle.result() == 8
        assert mesh.now < 15
        assert mesh.client.home == "peer-2"


def test_without_any_peer_a_client_says_so() -> None:
    with local_mesh(peers=2) as mesh:
        handle = mesh.client.submit("slow_double", n=4, seconds=2)
        mesh.kill("peer-1")
        mesh.kill("peer-2")
        with pytest.raises(NoPeer, match=r"no peer answers \(peer-1, peer-2: not running\)"):
            handle.result()
        mesh.restart("peer-2")
        assert handle.result() == 8


def test_a_paused_peer_and_its_handlers_go_on_later() -> None:
    with local_mesh(peers=1) as mesh:
        handle = mesh.client.submit("slow_double", n=1, seconds=1)
        mesh.run(0.5)
        mesh.pause("peer-1", 2)
        mesh.run(1.5)
        assert handle.state == "accepted"
        assert handle.result() == 2
        assert 2.5 <= mesh.now < 3


def test_work_beyond_a_partition_is_done_on_this_side() -> None:
    with local_mesh() as mesh:
        handles = [mesh.client.submit("slow_double", n=n, seconds=2) for n in range(8)]
        mesh.run(0.5)
        assert set(mesh.running()) & {"peer-3", "peer-4"}
        mesh.partition(["peer-1", "peer-2"], ["peer-3", "peer-4"])
        assert [handle.result() for handle in handles] == [*range(0, 16, 2)]
        states = {peer["name"]: peer["state"] for peer in mesh.client.peers()}
        mesh.run(30)
        states = {peer["name"]: peer["state"] for peer in mesh.client.peers()}
        assert states["peer-2"] == "alive"
        assert states["peer-4"] == "dead"
        mesh.heal()
        mesh.run(30)
        assert {peer["state"] for peer in mesh.client.peers()} == {"alive"}


def test_one_way_cuts_and_lossy_networks_lose_no_task(run_seed: int) -> None:
    with local_mesh(seed=run_seed) as mesh:
        mesh.loss(0.2)
        mesh.duplication(0.1)
        mesh.reorder(0.1)
        mesh.delay(0.001, 0.02)
        mesh.cut("peer-3", "peer-1")
        numbers = [{"n": n, "seconds": 0.2} for n in range(30)]
        assert list(mesh.client.map(slow_double, numbers)) == [*range(0, 60, 2)]


def test_a_schedule_strikes_by_itself(run_seed: int) -> None:
    with local_mesh(seed=run_seed) as mesh:
        mesh.play([Crash(at_ms=500, peer="peer-2", down_ms=800), Pause(at_ms=700, peer="peer-3")])
        handles = [mesh.client.submit("slow_double", n=n) for n in range(10)]
        mesh.run(0.6)
        assert [peer for peer in mesh.running() if peer == "peer-2"] == []
        assert [handle.result() for handle in handles] == [*range(0, 20, 2)]


def test_a_schedule_comes_from_a_file_or_by_name(tmp_path: Path) -> None:
    scenario = tmp_path / "twice.toml"
    scenario.write_text(
        'name = "twice"\n[[faults]]\nfault = "crash"\nat_ms = 100\npeer = "peer-1"\n'
        '[[faults]]\nfault = "crash"\nat_ms = 1100\npeer = "working"\n'
    )
    for schedule in (scenario, "crash-storm"):
        with local_mesh() as mesh:
            mesh.play(schedule)
            handles = [mesh.client.submit("slow_double", n=n) for n in range(6)]
            assert [handle.result() for handle in handles] == [*range(0, 12, 2)]
    with pytest.raises(PlanError, match="peer-9"), local_mesh() as mesh:
        mesh.play([Crash(at_ms=0, peer="peer-9")])
    with pytest.raises(PlanError, match="nonsuch"), local_mesh() as mesh:
        mesh.play("nonsuch")


def test_a_peer_that_is_not_there_cannot_suffer() -> None:
    with local_mesh(peers=2) as mesh:
        for fault in (mesh.kill, mesh.restart):
            with pytest.raises(ValueError, match="the peers are peer-1, peer-2"):
                fault("peer-3")
        with pytest.raises(ValueError, match="no probability"):
            mesh.loss(20)
        with pytest.raises(ValueError, match="above zero"):
            mesh.slow("peer-1", 0)


def test_the_end_restarts_who_is_down_and_waits_for_what_was_accepted() -> None:
    with local_mesh(peers=3) as mesh:
        mesh.client.submit("slow_double", n=9, seconds=20)
        mesh.run(1)
        for peer in mesh.peers:
            mesh.kill(peer)
    assert diary[-1] == "finally 9"


def test_what_never_ends_is_cancelled_at_the_end() -> None:
    with local_mesh(peers=2) as mesh:
        mesh.client.submit("slow_double", n=9, seconds=1e6)
        mesh.run(1)
    assert diary == ["begin 9", "cancelled 9", "finally 9"]
