"""Lines of files that grow, are renamed, and are cut."""

import os
from pathlib import Path

import pytest

from mesh.telemetry import files
from mesh.telemetry.files import Follower, lines_of


def add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_a_line_is_given_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    follower = Follower(path, from_end=False)
    assert follower.read() == []
    add(path, "one\ntw")
    assert follower.read() == [b"one"]
    add(path, "o\n")
    assert follower.read() == [b"two"]
    assert follower.read() == []
    follower.close()


def test_what_was_there_before_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    add(path, "old\n")
    follower = Follower(path, from_end=True)
    add(path, "new\n")
    assert follower.read() == [b"new"]
    follower.close()


def test_a_file_that_is_renamed_is_read_to_its_end_before_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    add(path, "one\n")
    follower = Follower(path, from_end=False)
    assert follower.read() == [b"one"]
    add(path, "two\n")
    path.replace(tmp_path / "log.1")
    add(path, "three\n")
    assert follower.read() == [b"two", b"three"]
    add(path, "four\n")
    assert follower.read() == [b"four"]
    follower.close()


def test_what_comes_between_the_last_look_and_the_new_name_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    add(path, "one\n")
    follower = Follower(path, from_end=False)
    look = os.stat

    def meanwhile(where: Path) -> os.stat_result:
        monkeypatch.undo()
        add(path, "two\n")
        path.replace(tmp_path / "log.1")
        add(path, "three\n")
        return look(where)

    monkeypatch.setattr(os, "stat", meanwhile)
    assert follower.read() == [b"one", b"two", b"three"]
    follower.close()


def test_a_file_that_is_cut_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    add(path, "a long line before the cut\n")
    follower = Follower(path, from_end=False)
    follower.read()
    path.write_text("new\n", encoding="utf-8")
    assert follower.read() == [b"new"]
    follower.close()


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * (3 * files.LINE_LIMIT) + b"\nlast\n")
    assert max(len(line) for line in lines_of(path)) <= files.LINE_LIMIT + files.READ_BYTES
    follower = Follower(path, from_end=False)
    assert follower.read()[-1] == b"last"
    follower.close()


def test_a_file_that_is_missing_has_no_lines(tmp_path: Path) -> None:
    assert list(lines_of(tmp_path / "none")) == []
