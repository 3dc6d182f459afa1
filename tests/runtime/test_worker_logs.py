"""What a worker process writes, as long as it runs."""

from pathlib import Path

import pytest
import trio

from mesh.runtime import worker_process
from mesh.runtime.worker_process import WorkerProcess
from tests.runtime.transport_rig import eventually

LIMIT = 100_000
TALKS = """#!/bin/sh
n=0
while [ $n -lt 30000 ]; do n=$((n+1)); echo "line $n"; done
sleep 0.3
echo "the last line"
exec sleep 600
"""


async def test_the_log_of_a_worker_that_lives_on_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "LOG_LIMIT", LIMIT)
    monkeypatch.setattr(worker_process, "LOG_LOOK_S", 0.01)
    talker, file = tmp_path / "talker", tmp_path / "agent.py"
    talker.write_text(TALKS)
    talker.chmod(0o700)
    file.touch()
    worker = WorkerProcess(str(file), socket=tmp_path / "s.sock", logs=tmp_path, python=str(talker))
    log, before = tmp_path / "worker-agent.log", tmp_path / "worker-agent.1.log"

    def ends_with_the_last_line() -> bool:
        texts = [path.read_text() for path in (before, log) if path.exists()]
        return "".join(texts).endswith("line 30000\nthe last line\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        await eventually(ends_with_the_last_line)
        await eventually(lambda: log.stat().st_size <= LIMIT)
        assert 0 < before.stat().st_size <= LIMIT
        assert before.stat().st_mode & 0o777 == 0o600
        assert worker.restarts == 0
        nursery.cancel_scope.cancel()
