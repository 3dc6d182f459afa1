"""The watchdog: a call that hangs is noticed, one that is slow or paused is not."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.core.records import StepRecord
from mesh.storage.journal import Journal
from mesh.storage.watchdog import Watchdog

PATIENCE_S = 10.0


class Alarm:
    """Remembers what the watchdog said."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.rung = threading.Event()

    def __call__(self, message: str) -> None:
        self.messages.append(message)
        self.rung.set()


@pytest.fixture
def alarm() -> Alarm:
    return Alarm()


@pytest.fixture
def watchdog(alarm: Alarm) -> Iterator[Watchdog]:
    watchdog = Watchdog("a write to journal.db", alarm, limit_s=0.05, tick_s=0.01)
    watchdog.start()
    yield watchdog
    watchdog.stop()


def test_a_call_that_hangs_rings_once(watchdog: Watchdog, alarm: Alarm) -> None:
    def slow_write() -> None:
        assert alarm.rung.wait(PATIENCE_S)

    watchdog.ticket = 1
    slow_write()
    watchdog.ticket = 0
    watchdog.stop()
    assert len(alarm.messages) == 1
    assert alarm.messages[0].startswith("a write to journal.db has not come back for 0.05 s")


def test_many_quick_calls_ring_nothing(watchdog: Watchdog, alarm: Alarm) -> None:
    pause = threading.Event()
    for ticket in range(1, 40):
        watchdog.ticket = ticket
        pause.wait(0.005)
        watchdog.ticket = 0
    assert alarm.messages == []


def test_an_idle_journal_rings_nothing(watchdog: Watchdog, alarm: Alarm) -> None:
    assert not alarm.rung.wait(0.1)


def test_ticks_are_counted_and_no_clock_is_read(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was paused makes one tick after it, however long the pause was."""
    watchdog = Watchdog("a write", alarm, limit_s=1.0, tick_s=0.25)
    ticks = iter([False, False, False, False, True])  # the fifth wait says: stopped

    class Ticks(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return next(ticks)

    monkeypatch.setattr(watchdog, "_stopped", Ticks())
    watchdog.ticket = 7
    watchdog.start()
    watchdog.stop()
    assert alarm.messages == []


def test_the_journal_arms_and_disarms(tmp_path: Path, alarm: Alarm) -> None:
    tickets: list[int] = []

    class Recorder(Watchdog):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "ticket":
                assert isinstance(value, int)
                tickets.append(value)

    journal = Journal(tmp_path / "journal.db", b"m" * 32, b"p" * 32, watchdog=Recorder("", alarm))
    tickets.clear()
    journal.append((StepRecord(1, b"a", False),))
    journal.append((StepRecord(2, b"b", False),))
    journal.close()
    assert [bool(ticket) for ticket in tickets] == [True, False, True, False]
    assert tickets[0] != tickets[2]
