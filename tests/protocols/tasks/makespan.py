"""One skill's desk in virtual time: how long until the last of many tasks is done."""

import heapq
from collections.abc import Callable

from protocols.machine import MICROSECOND_NS, MILLISECOND_NS, SECOND_NS
from protocols.tasks.breakers import Breakers
from protocols.tasks.dispatch import Desk, Slots
from protocols.tasks.lifecycle import DONE, RUNNING
from protocols.tasks.task import NIL, Attempt, Envelope, Task

ROUND_TRIP_NS = MILLISECOND_NS
TARGET_US = 4_000
ENVELOPE = Envelope("work", "1", "auction", b"", 0, 0, 2, 0, 0, "", "", 0, "default", "")


def bound_ns(durations: list[int], speeds: list[float]) -> float:
    """What no scheduler can beat, however much it knows."""
    return max(sum(durations) / sum(speeds), max(durations) / max(speeds))


def makespan_ns(
    durations: list[int],
    speeds: list[float],
    has_weights: bool,
    way_ns: Callable[[], int] = lambda: ROUND_TRIP_NS // 2,
) -> int:
    """Runs the tasks on one slot for each speed, every message as late as `way_ns` says."""
    desk = Desk(("work", "1", b"", (), ""), TARGET_US, Breakers())
    for index, duration in enumerate(durations):
        weight = duration // MICROSECOND_NS if has_weights else 0
        desk.line.push(Task(str(index), ENVELOPE, desk, NIL, "", weight, b"", 0))
    workers = [desk.hold(f"lot-{index}", bytes([index]), 1, 0) for index in range(len(speeds))]
    speed_of = dict(zip(workers, speeds, strict=True))
    busy_until = dict.fromkeys(workers, 0)
    heap: list[tuple[int, int, Slots | None, Task | None]] = []
    now, order, left = SECOND_NS, 0, len(durations)

    def fill() -> None:
        nonlocal order
        for slots, tasks in desk.fill(now):
            for task in tasks:
                task.current = Attempt(1, slots.lot, slots.peer, slots, now, 0)
                task.state = RUNNING
                slots.running[task] = None
                desk.running += 1
                begin = max(now + way_ns(), busy_until[slots])
                busy_until[slots] = begin + int(durations[int(task.id)] / speed_of[slots])
                order += 1
                heapq.heappush(heap, (busy_until[slots] + way_ns(), order, slots, task))
        order += 1
        if desk.again_at < 1 << 62:
            heapq.heappush(heap, (desk.again_at, order, None, None))

    fill()
    while left:
        now, _, slots, task = heapq.heappop(heap)
        if slots is not None and task is not None:
            left -= 1
            elapsed_us = int(durations[int(task.id)] / speed_of[slots]) // MICROSECOND_NS
            assert task.current is not None
            if len(slots.running) == 1:
                whole_us = (now - task.current.started) / MICROSECOND_NS
                slots.pace.observe_round_trip(whole_us - elapsed_us)
            slots.pace.observe(1, elapsed_us)
            if task.weight_us:
                slots.pace.observe_weight(task.weight_us, elapsed_us)
            slots.grow(TARGET_US)
            del slots.running[task]
            desk.running -= 1
            task.current, task.state = None, DONE
            desk.free[slots] = None
        fill()
    return now - SECOND_NS
