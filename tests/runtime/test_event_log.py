"""The event log is there to help: it never stands in the way of the peer that writes it."""

import errno
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from mesh.runtime import event_log
from mesh.runtime.event_log import EventLog
from protocols.tasks.events import TaskProgressed, TasksAccepted, TasksListed


def open_log(folder: Path) -> EventLog:
    return EventLog(folder / "events.jsonl", "peer-1", lambda: 1_000_000_000)


def lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_a_full_disk_costs_events_and_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    log.write({"event": "first"})

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        log.write({"event": "lost"})
        log.write({"event": "lost"})
    log.write({"event": "last"})
    log.close()
    assert [line["event"] for line in lines(tmp_path)] == ["first", "log.lost", "last"]
    assert lines(tmp_path)[1]["count"] == 2


def test_a_line_cut_short_by_a_full_disk_does_not_spoil_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:9]))
        log.write({"event": "cut"})
    log.write({"event": "whole"})
    log.close()
    cut, lost, whole = (tmp_path / "events.jsonl").read_text().splitlines()
    assert len(cut) == 9
    assert json.loads(lost)["event"] == "log.lost"
    assert json.loads(whole)["event"] == "whole"


def test_a_log_that_cannot_be_rotated_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "ROTATE_BYTES", 200)
    log = open_log(tmp_path)
    (tmp_path / "events.1.jsonl").mkdir()  # cannot be replaced by a file
    for number in range(20):
        log.write({"event": "x", "number": number})
    log.close()


def test_what_was_logged_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "ROTATE_BYTES", 1000)
    log = open_log(tmp_path)
    for number in range(200):
        log.write({"event": "x", "number": number})
    log.close()
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 1000


async def test_what_was_noted_is_written_soon_and_with_its_own_time(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    clock = itertools.count(1_000_000_000, 1_000_000_000)
    log = EventLog(tmp_path / "events.jsonl", "peer-1", lambda: next(clock))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        log.note(TaskProgressed("one", 1, 0, ""))
        log.note(TaskProgressed("two", 1, 0, ""))
        assert lines(tmp_path) == []
        await trio.sleep(2 * event_log.DELAY_S)
        assert [(line["task"], line["time"]) for line in lines(tmp_path)] == [
            ("one", 1),
            ("two", 2),
        ]
        log.note(TaskProgressed("three", 1, 0, ""))
        await trio.sleep(2 * event_log.DELAY_S)
        assert [line["task"] for line in lines(tmp_path)] == ["one", "two", "three"]
        nursery.cancel_scope.cancel()


def test_events_keep_their_order_and_none_is_left_behind(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.note(TaskProgressed("first", 1, 0, ""))
    log.write({"event": "second"})
    for _ in range(event_log.NOTED_LIMIT):
        log.note(TaskProgressed("many", 1, 0, ""))
    assert len(lines(tmp_path)) == 2 + event_log.NOTED_LIMIT
    log.note(TaskProgressed("last", 1, 0, ""))
    log.close()
    written = lines(tmp_path)
    assert [line.get("task", line["event"]) for line in written[:3]] == ["first", "second", "many"]
    assert written[-1]["task"] == "last"


def test_a_batch_that_the_disk_did_not_take_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(tmp_path)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for _ in range(3):
            log.note(TaskProgressed("lost", 1, 0, ""))
        log.write_noted()
    log.write({"event": "last"})
    log.close()
    assert lines(tmp_path)[0]["count"] == 3


def test_answers_to_questions_are_no_events(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    log.note(TasksListed(1, ()))
    log.note(TaskProgressed("t", 1, 0, ""))
    log.close()
    assert [line["event"] for line in lines(tmp_path)] == ["tasks.progressed"]


def test_a_batch_of_many_tasks_is_told_in_several_events_and_none_is_left_out(
    tmp_path: Path,
) -> None:
    log = open_log(tmp_path)
    tasks = tuple(f"t{number}" for number in range(600))
    log.note(TasksAccepted(1, tasks, "skill", "trace"))
    log.close()
    told = lines(tmp_path)
    assert [event["count"] for event in told] == [256, 256, 88]
    assert [task for event in told for task in event["tasks"]] == list(tasks)
