"""Blobs as files: whole or not there, private, bounded, and what is left of a kill is used."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.storage.blobs import PARTS_LIMIT, BlobStore
from protocols.blobs import commands, jobs
from protocols.blobs.naming import CHUNK_BYTES, SIZE_LIMIT
from protocols.blobs.parameters import BlobParameters
from tests.protocols.blobs.exchange import Exchange, Holder, content_of, named


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    opened = BlobStore(tmp_path / "blobs")
    yield opened
    opened.close()


def pieces(content: bytes, size: int = 10_000) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_blob_that_was_put_is_a_private_file_under_its_name(
    store: BlobStore, chunks: int
) -> None:
    content = content_of(chunks)
    blob, index = store.put(pieces(content))
    assert (blob, index) == named(content)
    assert store.path(blob).read_bytes() == content
    assert stat.S_IMODE(store.path(blob).stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path(blob).parent.stat().st_mode) == 0o700
    for chunk in range(index.count):
        assert index.fits(chunk, store.read(blob, chunk))


def test_one_that_is_too_long_leaves_nothing(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most"):
        store.put(bytes(CHUNK_BYTES) for _ in range(SIZE_LIMIT // CHUNK_BYTES + 1))
    assert list((tmp_path / "blobs").iterdir()) == []


def test_it_has_its_name_only_when_it_is_all_there(store: BlobStore) -> None:
    content = content_of(3)
    blob, index = named(content)
    assert store.open(blob, index) == b"\0\0\0"
    for chunk in (2, 0, 1):
        assert not store.path(blob).exists()
        store.write(blob, chunk, content[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES])
    store.finish(blob)
    assert store.path(blob).read_bytes() == content


def test_what_a_kill_left_is_used_and_what_is_torn_is_not(store: BlobStore, tmp_path: Path) -> None:
    content = content_of(4)
    blob, index = named(content)
    store.open(blob, index)
    for chunk in (0, 1, 3):
        store.write(blob, chunk, content[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES])
    store.write(blob, 1, b"torn")
    store.close()
    again = BlobStore(tmp_path / "blobs")
    again.keep_only([])
    assert again.open(blob, index) == b"\1\0\0\1"
    again.close()


def test_unfinished_blobs_have_a_limit_and_the_oldest_goes(
    store: BlobStore, tmp_path: Path
) -> None:
    indexes = [named(content_of(1, seed)) for seed in range(PARTS_LIMIT + 3)]
    for number, (blob, index) in enumerate(indexes):
        store.open(blob, index)
        store.close()
        path = tmp_path / "blobs" / f"{blob.hex()}.part"
        os.utime(path, (number, number))
    left = {path.name for path in (tmp_path / "blobs").iterdir()}
    assert left == {f"{blob.hex()}.part" for blob, _ in indexes[3:]}


def test_at_start_what_no_record_names_goes(store: BlobStore, tmp_path: Path) -> None:
    kept, _ = store.put([content_of(1)])
    lost, _ = store.put([content_of(2)])
    (tmp_path / "blobs" / "put-1.part").write_bytes(b"half")
    store.keep_only([kept])
    assert [path.name for path in (tmp_path / "blobs").iterdir()] == [kept.hex()]
    assert store.read(lost, 0) == b""


def test_a_disk_that_does_not_take_it_says_why(store: BlobStore, tmp_path: Path) -> None:
    blob, index = named(content_of(1))
    written = store.perform(jobs.WriteChunk(blob, 0, b"x"))
    assert written == commands.ChunkWritten(blob, 0, "the blob is not open")
    kept, _ = store.put([b"kept"])
    store.path(kept).unlink()
    store.path(kept).mkdir()
    assert store.perform(jobs.DropBlob(kept)) is None, "it is removed at the next start"
    store.path(kept).rmdir()
    (tmp_path / "blobs" / f"{blob.hex()}.part").mkdir()
    opened = store.perform(jobs.OpenBlob(blob, index.size, index.hashes))
    assert isinstance(opened, commands.BlobOpened)
    assert "directory" in opened.fault


@pytest.mark.slow
def test_64_mib_outlive_a_holder_that_dies_and_a_fetcher_that_is_killed(tmp_path: Path) -> None:
    anna, bert, carl = (Holder(bytes([n]) * 32, BlobParameters()) for n in (1, 2, 3))
    for holder in (anna, bert, carl):
        holder.disk = BlobStore(tmp_path / holder.peer[:1].hex())
    exchange = Exchange(anna, bert, carl)
    content = os.urandom(SIZE_LIMIT)
    blob, index = named(content)
    for holder in (anna, carl):
        assert holder.disk.put(pieces(content, 1 << 20)) == (blob, index)
        holder.shelve(blob, index)
    exchange.fetch(bert, blob, anna)
    for _ in range(2000):
        exchange.work() if exchange.jobs else exchange.deliver()
    exchange.kill(anna)
    exchange.kill(bert)
    bert.disk.close()
    bert.disk = BlobStore(tmp_path / bert.peer[:1].hex())
    exchange.restart(bert)
    exchange.fetch(bert, blob, anna, carl)
    exchange.run()
    assert bert.machine.has(blob)
    assert bert.disk.path(blob).read_bytes() == content
    bert.disk.close()
