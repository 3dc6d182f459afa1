"""Handlers that eat memory, in real workers beside others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.client import TaskFailed
from tests.processes.rig import AGENTS, CREW, LocalMesh, finish, start_cli, until

GLUTTON, HUNGRY = str(AGENTS / "glutton.py"), str(AGENTS / "hungry.py")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """One peer whose workers may hold 80 MB, where their agents do not say."""
    mesh = LocalMesh(tmp_path_factory.mktemp("memory") / ".mesh")
    files = [word for file in (GLUTTON, HUNGRY, CREW) for word in ("--agents", file)]
    try:
        mesh.cli("up", "-n", "1", *files, "--memory", "80MB", "--detach")
        yield mesh
    finally:
        mesh.down()


@pytest.mark.slow
def test_a_handler_that_eats_memory_ends_alone(mesh: LocalMesh) -> None:
    with mesh.client() as client:
        peer, before = mesh.pid("peer-1"), {worker.pid for worker in mesh.workers("peer-1")}
        eater = client.call("glutton_pid")
        assert client.call("eat", megabytes=80) == 80
        wait = client.submit("wait", seconds=0.2, value=7)
        with pytest.raises(TaskFailed) as caught:
            client.call("eat", megabytes=2000)
        assert caught.value.kind == "OutOfMemory"
        assert "over its limit of 120 MB" in caught.value.message
        assert wait.result(30) == 7
        until(lambda: client.call("glutton_pid") != eater, "the glutton's next worker")
        after = {worker.pid for worker in mesh.workers("peer-1")}
        assert before - after == {eater}, "only that worker ended"
        assert client.call("eat", megabytes=80) == 80
        assert mesh.pid("peer-1") == peer


@pytest.mark.slow
def test_the_limit_of_up_is_for_agents_that_do_not_say(mesh: LocalMesh) -> None:
    with mesh.client() as client:
        assert client.call("hold_megabytes", megabytes=10) == 10
        with pytest.raises(TaskFailed, match=r"OutOfMemory.*over its limit of 80 MB"):
            client.call("hold_megabytes", megabytes=200)


def test_an_amount_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = tmp_path / ".mesh"
    words = ["--dir", str(folder), "--json"]
    wrong = finish(start_cli("up", "-n", "1", "--memory", "lots", "--detach", *words))
    assert wrong.status == 2
    assert 'write "512MB"' in wrong.err
    assert not folder.exists()
