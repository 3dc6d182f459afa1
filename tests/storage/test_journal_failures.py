"""The journal when the disk fails, and when its process is killed."""

import os
import random
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.core.records import StepRecord
from mesh.storage.errors import StorageFailed
from mesh.storage.journal import Journal

MESH = b"m" * 32
PEER = b"p" * 32
ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = 12


def fill(journal: Journal, first: int = 1) -> list[bytes]:
    """Appends until the disk refuses; what was acknowledged."""
    acknowledged: list[bytes] = []
    for number in range(first, first + 10_000):
        data = b"%d" % number * 50
        try:
            journal.append((StepRecord(number, data, False),))
        except StorageFailed:
            return acknowledged
        acknowledged.append(data)
    raise AssertionError("the disk never filled up")


def test_after_a_full_disk_nothing_is_acknowledged_and_the_rest_is_readable(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path, MESH, PEER, page_limit=20)
    acknowledged = fill(journal)
    assert acknowledged
    small = StepRecord(len(acknowledged) + 1, b"", False)
    for _ in range(3):
        with pytest.raises(StorageFailed, match=r"full: free some space") as caught:
            journal.append((small,))
        assert str(path) in str(caught.value)
    with pytest.raises(StorageFailed):
        journal.checkpoint([])
    with pytest.raises(StorageFailed):
        journal.next_boot()
    with pytest.raises(StorageFailed):
        list(journal.read())
    journal.close()
    journal = Journal(path, MESH, PEER)
    assert list(journal.read()) == acknowledged
    journal.append((StepRecord(1, b"there is room again", False),))
    journal.close()


def test_a_checkpoint_that_does_not_fit_leaves_the_old_state(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path, MESH, PEER, page_limit=20)
    journal.append((StepRecord(1, b"a", False),))
    with pytest.raises(StorageFailed, match="cannot write a checkpoint"):
        journal.checkpoint(b"x" * 10_000 for _ in range(100))
    with pytest.raises(StorageFailed):
        journal.append((StepRecord(2, b"b", False),))
    journal.close()
    journal = Journal(path, MESH, PEER)
    assert list(journal.read()) == [b"a"]
    journal.close()


@pytest.fixture
def file_limit() -> Iterator[int]:
    """Writes beyond this many bytes of a file fail, as on a broken disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = 300_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, previous)


def test_a_write_error_stops_the_journal(tmp_path: Path, file_limit: int) -> None:
    path = tmp_path / "journal.db"
    journal = Journal(path, MESH, PEER)
    acknowledged = fill(journal)
    assert acknowledged
    with pytest.raises(StorageFailed, match="cannot append to the journal"):
        journal.append((StepRecord(len(acknowledged) + 1, b"", False),))
    resource.setrlimit(
        resource.RLIMIT_FSIZE,
        (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]),
    )
    journal.close()
    journal = Journal(path, MESH, PEER)
    assert list(journal.read()) == acknowledged
    journal.close()


CHILD = """
import os, sys
from pathlib import Path
from mesh.core.records import StepRecord
from mesh.storage.journal import Journal
journal = Journal(Path(sys.argv[1]), b"m" * 32, b"p" * 32)
serial = int(sys.argv[2])
first = True
number = 0
print(journal.next_boot(), flush=True)
state = []
while True:
    group = []
    for _ in range(1 + serial % 7):
        serial += 1
        number += 1
        group.append(StepRecord(number, b"%d" % serial * (1 + serial % 300), serial % 50 == 0))
    journal.append(group)
    os.write(1, b"%d\\n" % serial)
    if serial % 11 == 0:
        journal.checkpoint([b"up to %d" % serial])
"""


def test_kill_9_loses_nothing_that_append_returned_for(tmp_path: Path, rng: random.Random) -> None:
    path = tmp_path / "journal.db"
    serial = 0
    for boot in range(1, KILLS + 1):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(serial)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        try:
            ready, _, _ = select.select([child.stdout], [], [], 20)
            assert ready, "the child did not start"
            assert child.stdout.readline() == b"%d\n" % boot
            select.select([], [], [], rng.uniform(0, 0.03))
        finally:
            os.kill(child.pid, signal.SIGKILL)
        lines = child.stdout.read().split(b"\n")
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        acknowledged = max([serial, *(int(line) for line in lines[:-1])])
        serial = _last_serial(path, boot)
        assert serial >= acknowledged


def _last_serial(path: Path, boot: int) -> int:
    """The last record's serial; asserts that nothing before it is missing or twice there."""
    journal = Journal(path, MESH, PEER)
    assert journal.boot == boot
    found = list(journal.read())
    journal.close()
    serial = 0
    if found and found[0].startswith(b"up to "):
        serial = int(found.pop(0).removeprefix(b"up to "))
    for data in found:
        serial += 1
        assert data == b"%d" % serial * (1 + serial % 300)
    return serial
