"""The same seed gives the same run; a failing test says which seed it was."""

import os
import subprocess
import sys
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.testing import LocalMesh, Violation
from simulations.disk import Disk
from tests.testing.agents import worker
from tests.testing.story import story


def test_the_same_seed_gives_the_same_run(run_seed: int) -> None:
    first, second = story(run_seed), story(run_seed)
    assert first == second
    assert first[0]


def test_another_seed_gives_another_order() -> None:
    assert len({tuple(story(seed)[1]) for seed in range(2)}) > 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_in_another_process(run_seed: int) -> None:
    code = f"from tests.testing.story import story; print(story({run_seed}))"
    stories = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert stories[0] == stories[1]


def notes(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_a_failing_test_shows_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError) as failed, LocalMesh(agents=worker, seed=77) as mesh:
        raise ZeroDivisionError(mesh.seed)
    assert "LocalMesh(seed=77)" in notes(failed.value)
    monkeypatch.setenv("MESH_SEED", "78")
    with pytest.raises(ZeroDivisionError) as failed, LocalMesh(agents=worker) as mesh:
        raise ZeroDivisionError(mesh.seed)
    assert "LocalMesh(seed=78)" in notes(failed.value)


def test_without_a_seed_each_run_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESH_SEED", raising=False)
    assert LocalMesh(agents=worker).seed != LocalMesh(agents=worker).seed


def restart_and_wait(mesh: LocalMesh) -> None:
    mesh.restart("peer-1")
    mesh.run(1)


def leave(mesh: LocalMesh) -> None:
    """The end of a test restarts whom it has killed."""


def lose_a_task(mesh: LocalMesh, then: Callable[[LocalMesh], None]) -> None:
    mesh.client.submit("slow_double", n=1)
    mesh.kill("peer-1")
    then(mesh)


@pytest.mark.parametrize("then", [restart_and_wait, leave])
def test_a_broken_invariant_ends_the_test_while_it_runs_or_at_its_end(
    then: Callable[[LocalMesh], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Disks that keep nothing: a custodian that comes back has lost what it accepted.
    monkeypatch.setattr(Disk, "append", lambda *arguments: True)
    with (
        pytest.raises(Violation, match="no-accepted-task-lost") as failed,
        LocalMesh(agents=worker, seed=9) as mesh,
    ):
        lose_a_task(mesh, then)
    assert "LocalMesh(seed=9)" in notes(failed.value)


@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), dies=st.sampled_from(["peer-1", "peer-2", "peer-3"]))
def test_hypothesis_may_choose_the_seed_and_the_faults(seed: int, dies: str) -> None:
    with LocalMesh(peers=3, agents=worker, seed=seed) as mesh:
        handle = mesh.client.submit("total", numbers=[1, 2])
        mesh.run(0.5)
        mesh.kill(dies)
        assert handle.result() == 6
