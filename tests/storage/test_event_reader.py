"""Events from a cursor on, across rotation."""

from pathlib import Path

import pytest

from mesh.storage.event_reader import Cursor, CursorRefused, EventReader


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def rotate(path: Path) -> None:
    path.replace(path.with_suffix(".1.jsonl"))


def read(reader: EventReader, cursor: Cursor, limit: int = 100) -> tuple[list[str], Cursor, bool]:
    batch = reader.read(cursor, limit)
    assert len(batch.lines) == len(batch.ends)
    return [line.decode() for line in batch.lines], batch.cursor, batch.is_gap


def test_a_cursor_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a", "b", "c")
    reader = EventReader(path)
    lines, cursor, _ = read(reader, Cursor(), 2)
    assert lines == ["a", "b"]
    assert read(reader, Cursor.parse(str(cursor)))[0] == ["c"]


def test_every_line_has_a_cursor_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a", "b", "c")
    reader = EventReader(path)
    ends = reader.read(Cursor(), 100).ends
    assert [read(reader, end)[0] for end in ends] == [["b", "c"], ["c"], []]


def test_nothing_is_missed_or_told_twice_across_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a", "b")
    reader = EventReader(path)
    cursor = read(reader, Cursor(), 1)[1]
    rotate(path)
    write(path, "c")
    lines, cursor, is_gap = read(reader, cursor)
    assert (lines, is_gap) == (["b", "c"], False)
    write(path, "d")
    assert read(reader, cursor)[0] == ["d"]


def test_a_file_that_is_gone_is_a_gap_and_what_is_kept_follows(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a", "b")
    reader = EventReader(path)
    cursor = read(reader, Cursor(), 1)[1]
    for line in ("c", "d"):
        rotate(path)
        write(path, line)
    lines, cursor, is_gap = read(reader, cursor)
    assert (lines, is_gap) == (["c", "d"], True)
    assert read(reader, cursor) == ([], cursor, False)


def test_half_a_line_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, "a")
    with path.open("a") as file:
        file.write("half")
    reader = EventReader(path)
    lines, cursor, _ = read(reader, Cursor())
    assert lines == ["a"]
    assert reader.end() == cursor
    write(path, " and half")
    assert read(reader, cursor)[0] == ["half and half"]


def test_without_files_there_is_nothing_and_their_first_line_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    cursor = reader.end()
    assert read(reader, cursor) == ([], Cursor(), False)
    write(path, "a")
    assert read(reader, cursor)[0] == ["a"]


@pytest.mark.parametrize("text", ["x", "x:", ":1", "a:b", "a:-1", "../x:1", "a:" + "9" * 20])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorRefused):
        Cursor.parse(text)
