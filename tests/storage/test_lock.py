"""The lock on a peer's folder: one process, and it dies with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.local.discovery import running_pid
from mesh.storage.lock import FolderLock
from protocols.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent.parent
CHILD = """
import sys
from pathlib import Path
from mesh.storage.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(ConfigurationError) as caught:
            FolderLock(tmp_path)
        assert f"process {child.pid} already runs a peer in {tmp_path}" in str(caught.value)
        assert running_pid(tmp_path) == child.pid
        assert (tmp_path / "pid").read_text() == f"{child.pid}\n"
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()
    assert running_pid(tmp_path) is None
    with FolderLock(tmp_path):
        assert running_pid(tmp_path) == os.getpid()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(ConfigurationError):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    assert not (tmp_path / "pid").exists()
    with FolderLock(tmp_path):
        pass


def test_a_folder_without_a_lock_file_runs_nothing(tmp_path: Path) -> None:
    assert running_pid(tmp_path) is None
    assert running_pid(tmp_path / "nowhere") is None


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot lock the folder .*nowhere"):
        FolderLock(tmp_path / "nowhere")
