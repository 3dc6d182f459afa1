"""Work that waits for work: parking, children, cancelling them, draining."""

import msgspec
import pytest

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.messages import Outcome
from tests.protocols.tasks.support import Peer, Town, echo, hanging, raw, skill, spec


class Nested:
    """An agent that calls itself until it is deep enough, parking while it waits."""

    def __init__(self, made: Town, depth: int, width: int = 1) -> None:
        self.made = made
        self.depth = depth
        self.width = width
        self.leaf_hangs = False
        self.waiting: dict[str, tuple[Peer, events.RunJob, list[str]]] = {}

    def __call__(self, peer: Peer, job: events.RunJob) -> tuple[int, Outcome] | None:
        if job.depth >= self.depth and self.leaf_hangs:
            return None
        if job.depth >= self.depth:
            return MILLISECOND_NS, Outcome(job.task, job.attempt, "ok", raw(1), 1000)
        self.made.after(MILLISECOND_NS, lambda: self.call(peer, job))
        return None

    def call(self, peer: Peer, job: events.RunJob) -> None:
        if (job.custodian, job.task, job.attempt) not in peer.running:
            return
        child = spec(parent=job.task, depth=job.depth + 1)
        ids = peer.submit(*[child] * self.width)
        peer.command(commands.JobParked(job.custodian, job.task, job.attempt, True))
        self.poll(peer, job, ids, peer.machine)

    def poll(self, peer: Peer, job: events.RunJob, ids: list[str], machine: object) -> None:
        if peer.machine is not machine:
            return
        settled = peer.settled
        if not all(task in settled for task in ids):
            self.made.after(MILLISECOND_NS, lambda: self.poll(peer, job, ids, machine))
            return
        peer.command(commands.JobParked(job.custodian, job.task, job.attempt, False))
        self.finish(peer, job, ids, machine)

    def finish(self, peer: Peer, job: events.RunJob, ids: list[str], machine: object) -> None:
        key = (job.custodian, job.task, job.attempt)
        if peer.machine is not machine or key not in peer.running:
            return
        if key not in peer.resumed:
            self.made.after(MILLISECOND_NS, lambda: self.finish(peer, job, ids, machine))
            return
        total = sum(msgspec.msgpack.decode(peer.settled[task].value) for task in ids)
        peer.end(key, Outcome(job.task, job.attempt, "ok", raw(total), 2000))


@pytest.mark.parametrize("peers", [1, 3])
def test_work_nested_ten_deep_ends_with_one_slot_a_peer(peers: int) -> None:
    names = [f"p{index}" for index in range(peers)]
    made = Town(*names)
    nested = Nested(made, depth=10)
    for name in names:
        made.start(name, (skill(), 1), run=nested)
    made.run(10 * MILLISECOND_NS)
    ids = made["p0"].submit(*[spec() for _ in range(8)])
    made.run_until(lambda: all(task in made["p0"].settled for task in ids), 60 * SECOND_NS)
    assert {made["p0"].settled[task].state for task in ids} == {"done"}


@pytest.mark.slow
def test_many_parents_with_several_children_each_end_with_one_slot_a_peer() -> None:
    made = Town("a", "b")
    nested = Nested(made, depth=3, width=3)
    for name in ("a", "b"):
        made.start(name, (skill(), 1), run=nested)
    made.run(10 * MILLISECOND_NS)
    ids = made["a"].submit(*[spec() for _ in range(12)])
    made.run_until(lambda: all(task in made["a"].settled for task in ids), 120 * SECOND_NS)
    values = [msgspec.msgpack.decode(made["a"].settled[task].value) for task in ids]
    assert values == [27] * 12


def test_parked_tasks_are_bounded_and_beyond_only_children_start() -> None:
    made = Town("a")
    made.start("a", (skill(), 1), run=hanging)
    ids = made["a"].submit(*[spec() for _ in range(100)])
    made.run(MILLISECOND_NS)
    for _ in range(100):
        for key in tuple(made["a"].running):
            if made["a"].view(key[1]).history[-1].status == "running":
                made["a"].command(commands.JobParked(*key, True))
        made.run(5 * MILLISECOND_NS)
    parked = [
        t for t in ids if made["a"].view(t).history[-1:] and made["a"].view(t).state == "running"
    ]
    assert 16 <= len(parked) <= 24
    (child,) = made["a"].submit(spec(parent=ids[0], depth=1))
    made.run(50 * MILLISECOND_NS)
    assert made["a"].view(child).state == "running"


def test_a_parked_attempt_gives_its_slot_to_the_next_task() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1), run=hanging)
    made.run(10 * MILLISECOND_NS)
    first, second = made["a"].submit(spec(), spec())
    made.run(20 * MILLISECOND_NS)
    assert made["a"].view(second).state == "accepted"
    made["b"].command(commands.JobParked(made["a"].id, first, 1, True))
    made.run(20 * MILLISECOND_NS)
    assert made["a"].view(first).history[0].status == "parked"
    assert made["a"].view(second).state == "running"


def test_a_slot_that_parking_freed_is_returned_at_once_where_nothing_waits() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1), run=hanging)
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    made["b"].command(commands.JobParked(made["a"].id, task, 1, True))
    made.run(5 * MILLISECOND_NS)
    assert not made.lots
    made["b"].command(commands.JobParked(made["a"].id, task, 1, False))
    made["b"].end((made["a"].id, task, 1), Outcome(task, 1, "ok", raw(1), 5))
    made.run(20 * MILLISECOND_NS)
    assert made["a"].settled[task].state == "done"


