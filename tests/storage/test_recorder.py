"""Where a recording lies: private, bounded, and never in the peer's way."""

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from mesh.core.recording import MAGIC
from mesh.storage import recorder as module
from mesh.storage.recorder import Recorder
from tests.processes.rig import PATIENCE_S, until

IMAGE = (b"opening", b"i" * 1000)
BLOCK = b"b" * 1000


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path / "recording", limit=10_000)
    yield recorder
    recorder.close()


def sizes(folder: Path) -> dict[str, int]:
    return {path.stem: path.stat().st_size for path in sorted((folder / "recording").iterdir())}


def test_files_and_folder_are_the_users_own(recorder: Recorder, tmp_path: Path) -> None:
    recorder.begin("000001-000001", IMAGE, most=3000)
    recorder.append(BLOCK)
    recorder.close()
    (path,) = (tmp_path / "recording").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert path.stat().st_size == len(MAGIC) + sum(8 + len(p) for p in (*IMAGE, BLOCK))


def test_the_oldest_segments_go_first_those_of_earlier_starts_too(
    recorder: Recorder, tmp_path: Path
) -> None:
    for boot in (1, 2):
        for segment in (1, 2, 3):
            recorder.begin(f"{boot:06d}-{segment:06d}", IMAGE, most=3000)
            recorder.append(BLOCK)
            recorder.append(BLOCK)
    recorder.close()
    kept = sizes(tmp_path)
    assert list(kept) == ["000002-000001", "000002-000002", "000002-000003"]
    assert sum(kept.values()) <= 10_000
    assert recorder.failure == ""


def test_a_disk_that_refuses_is_told_and_tried_again(recorder: Recorder, tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    folder.write_text("a file where the folder should be")
    recorder.begin("000001-000001", IMAGE, most=3000)
    recorder.append(BLOCK)
    until(lambda: recorder.is_idle, "the recorder to be through")
    assert "cannot make the folder" in recorder.failure
    folder.unlink()
    recorder.append(BLOCK)
    assert recorder.failure, "a segment without a beginning is worth nothing"
    recorder.begin("000001-000003", IMAGE, most=3000)
    recorder.close()
    assert recorder.failure == ""
    assert list(sizes(tmp_path)) == ["000001-000003"]


def test_room_is_left_to_others(recorder: Recorder, tmp_path: Path) -> None:
    almost_full = mock.Mock(f_bavail=module.RESERVE_BYTES // 4096, f_frsize=4096)
    with mock.patch.object(os, "fstatvfs", return_value=almost_full):
        recorder.begin("000001-000001", IMAGE, most=3000)
        recorder.close()
    assert "less than 256 MiB are free" in recorder.failure


def test_a_disk_that_hangs_ends_the_recording_and_holds_nobody_up(recorder: Recorder) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang(*arguments: object) -> int:
        entered.set()
        leave.wait(PATIENCE_S)
        raise OSError("it was pulled out at last")

    with mock.patch.object(os, "write", hang), mock.patch.object(module, "BACKLOG_LIMIT", 5000):
        recorder.begin("000001-000001", IMAGE, most=3000)
        assert entered.wait(PATIENCE_S)
        for _ in range(6):
            recorder.append(BLOCK)
        assert "the disk is too slow" in recorder.failure
        recorder.begin("000001-000003", IMAGE, most=3000)
        assert recorder.failure, "the same write still hangs"
        leave.set()
        recorder.close()
