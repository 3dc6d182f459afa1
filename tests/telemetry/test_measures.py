"""Counts, latencies and what processes use."""

import os
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.top import drawn, table
from mesh.telemetry import measures, reading, usage
from mesh.telemetry.measures import Gauge
from mesh.telemetry.reading import Entry
from tests.telemetry import recorded


def entry(at: float, event: str, **fields: Any) -> Entry:
    return Entry(at, "peer-1", {"time": at, "event": event, **fields}, "info")


def accepted(at: float, *tasks: str) -> Entry:
    return entry(at, "tasks.accepted", skill="s", trace="t", count=len(tasks), tasks=list(tasks))


def settled(at: float, *tasks: str, state: str = "done") -> Entry:
    rows = [{"task": task, "state": state, "attempts": 1} for task in tasks]
    return entry(at, "tasks.settled", count=len(rows), states={state: len(rows)}, tasks=rows)


def test_a_recorded_review_is_counted_at_the_peers_that_did_it(tmp_path: Path) -> None:
    gauge = Gauge()
    ended = [
        story.task
        for each in reading.events(recorded.folder(tmp_path))
        for story in gauge.take(each)
    ]
    assert ended[-1] == recorded.REVIEW
    assert len(ended) == 6
    one, three = gauge.of("peer-1"), gauge.of("peer-3")
    assert (one.accepted, one.settled, one.ran) == (1, {"done": 1}, {})
    assert (three.accepted, three.settled) == (5, {"done": 5})
    assert three.ran["review"] == 1
    assert sum(gauge.of(name).ran.get("analyse", 0) for name in recorded.PEERS) == 5
    assert one.median_s(0) == pytest.approx(0.4124, abs=0.0001)


def test_a_median_is_of_what_settled_lately() -> None:
    gauge = Gauge()
    gauge.take(accepted(0.0, "a", "b", "c"))
    gauge.take(settled(9.0, "a"))
    gauge.take(settled(20.0, "b"))
    gauge.take(settled(21.0, "c"))
    assert gauge.of("peer-1").median_s(10.0) == 21.0
    assert gauge.of("peer-1").median_s(30.0) is None


def test_tasks_that_never_settle_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "OPEN_LIMIT", 3)
    gauge = Gauge()
    for number in range(10):
        gauge.take(accepted(float(number), f"t{number}"))
    assert list(gauge.stories.tasks) == ["t7", "t8", "t9"]
    assert gauge.take(settled(11.0, "t0", "t9"))[0].task == "t9"
    assert gauge.of("peer-1").ended == 2


def test_what_makes_no_sense_is_not_counted() -> None:
    gauge = Gauge()
    gauge.take(entry(1.0, "tasks.accepted", count="x"))
    gauge.take(entry(1.0, "tasks.settled"))
    gauge.take(entry(1.0, "tasks.attempts-failed", attempts=[3]))
    assert gauge.of("peer-1").accepted == 0


def test_a_process_is_counted_with_all_that_it_started() -> None:
    seen = {
        1: usage.Usage(0, 1000, 100.0),
        10: usage.Usage(1, 10, 1.0),
        11: usage.Usage(10, 20, 2.0),
        12: usage.Usage(11, 30, 3.0),
        13: usage.Usage(1, 40, 4.0),
    }
    assert usage.of_tree(10, seen) == usage.Usage(0, 60, 6.0)
    assert usage.of_tree(99, seen) == usage.Usage(0, 0, 0.0)


def test_this_very_process_is_seen() -> None:
    mine = usage.processes()[os.getpid()]
    assert mine.parent == os.getppid()
    assert mine.memory > 1_000_000
    assert mine.cpu_s > 0


def test_a_command_with_parentheses_is_read() -> None:
    fields = " ".join(str(number) for number in range(3, 53))
    assert usage.of_stat(f"7 (a ) b) {fields}").parent == 4


def row(name: str, **fields: Any) -> dict[str, Any]:
    values = dict.fromkeys(("load_ms", "slots", "running", "waiting", "open", "p50_ms"))
    more = dict.fromkeys(("done_per_s", "memory_mb", "cpu_percent"))
    return {"name": name, "id": name, "state": "alive", **values, **more, **fields}


def test_a_screen_fits_whatever_the_numbers() -> None:
    rows = [
        row("peer-1"),
        row(
            "a-name-that-is-far-too-long", load_ms=10**9, slots=10**9, running=10**9,
            waiting=10**9, open=10**9, done_per_s=1e9, p50_ms=1e9, memory_mb=1e9, cpu_percent=1e9,
        ),
    ]  # fmt: skip
    assert max(map(len, table(rows))) <= 79
    screen = drawn(rows, [f"warning {n} " * 20 for n in range(50)], 80, 24)
    assert len(screen) <= 24
    assert max(map(len, screen)) <= 80
    assert screen[-1].startswith("warning 49")
    assert drawn(rows, [], 20, 24)[0] == "2 of 2 alive, 100000"[:20], "the help goes first"


def test_a_name_is_whole_where_there_is_room_for_it() -> None:
    rows = [row("berlin-rack-7"), row("peer-1")]
    assert [line.split()[0] for line in table(rows)[1:]] == ["berlin-r", "peer-1"]
    wide = drawn(rows, [], 200, 50)[2:]
    assert [line.split()[0] for line in wide] == ["PEER", "berlin-rack-7", "peer-1"]
    assert len({line.index("alive") for line in wide[1:]}) == 1
    assert len(wide[0]) == 78 + len("berlin-rack-7") - 8
