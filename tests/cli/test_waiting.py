"""`mesh task --wait`: what it asks, how often, and when it gives up."""

import json
from typing import Any

import pytest
import typer

from mesh.cli import tasks
from mesh.cli.output import FAILED, TIMED_OUT


class World:
    """A client and a clock: the task ends at an instant, and pauses take no time."""

    def __init__(self, ends_at: float, state: str = "done") -> None:
        self.now = 100.0
        self.asked = 0
        self._ends_at, self._state = 100.0 + ends_at, state

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def task(self, task_id: str) -> dict[str, Any]:
        self.asked += 1
        state = self._state if self.now >= self._ends_at else "running"
        return {"task": task_id, "state": state, "result": 7, "attempts": 1, "incomplete": False}

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0, "a pause that is none would be a busy loop"
        self.now += seconds


def wait(
    monkeypatch: pytest.MonkeyPatch, world: World, timeout: float | None, *, waits: bool = True
) -> int:
    """Runs the verb; its exit status."""
    monkeypatch.setattr(tasks, "time", world)
    monkeypatch.setattr("mesh.client.Client", lambda **_: world)
    try:
        tasks.task("abc", waits, timeout, None, as_json=True)
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


def test_it_returns_once_the_task_has_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(ends_at=600)
    assert wait(monkeypatch, world, None) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "done"
    assert world.now - 700 <= tasks.LONGEST_PAUSE_S
    assert world.asked < 620, "pauses grow"


def test_it_looks_at_once_and_soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(ends_at=0)
    assert wait(monkeypatch, world, 0) == 0
    assert (world.asked, world.now) == (1, 100.0)
    world = World(ends_at=0.04)
    assert wait(monkeypatch, world, None) == 0
    assert world.now < 100.1


def test_a_timeout_is_status_4_and_shows_the_task_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(ends_at=600)
    assert wait(monkeypatch, world, 3) == TIMED_OUT
    said = capsys.readouterr()
    assert json.loads(said.out)["state"] == "running"
    assert "has not ended within 3 s and goes on" in said.err
    assert world.now == pytest.approx(103)


def test_a_task_that_ends_without_a_result_is_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    for state in tasks.FAILURES:
        assert wait(monkeypatch, World(ends_at=2, state=state), 60) == FAILED


def test_a_timeout_without_wait_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(typer.BadParameter, match="--wait"):
        wait(monkeypatch, World(ends_at=0), 3, waits=False)
