"""The journal against arbitrary contents, torn tails and rot."""

import contextlib
import operator
import shutil
import tempfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.records import StepRecord
from mesh.storage.errors import StorageFailed
from mesh.storage.framing import decode_row, encode_row
from mesh.storage.journal import Journal
from protocols.errors import ConfigurationError, StorageCorrupt

MESH = b"m" * 32
PEER = b"p" * 32

groups = st.lists(st.lists(st.binary(max_size=6000), min_size=1, max_size=5), max_size=12)


def number_groups(contents: list[list[bytes]]) -> Iterator[list[StepRecord]]:
    number = 0
    for content in contents:
        group = []
        for data in content:
            number += 1
            group.append(StepRecord(number, data, sync=False))
        yield group


def prefixes(contents: list[list[bytes]]) -> list[list[bytes]]:
    """What a reader may find: the first n groups, for every n."""
    flat: list[bytes] = []
    return list(accumulate(contents, operator.add, initial=flat))


def reread(folder: Path) -> list[bytes]:
    journal = Journal(folder / "journal.db", MESH, PEER)
    try:
        return list(journal.read())
    finally:
        journal.close()


@given(st.integers(1, 2**63 - 1), st.lists(st.binary(max_size=300), max_size=20))
def test_a_row_decodes_to_what_was_encoded(number: int, records: list[bytes]) -> None:
    assert decode_row(number, encode_row(number, records)) == records


@given(st.integers(1, 2**32), st.lists(st.binary(max_size=50), max_size=5), st.data())
def test_a_row_with_a_wrong_byte_or_number_is_refused(
    number: int, records: list[bytes], data: st.DataObject
) -> None:
    row = bytearray(encode_row(number, records))
    with pytest.raises(ValueError, match="checksum"):
        decode_row(number + 1, bytes(row))
    position = data.draw(st.integers(0, len(row) - 1))
    row[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="it"):
        decode_row(number, bytes(row))


@given(groups, st.integers(0, 11))
@settings(max_examples=30)
def test_any_groups_are_read_back(contents: list[list[bytes]], checkpoint_after: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        journal = Journal(Path(name) / "journal.db", MESH, PEER)
        for index, group in enumerate(number_groups(contents)):
            journal.append(group)
            if index == checkpoint_after:
                journal.checkpoint(list(journal.read()))
        journal.close()
        assert reread(Path(name)) == [data for content in contents for data in content]


@given(groups, st.data())
@settings(max_examples=40)
def test_a_log_torn_at_any_byte_reads_as_a_prefix_of_groups(
    contents: list[list[bytes]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "torn").mkdir()
        journal = Journal(folder / "journal.db", MESH, PEER)
        for group in number_groups(contents):
            journal.append(group)
        log = folder / "journal.db-wal"
        size = log.stat().st_size if log.exists() else 0
        found = []
        for cut in sorted(data.draw(st.lists(st.integers(0, size), min_size=1, max_size=4))):
            shutil.copy(folder / "journal.db", folder / "torn" / "journal.db")
            shutil.copy(log, folder / "torn" / "journal.db-wal")
            with (folder / "torn" / "journal.db-wal").open("r+b") as file:
                file.truncate(cut)
            found.append(reread(folder / "torn"))
        journal.close()
    assert all(each in prefixes(contents) for each in found)
    assert [len(each) for each in found] == sorted(len(each) for each in found)


def test_a_schema_that_rotted_into_no_text_is_damage_and_no_crash(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db", MESH, PEER).close()
    found = bytearray((tmp_path / "journal.db").read_bytes())
    begin = found.index(b"CREATE TABLE")
    for place in range(begin, begin + 60):
        rotten = bytearray(found)
        rotten[place] ^= 1 << 7
        (tmp_path / "journal.db").write_bytes(rotten)
        with contextlib.suppress(StorageCorrupt, StorageFailed, ConfigurationError):
            assert reread(tmp_path) == []


@given(
    st.lists(st.lists(st.binary(max_size=3000), min_size=1, max_size=3), min_size=1, max_size=6),
    st.booleans(),
    st.data(),
)
@settings(max_examples=60)
def test_a_rotten_byte_is_never_read_as_something_else(
    contents: list[list[bytes]], in_the_log: bool, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal(folder / "journal.db", MESH, PEER)
        for group in number_groups(contents):
            journal.append(group)
        if not in_the_log:
            journal.close()
        victim = folder / ("journal.db-wal" if in_the_log else "journal.db")
        rotten = bytearray(victim.read_bytes())
        position = data.draw(st.integers(0, len(rotten) - 1))
        rotten[position] ^= 1 << data.draw(st.integers(0, 7))
        (folder / "rotten").mkdir()
        shutil.copy(folder / "journal.db", folder / "rotten" / "journal.db")
        (folder / "rotten" / victim.name).write_bytes(rotten)
        journal.close()
        try:
            found = reread(folder / "rotten")
        except (StorageCorrupt, StorageFailed, ConfigurationError):
            return
    assert found in prefixes(contents)
