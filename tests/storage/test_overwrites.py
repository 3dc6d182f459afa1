"""Memory and disk of a blackboard follow what is live, not what was written.

A million overwrites are `python -m tests.benchmarks.overwrites`; see docs/experiments.md.
"""

from pathlib import Path

import pytest

from mesh.storage.journal import CHECKPOINT_MINIMUM
from tests.benchmarks.overwrites import BATCH, Overwriting

KEYS = 200
WRITES = 20_000


@pytest.mark.slow
def test_twenty_thousand_overwrites_of_two_hundred_keys_leave_two_hundred(tmp_path: Path) -> None:
    run = Overwriting(tmp_path, KEYS)
    for _ in range(WRITES // 4 // BATCH):
        run.batch()
    early = run.held()
    for _ in range(WRITES * 3 // 4 // BATCH):
        run.batch()
    for before, after in zip(early, run.held(), strict=True):
        assert after.live == KEYS
        assert after.segments <= KEYS
        assert after.hashes <= 12 * KEYS
        assert after.snapshot_bytes < 1.5 * before.snapshot_bytes
        # A journal is written anew when it has outgrown what it stands for.
        assert after.journal_bytes < 4 * CHECKPOINT_MINIMUM
    assert run.read(0) == run.read(1) == run.values
    run.close()
