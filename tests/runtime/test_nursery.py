"""What a peer's log holds when its process ends by a bug."""

import gc
import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from mesh.runtime import nursery

pytestmark = pytest.mark.processes


def start_and_wait(folder: Path) -> int:
    """Starts ``peer-1`` from this very process; gives its exit status."""
    try:
        pids = nursery.start(folder, ["peer-1"])
    finally:
        gc.unfreeze()
    _, status = os.waitpid(pids["peer-1"], 0)
    return os.waitstatus_to_exitcode(status)


def test_a_peer_that_ends_by_a_bug_leaves_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_peer(folder: Path, name: str) -> NoReturn:
        raise KeyError("nobody thought of this")

    monkeypatch.setattr(nursery, "run_peer", run_peer)
    log = tmp_path / "peers" / "peer-1" / "peer.log"
    log.parent.mkdir(parents=True)
    with open(2, "w", closefd=False) as stderr:
        # As in a process of its own: pytest's would never reach the log.
        monkeypatch.setattr(sys, "stderr", stderr)
        status = start_and_wait(tmp_path)
    assert status == 1
    text = log.read_text()
    assert "Traceback" in text
    assert "nobody thought of this" in text


def test_a_long_log_is_set_aside_when_its_peer_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nursery, "run_peer", lambda folder, name: 0)
    monkeypatch.setattr(nursery, "LOG_LIMIT", 10)
    log = tmp_path / "peers" / "peer-1" / "peer.log"
    log.parent.mkdir(parents=True)
    log.write_text("a line of before\n")
    assert start_and_wait(tmp_path) == 0
    assert log.read_text() == ""
    assert log.with_name("peer.1.log").read_text() == "a line of before\n"
