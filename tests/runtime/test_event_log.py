"""The event log is there to help: it never stands in the way of the peer that writes it."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mesh.runtime import event_log
from mesh.runtime.event_log import EventLog


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
