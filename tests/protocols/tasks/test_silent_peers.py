"""A peer that takes work and never answers holds nobody up for long."""

import pytest

from protocols.effects import Send
from protocols.machine import SECOND_NS
from protocols.tasks import commands
from protocols.tasks.breakers import Breakers
from protocols.tasks.dispatch import Desk
from protocols.tasks.messages import BATCH_LIMIT, Beat, CancelJobs, JobKey
from protocols.tasks.task import NIL, Task
from protocols.wire import Codec, encode
from tests.protocols.tasks.makespan import ENVELOPE
from tests.protocols.tasks.support import Town, echo, skill, spec


def with_a_task_at_a_stopped_peer() -> tuple[Town, str]:
    """Peer b is given a task, and nothing reaches it."""
    made = Town("a", "b", "c")
    made.start("a")
    made.start("b", (skill(), 1), run=echo())
    made.run()
    made.drop = lambda sender, to, message: "b" in (sender.name, to.name)
    (task,) = made["a"].submit(spec())
    made.run(SECOND_NS)
    assert [attempt.peer for attempt in made["a"].view(task).history] == [made["b"].id]
    return made, task


def given_up(made: Town, task: str) -> bool:
    return made["a"].view(task).history[0].status == "lost"


def test_a_peer_that_says_nothing_is_sent_the_attempt_once_more() -> None:
    made, task = with_a_task_at_a_stopped_peer()
    made.run(4 * SECOND_NS)
    assert not given_up(made, task)
    made.run(3 * SECOND_NS)
    assert given_up(made, task)


@pytest.mark.parametrize("after_s", [0, 4])
def test_a_suspect_that_says_nothing_is_not_sent_the_attempt_once_more(after_s: int) -> None:
    made, task = with_a_task_at_a_stopped_peer()
    made.run(after_s * SECOND_NS)
    made["a"].command(commands.PeerSuspected(made["b"].id))
    assert given_up(made, task) == (after_s > 0), "three seconds have passed since it began"
    made.run(3 * SECOND_NS)
    assert given_up(made, task)


@pytest.mark.parametrize("word", ["gossip", "beat"])
def test_a_suspect_that_speaks_again_is_treated_as_any_other(word: str) -> None:
    made, task = with_a_task_at_a_stopped_peer()
    b = made["b"]
    made["a"].command(commands.PeerSuspected(b.id))
    if word == "gossip":
        hosted = tuple((known.name, known.version, known.digest()) for known, _ in b.skills)
        made["a"].command(commands.PeerUp(b.id, b.name, b.boot, hosted))
    else:
        made["a"].receive(b, Beat(1, (JobKey("another", 1),), ()))
    made.run(3 * SECOND_NS)
    assert not given_up(made, task)
    made.run(4 * SECOND_NS)
    assert given_up(made, task)


def test_what_a_suspect_was_silent_about_for_long_is_given_up_at_once() -> None:
    made, task = with_a_task_at_a_stopped_peer()
    made.run(int(1.999 * SECOND_NS))
    made.now += SECOND_NS
    made["a"].command(commands.PeerSuspected(made["b"].id))
    assert given_up(made, task)


def test_a_peer_with_nothing_to_do_may_be_suspected() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1), run=echo())
    made.run()
    made["a"].command(commands.PeerSuspected(made["b"].id))
    (task,) = made["a"].submit(spec())
    made.settle()
    assert made["a"].settled[task].state == "done"


def test_a_task_does_not_wait_for_a_fast_slot_that_it_avoids() -> None:
    desk = Desk(("work", "1", b"", (), ""), 4_000, Breakers())
    fast = desk.hold("fast", b"f", 1, 0)
    slow = desk.hold("slow", b"s", 1, 0)
    fast.pace.observe(8, 8 * 100_000)
    slow.pace.observe(8, 8 * 1_000_000)
    task = Task("lost", ENVELOPE, desk, NIL, "", 0, b"", 0)
    desk.line.push(task)
    task.avoid, task.avoid_until = (b"f",), 10 * SECOND_NS
    assert [slots.lot for slots, _ in desk.fill(SECOND_NS)] == ["slow"]


def test_what_a_silent_peer_still_holds_of_a_task_that_has_ended_is_stopped() -> None:
    made, task = with_a_task_at_a_stopped_peer()
    made.start("c", (skill(), 1), run=echo())
    made.run(10 * SECOND_NS)
    assert made["a"].view(task).state == "done", "by c"
    old = JobKey(task, 1)
    (stop,) = made["a"].receive(made["b"], Beat(1, (old,), ()))
    assert isinstance(stop, Send)
    assert stop.message == CancelJobs((old,))
    assert made["a"].receive(made["b"], Beat(1, (JobKey("unknown", 1),), ())) == ()


def test_no_word_to_stop_is_longer_than_its_receiver_takes() -> None:
    made, task = with_a_task_at_a_stopped_peer()
    made.start("c", (skill(), 1), run=echo())
    made.run(10 * SECOND_NS)
    held = tuple(JobKey(task, number) for number in range(2 * BATCH_LIMIT + 1))
    stops = made["a"].receive(made["b"], Beat(1, held, ()))
    codec = Codec((CancelJobs,))
    decoded = [codec.decode(encode(stop.message)) for stop in stops if isinstance(stop, Send)]
    assert tuple(key for stop in decoded for key in stop.jobs) == held
