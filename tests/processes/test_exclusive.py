"""Exclusive tasks on real peers: one is paused under its lease, and a quorum is lost."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.client import Client, TaskFailed
from tests.processes.rig import AGENTS, LocalMesh, local_mesh, until

pytestmark = pytest.mark.slow


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[LocalMesh]:
    """Four electors, all but the first of which host the teller."""
    teller = f"{AGENTS / 'teller.py'}@peer-2,peer-3,peer-4"
    with local_mesh(tmp_path / "mesh", 4, [teller]) as mesh:
        yield mesh


def attempts(client: Client, task: str) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = client.why(task)["history"]
    return history


def begun(client: Client, task: str, number: int, folder: Path) -> dict[str, Any]:
    """An attempt, once its handler runs."""

    def runs() -> bool:
        history = attempts(client, task)
        return len(history) >= number and _begun(folder, history[number - 1]).exists()

    until(runs, f"attempt {number} to begin")
    return attempts(client, task)[number - 1]


def _begun(folder: Path, attempt: dict[str, Any]) -> Path:
    return folder / f"begun-{attempt['fencing_token']}"


def _waits_for_electors(client: Client, task: str) -> bool:
    return "2 of 4 electors are alive" in (client.why(task)["waits_for"] or "")


def test_who_is_paused_under_its_lease_has_a_lower_token_and_a_result_that_does_not_count(
    bank: LocalMesh, tmp_path: Path
) -> None:
    with bank.client("peer-1") as client:
        alone = client.options(exclusive="till", deadline=120)
        handle = alone.submit("pays", folder=str(tmp_path))
        waiting = alone.submit("pays", folder=str(tmp_path))
        first = begun(client, handle.id, 1, tmp_path)
        # Its worker runs on: nobody is left who could tell it that its lease is over.
        bank.signal(first["peer"], signal.SIGSTOP)
        second = begun(client, handle.id, 2, tmp_path)
        assert second["peer"] != first["peer"]
        assert second["fencing_token"] > first["fencing_token"]

        (tmp_path / "go-1").touch()
        until((tmp_path / "ended-1").exists, "the handler under the old lease to end")
        bank.signal(first["peer"], signal.SIGCONT)
        bank.converge()
        until(lambda: not bank.status(first["peer"])["work"]["running"], "it to be told")
        assert client.why(waiting.id)["history"] == [], "the key is the second attempt's"
        (tmp_path / "go-2").touch()
        assert handle.result(30) == second["fencing_token"]
        assert waiting.result(30) > second["fencing_token"]
        ends = [attempt["status"] for attempt in attempts(client, handle.id)]
        assert ends == ["lost", "ok"], "what it came to does not count"


def test_without_a_quorum_attempts_stop_and_tasks_wait_and_say_for_what(
    bank: LocalMesh, tmp_path: Path
) -> None:
    with bank.client("peer-1") as client:
        alone = client.options(exclusive="till", deadline=120)
        handle = alone.submit("pays", folder=str(tmp_path))
        first = begun(client, handle.id, 1, tmp_path)
        lost = [name for name in ("peer-2", "peer-3", "peer-4") if name != first["peer"]]
        for name in lost:
            bank.kill(name)
        until((tmp_path / "stopped-1").exists, "what runs to be stopped as its lease ends")

        other = client.options(exclusive="other", deadline=2).submit("pays", folder=str(tmp_path))
        until(lambda: _waits_for_electors(client, other.id), "it says so")
        with pytest.raises(TaskFailed) as caught:
            other.result(30)
        assert (caught.value.state, caught.value.attempts) == ("expired", 0)

        until(lambda: _waits_for_electors(client, handle.id), "it says so")
        bank.up()
        second = begun(client, handle.id, 2, tmp_path)
        (tmp_path / "go-2").touch()
        assert handle.result(30) == second["fencing_token"] > first["fencing_token"]
