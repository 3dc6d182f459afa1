"""The journal: what it returned for stays, and damage is named."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh.core.records import StepRecord
from mesh.storage import journal as journal_module
from mesh.storage import schema
from mesh.storage.errors import StorageFailed
from mesh.storage.journal import Durability, Journal
from protocols.errors import ConfigurationError, StorageCorrupt

MESH = b"m" * 32
PEER = b"p" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def open_journal(path: Path, durability: Durability = "process") -> Journal:
    return Journal(path, MESH, PEER, durability)


def records(first: int, *data: bytes, sync: bool = False) -> tuple[StepRecord, ...]:
    return tuple(StepRecord(first + i, each, sync) for i, each in enumerate(data))


def stored(path: Path) -> list[bytes]:
    journal = open_journal(path)
    found = list(journal.read())
    journal.close()
    return found


def edit(path: Path, sql: str, *parameters: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql, parameters)
    connection.close()


def test_what_was_appended_is_read_in_order(path: Path) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"a", b"", b"c"))
    journal.append(())
    journal.append(records(4, b"d"))
    assert list(journal.read()) == [b"a", b"", b"c", b"d"]
    journal.close()
    assert stored(path) == [b"a", b"", b"c", b"d"]


def test_the_next_boot_goes_on_behind_the_last(path: Path) -> None:
    for boot in (1, 2, 3):
        journal = open_journal(path)
        assert journal.next_boot() == boot
        journal.append(records(1, b"%d" % boot))
        journal.close()
    assert stored(path) == [b"1", b"2", b"3"]


def test_a_hole_between_records_is_a_bug(path: Path) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"a"))
    with pytest.raises(AssertionError, match="journal-without-holes"):
        journal.append(records(3, b"c"))
    with pytest.raises(AssertionError, match="journal-without-holes"):
        journal.append((StepRecord(2, b"b", False), StepRecord(4, b"d", False)))
    journal.close()


def test_a_checkpoint_replaces_all_before_it(path: Path) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"a", b"b"))
    journal.checkpoint(iter([b"state"]))
    journal.append(records(3, b"c"))
    assert list(journal.read()) == [b"state", b"c"]
    journal.checkpoint([b"newer", b"state"])
    journal.close()
    assert stored(path) == [b"newer", b"state"]


def test_an_empty_checkpoint_leaves_nothing(path: Path) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"a"))
    journal.checkpoint([])
    journal.close()
    assert stored(path) == []


def test_a_large_checkpoint_goes_into_several_rows(path: Path) -> None:
    state = [bytes([i]) * 100_000 for i in range(10)]
    journal = open_journal(path)
    journal.checkpoint(state)
    journal.close()
    assert stored(path) == state


def test_a_snapshot_that_raises_changes_nothing(path: Path) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"a"))

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("a bug in a machine")

    with pytest.raises(RuntimeError):
        journal.checkpoint(broken())
    journal.append(records(2, b"b"))
    journal.close()
    assert stored(path) == [b"a", b"b"]


def test_a_checkpoint_is_due_when_the_journal_outgrows_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "CHECKPOINT_MINIMUM", 1000)
    journal = open_journal(path)
    journal.append(records(1, b"x" * 900))
    assert not journal.should_checkpoint()
    journal.append(records(2, b"x" * 200))
    assert journal.should_checkpoint()
    journal.close()
    journal = open_journal(path)
    assert journal.should_checkpoint()
    journal.checkpoint([b"s" * 1000])
    assert not journal.should_checkpoint()
    journal.append(records(1, b"x" * 1900))
    assert not journal.should_checkpoint()
    journal.append(records(2, b"x" * 300))
    assert journal.should_checkpoint()
    journal.close()


def test_only_groups_that_ask_for_it_are_synced(path: Path) -> None:
    journal = open_journal(path)
    seen = []
    for number, sync in enumerate((False, True, False, True, True, False), start=1):
        journal.append(records(number, b"x", sync=sync))
        seen.append(journal.synced)
    assert seen == [False, True, False, True, True, False]
    journal.append((StepRecord(7, b"x", False), StepRecord(8, b"x", True)))
    assert journal.synced
    journal.close()


def test_with_durability_disk_every_group_is_synced(path: Path) -> None:
    journal = open_journal(path, "disk")
    journal.next_boot()
    journal.append(records(1, b"x"))
    journal.checkpoint([b"state"])
    journal.append(records(2, b"x"))
    assert journal.synced
    journal.close()


def test_the_file_is_its_owners_alone(path: Path) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"x"))
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600}
    journal.close()


def test_another_peers_journal_is_refused(path: Path) -> None:
    open_journal(path).close()
    with pytest.raises(ConfigurationError, match="is the journal of peer"):
        Journal(path, MESH, b"q" * 32)
    with pytest.raises(ConfigurationError, match="is the journal of mesh"):
        Journal(path, b"n" * 32, PEER)


def test_a_newer_version_is_refused(path: Path) -> None:
    open_journal(path).close()
    edit(path, "UPDATE meta SET value = 99 WHERE key = 'version'")
    with pytest.raises(ConfigurationError, match=r"version 99, .*newer stigmesh"):
        open_journal(path)


def test_an_older_version_is_migrated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"a"))
    journal.close()
    more = ("CREATE TABLE more (x)", "INSERT INTO meta VALUES ('more', 1)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, more))
    assert stored(path) == [b"a"]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone() == (2,)
    connection.close()
    assert stored(path) == [b"a"]


def test_a_second_process_finds_the_file_locked(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "BUSY_TIMEOUT_S", 0.01)
    journal = open_journal(path)
    with pytest.raises(StorageFailed, match="another process has the file open"):
        open_journal(path)
    journal.append(records(1, b"a"))
    journal.close()


def _forget_a_group(path: Path) -> None:
    edit(path, "DELETE FROM journal WHERE sequence = 2")


def _swap_groups(path: Path) -> None:
    edit(path, "UPDATE journal SET sequence = sequence + 10 WHERE sequence IN (2, 3)")
    edit(path, "UPDATE journal SET sequence = 15 - sequence WHERE sequence IN (12, 13)")


def _rot_a_group(path: Path) -> None:
    edit(path, "UPDATE journal SET body = CAST(substr(body, 1, 6) || '?' AS BLOB)")


def _empty_a_group(path: Path) -> None:
    edit(path, "UPDATE journal SET body = x'' WHERE sequence = 3")


def _make_a_group_text(path: Path) -> None:
    edit(path, "UPDATE journal SET body = 'text' WHERE sequence = 3")


def _forget_a_checkpoint_row(path: Path) -> None:
    edit(path, "DELETE FROM checkpoint")


def _rot_the_checkpoint(path: Path) -> None:
    edit(path, "UPDATE checkpoint SET body = x'0102030405'")


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (_forget_a_group, "row 2 of journal: it is missing"),
        (_swap_groups, "row 2 of journal: its checksum is wrong"),
        (_rot_a_group, "row 2 of journal: its checksum is wrong"),
        (_empty_a_group, "row 3 of journal: it holds no framed records"),
        (_make_a_group_text, "row 3 of journal: it holds no framed records"),
        (_forget_a_checkpoint_row, "row 1 of checkpoint: it is missing"),
        (_rot_the_checkpoint, "row 1 of checkpoint: its checksum is wrong"),
    ],
)
def test_damage_is_named(path: Path, damage: Callable[[Path], None], where: str) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"before"))
    journal.checkpoint([b"the state"])
    for number in (2, 3, 4):
        journal.append(records(number, b"record %d" % number))
    journal.close()
    damage(path)
    journal = open_journal(path)
    with pytest.raises(StorageCorrupt, match=where) as caught:
        list(journal.read())
    assert str(path) in str(caught.value)
    assert "restore it from a backup" in str(caught.value)
    with pytest.raises(StorageFailed):
        journal.append(records(1, b"over the hole"))
    journal.close()


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("DELETE FROM meta WHERE key = 'peer'", "does not name its peer"),
        ("UPDATE meta SET value = 'many' WHERE key = 'boot'", "'boot' is 'many'"),
        ("DELETE FROM meta WHERE key = 'version'", "has no version"),
    ],
)
def test_damage_to_what_the_file_says_of_itself_is_named(path: Path, sql: str, what: str) -> None:
    open_journal(path).close()
    edit(path, sql)
    with pytest.raises(StorageCorrupt, match=what):
        open_journal(path)


def test_a_file_that_is_no_database_is_damage(path: Path) -> None:
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StorageCorrupt, match="is damaged"):
        open_journal(path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"cannot open the journal .*No such file"):
        open_journal(tmp_path / "nowhere" / "journal.db")


def test_after_a_copy_of_the_whole_file_both_read_the_same(path: Path, tmp_path: Path) -> None:
    journal = open_journal(path)
    journal.append(records(1, b"a", b"b"))
    journal.close()
    shutil.copy(path, tmp_path / "copy.db")
    assert stored(tmp_path / "copy.db") == [b"a", b"b"]


def test_a_closed_journal_refuses(path: Path) -> None:
    journal = open_journal(path)
    journal.close()
    journal.close()
    with pytest.raises(StorageFailed, match="is closed"):
        journal.append(records(1, b"a"))
