"""Several peers' files as one stream."""

import json
from pathlib import Path

import pytest

from mesh.cli.logs import logs
from mesh.telemetry import reading
from mesh.telemetry.telling import Names, told
from tests.telemetry import recorded


def line(at: float, event: str, **fields: object) -> str:
    return json.dumps({"time": at, "peer": "x", "event": event, **fields}) + "\n"


def test_events_of_all_peers_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    entries = list(reading.events(recorded.folder(tmp_path)))
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)
    assert {entry.writer for entry in entries} == set(recorded.PEERS)
    assert len(entries) == 25


def test_what_rotated_comes_before_what_is_there_now(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path, ("peer-1",))
    now = recorded.events(folder, "peer-1")
    now.with_suffix(".1.jsonl").write_text(line(1, "old"), encoding="utf-8")
    assert next(iter(reading.events(folder))).event["event"] == "old"


def test_lines_that_are_no_events_are_passed_over(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path, ("peer-1",))
    torn = ['{"time":1,"ev', "[1]", '{"time":"x","event":"e"}', '{"event":"e"}', "\udcff", "\x00"]
    text = "\n".join([*torn, line(5, "whole")])
    recorded.events(folder, "peer-1").write_text(text, "utf-8", "surrogateescape")
    assert [entry.event["event"] for entry in reading.events(folder)] == ["whole"]


def test_a_peers_own_log_and_its_workers_output_are_part_of_the_past(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path, ("peer-1",))
    place = recorded.events(folder, "peer-1").parent
    (place / "peer.log").write_text(
        "2026-01-01 00:00:00 [warning  ] blamed  by=me\n  a second line\n", encoding="utf-8"
    )
    (place / "worker-crew.log").write_text("hello\n", encoding="utf-8")
    (place / "worker-crew.1.log").write_text("long ago\n", encoding="utf-8")
    entries = [entry for entry in reading.past(folder) if "text" in entry.event]
    assert [(e.event["event"], e.event["text"], e.level) for e in entries] == [
        ("peer.log", "blamed  by=me", "warning"),
        ("peer.log", "  a second line", "info"),
        ("worker.output", "hello", "info"),
    ]
    assert entries[0].time == entries[1].time


def test_following_gives_what_comes_and_what_an_earlier_clock_wrote_first(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path)
    following = reading.Following(folder)
    assert following.read() == []
    one, two = (recorded.events(folder, name) for name in ("peer-1", "peer-2"))
    with one.open("a") as first, two.open("a") as second:
        first.write(line(20, "later"))
        first.flush()
        assert following.read() == []
        second.write(line(10, "earlier") + line(30, "last"))
    assert [entry.event["event"] for entry in following.read()] == ["earlier", "later"]
    assert [entry.event["event"] for entry in following.read()] == ["last"]
    following.close()


def test_every_recorded_event_is_told_in_one_line(tmp_path: Path) -> None:
    names = Names({peer: name for name, peer in recorded.PEERS.items()})
    lines = [told(entry, names) for entry in reading.events(recorded.folder(tmp_path))]
    assert all(text and "\n" not in text for text in lines)
    assert f"tasks.attempts-started  review at peer-3: {recorded.REVIEW}" in lines


def test_an_event_of_another_shape_is_told_as_it_is() -> None:
    event = {"time": 1.0, "event": "tasks.settled", "count": "many"}
    entry = reading.Entry(1.0, "peer-1", event, "info")
    assert told(entry, Names({})) == "tasks.settled  count=many"


def shown(capsys: pytest.CaptureFixture[str], folder: Path, **wanted: object) -> list[str]:
    given: dict[str, object] = {
        "follow": False, "peer": None, "task": "", "kind": None, "level": "debug", "since": "",
        "at": folder, "as_json": False, **wanted,
    }  # fmt: skip
    logs(**given)  # type: ignore[arg-type]  # the options of a verb, by name
    return capsys.readouterr().out.splitlines()


def test_logs_are_chosen_by_peer_task_kind_level_and_age(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded.folder(tmp_path)
    assert len(shown(capsys, folder)) == 25
    assert len(shown(capsys, folder, peer=["peer-2"])) == 3
    about = shown(capsys, folder, task=recorded.REVIEW, as_json=True)
    assert [json.loads(row)["event"] for row in about] == [
        "tasks.accepted", "tasks.attempts-started", "agent.log", "tasks.accepted",
        "tasks.accepted", "tasks.attempts-ran", "tasks.settled",
    ]  # fmt: skip
    assert len(shown(capsys, folder, kind=["auction"])) == len(
        shown(capsys, folder, kind=["auction.lot-cleared", "auction.slots-won"])
    )
    assert shown(capsys, folder, level="warning") == []
    assert shown(capsys, folder, since="1s") == []


def test_what_a_handler_logs_cannot_drive_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded.folder(tmp_path, ("peer-1",))
    text = line(5, "agent.log", task="t", attempt=1, level="info", text="a\x1b[2Jb\nc")
    recorded.events(folder, "peer-1").write_text(text, encoding="utf-8")
    (row,) = shown(capsys, folder)
    assert row.endswith("agent.log  t: a [2Jb c")
