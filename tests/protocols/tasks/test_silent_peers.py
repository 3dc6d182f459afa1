"""A peer that takes work and never answers holds nobody up for long."""

from protocols.machine import SECOND_NS
from protocols.tasks.dispatch import Desk
from protocols.tasks.task import NIL, Task
from tests.protocols.tasks.makespan import ENVELOPE


def test_a_task_does_not_wait_for_a_fast_slot_that_it_avoids() -> None:
    desk = Desk(("work", "1", b""), 4_000)
    fast = desk.hold("fast", b"f", 1, 0)
    slow = desk.hold("slow", b"s", 1, 0)
    fast.pace.observe(8, 8 * 100_000)
    slow.pace.observe(8, 8 * 1_000_000)
    task = Task("lost", ENVELOPE, desk, NIL, "", 0, b"", 0)
    desk.line.push(task)
    task.avoid, task.avoid_until = (b"f",), 10 * SECOND_NS
    assert [slots.lot for slots, _ in desk.fill(SECOND_NS)] == ["slow"]
