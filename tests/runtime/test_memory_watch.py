"""How much a process holds, measured."""

import mmap
import os

import pytest
import trio

from mesh.runtime import memory_watch
from mesh.runtime.memory_watch import held_by, watch

MEGABYTE = 1_000_000


def test_what_is_reserved_and_not_touched_is_not_held() -> None:
    before = held_by(os.getpid())
    with mmap.mmap(-1, 500 * MEGABYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as reserved:
        assert held_by(os.getpid()) - before < 50 * MEGABYTE
        reserved.write(b"x" * (100 * MEGABYTE))
        assert held_by(os.getpid()) - before > 90 * MEGABYTE


@pytest.mark.parametrize("has_proc", [True, False])
async def test_too_much_is_told_once_and_a_limit_counts_from_when_it_is_set(
    has_proc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_watch, "PROC", has_proc)
    monkeypatch.setattr(memory_watch, "LOOK_S", (0.001, 0.002))
    monkeypatch.setattr(memory_watch, "SLOW_LOOK_S", 0.001)
    limits = [1, 0, 0]
    told: list[int] = []
    with trio.fail_after(20):
        await watch(os.getpid(), lambda: limits.pop(), told.append)
    assert limits == []
    assert len(told) == 1
    assert told[0] > MEGABYTE