# Cancelling.


def test_a_task_in_the_line_is_cancelled_at_once() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1), run=hanging)
    made.run(10 * MILLISECOND_NS)
    first, second = made["a"].submit(spec(), spec())
    made.run(20 * MILLISECOND_NS)
    made["a"].command(commands.CancelTasks(5, second, "changed my mind"))
    settled = made["a"].settled[second]
    assert (settled.state, settled.error_message, settled.attempts) == (
        "cancelled", "changed my mind", 0,
    )  # fmt: skip
    assert made["a"].seen(events.CancelAnswered) == [events.CancelAnswered(5, second, "cancelled")]
    assert made["a"].view(first).state == "running"


def test_cancelling_a_running_task_reaches_the_code_that_runs() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1), run=hanging)
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    made["a"].command(commands.CancelTasks(5, task))
    assert made["a"].settled[task].state == "cancelled"
    made.run(20 * MILLISECOND_NS)
    assert not made["b"].running
    made["b"].run = echo()
    made["a"].submit(spec())
    made.settle()


def test_cancelling_what_has_ended_tells_how_it_ended() -> None:
    made = Town("a")
    made.start("a", (skill(), 1))
    (task,) = made["a"].submit(spec())
    made.settle()
    made["a"].command(commands.CancelTasks(5, task))
    assert made["a"].seen(events.CancelAnswered)[0].state == "done"
    assert made["a"].settled[task].state == "done"


def test_children_are_cancelled_with_their_parent_wherever_they_run() -> None:
    made = Town("a", "b", "c")
    made.start("a")
    nested = Nested(made, depth=3)
    made.start("b", (skill(), 1), run=nested)
    made.start("c", (skill(), 3), run=nested)
    made.run(10 * MILLISECOND_NS)
    nested.leaf_hangs = True
    (task,) = made["a"].submit(spec())
    made.run(100 * MILLISECOND_NS)
    assert sum(peer.tasks.undecided for peer in made.up()) == 4
    made["a"].command(commands.CancelTasks(5, task))
    made.run(SECOND_NS)
    for peer in made.up():
        assert not peer.running
        assert peer.tasks.undecided == 0
        assert {settled.state for settled in peer.settled.values()} <= {"cancelled"}


def test_children_are_cancelled_with_an_attempt_that_ran_out_of_time() -> None:
    made = Town("a", "b", "c")
    made.start("a")
    nested = Nested(made, depth=2)
    nested.leaf_hangs = True
    made.start("b", (skill(retries=0), 1), run=nested)
    made.start("c", (skill(retries=0), 2), run=nested)
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec(timeout_ms=100, retries=0))
    made.run_until(lambda: sum(len(p.running) for p in made.up()) == 3, SECOND_NS)
    made.run_until(lambda: task in made["a"].settled, 10 * SECOND_NS)
    assert made["a"].view(task).history[-1].status == "timeout"
    made.run(SECOND_NS)
    for peer in (made["b"], made["c"]):
        assert not peer.running
        assert peer.tasks.undecided == 0
        assert {settled.state for settled in peer.settled.values()} <= {"cancelled"}


class Stubborn(Town):
    """Handlers that are told to stop submit another child before they end."""

    def _perform(self, peer: Peer, job: msgspec.Struct) -> None:
        if isinstance(job, events.StopJobs):
            parent = job.jobs[0][1]
            if not peer.view(parent).parent:
                late = commands.SubmitTasks(99, (spec(parent=parent, depth=1),))
                self.after(0, self._telling(peer, late))
        super()._perform(peer, job)


@pytest.mark.parametrize("timeout_ms", [0, 100])
def test_what_a_handler_submits_while_it_is_being_stopped_is_cancelled(timeout_ms: int) -> None:
    made = Stubborn("a")
    made.start("a", (skill(), 2), run=hanging)
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec(timeout_ms=timeout_ms, retries=0))
    made.run_until(lambda: bool(made["a"].running), SECOND_NS)
    if not timeout_ms:
        made["a"].command(commands.CancelTasks(9, task))
    made.run(SECOND_NS)
    (child,) = made["a"].view(task).children
    assert made["a"].view(child).state == "cancelled"
    assert not made["a"].running


def test_a_task_of_another_custodian_is_cancelled_by_asking_all() -> None:
    made = Town("a", "b", "c")
    for name in "abc":
        made.start(name, (skill(), 1), run=hanging)
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    made["c"].command(commands.CancelTasks(9, task))
    made.run(20 * MILLISECOND_NS)
    assert made["c"].seen(events.CancelAnswered) == [events.CancelAnswered(9, task, "cancelled")]
    assert made["a"].settled[task].state == "cancelled"


def test_a_task_that_nobody_knows_is_answered_when_all_have_said_so() -> None:
    made = Town("a", "b", "c")
    for name in "abc":
        made.start(name, (skill(), 1))
    made.run(10 * MILLISECOND_NS)
    made["c"].command(commands.CancelTasks(9, "nothing"))
    made["c"].command(commands.LookUpTask(10, "nothing"))
    made.run(20 * MILLISECOND_NS)
    assert made["c"].seen(events.CancelAnswered) == [events.CancelAnswered(9, "nothing", "")]
    assert made["c"].seen(events.TaskLookedUp) == [events.TaskLookedUp(10, None)]
