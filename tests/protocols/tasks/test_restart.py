"""What a custodian has after a restart, and what is asked of it."""

import msgspec
import pytest

from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events, messages
from protocols.tasks.parameters import LOOKUPS_LIMIT, TaskParameters
from protocols.tasks.records import TasksKept
from tests.protocols.tasks.support import (
    Town,
    echo,
    failing,
    hanging,
    peer_id,
    raw,
    skill,
    spec,
)


def town(*names: str, slots: int = 2, **parameters: int) -> Town:
    made = Town(*(names or ("a", "b")), parameters=TaskParameters(**parameters))
    for name in made.peers:
        if name == "a":
            made.start("a")
        else:
            made.start(name, (skill(), slots))
    made.run(10 * MILLISECOND_NS)
    return made


def compact(made: Town, name: str) -> None:
    """A checkpoint: the snapshot replaces all records."""
    made[name].records = [msgspec.msgpack.encode(r) for r in made[name].tasks.snapshot()]


def test_tasks_that_waited_are_there_again_and_are_not_accepted_twice() -> None:
    made = town()
    made.auction_is_open = False
    ids = made["a"].submit(*[spec(value=i) for i in range(5)])
    made.crash("a")
    made["a"].events.clear()
    made.auction_is_open = True
    made.start("a")
    made.settle()
    assert [msgspec.msgpack.decode(made["a"].settled[task].value) for task in ids] == list(range(5))
    assert not made["a"].seen(events.TasksAccepted)


def test_an_attempt_that_was_out_keeps_its_standing_and_is_not_run_again() -> None:
    made = town()
    made["b"].run = echo(2 * SECOND_NS)
    (task,) = made["a"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    made.crash("a")
    made.run(100 * MILLISECOND_NS)
    made.start("a")
    assert made["a"].view(task).state == "running"
    made.settle()
    assert made["a"].settled[task].attempts == 1
    assert len(made["b"].started) == 1


def test_a_result_that_came_while_the_custodian_was_down_is_not_lost() -> None:
    made = town()
    made["b"].run = echo(50 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    made.crash("a")
    made.run(10 * SECOND_NS)
    made.start("a")
    made.run(20 * MILLISECOND_NS)
    assert made["a"].settled[task].state == "done"
    assert len(made["b"].started) == 1


def test_an_attempt_of_which_nobody_speaks_after_a_restart_runs_again() -> None:
    made = town("a", "b", "c")
    made["b"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    made.crash("a")
    made.crash("b")
    made.start("a")
    begin = made.now
    made.settle()
    assert made["a"].settled[task].producer == peer_id("c")
    assert 3 * SECOND_NS <= made.now - begin <= 5 * SECOND_NS


def test_failures_before_a_restart_count_after_it() -> None:
    made = town(retry_first_ns=SECOND_NS)
    made["b"].run = failing()
    (task,) = made["a"].submit(spec(retries=2))
    made.run(100 * MILLISECOND_NS)
    assert made["a"].view(task).state == "waiting"
    made.crash("a")
    made.start("a")
    made.settle()
    assert (made["a"].settled[task].state, made["a"].settled[task].attempts) == ("dead", 3)


def test_a_deadline_goes_on_after_a_restart() -> None:
    made = town()
    made.auction_is_open = False
    (task,) = made["a"].submit(spec(deadline_ms=2_000))
    made.crash("a")
    made.run(SECOND_NS)
    made.start("a")
    made.run(1_100 * MILLISECOND_NS)
    assert made["a"].settled[task].state == "expired"


@pytest.mark.parametrize("is_compacted", [False, True])
def test_everything_known_of_a_task_survives(is_compacted: bool) -> None:
    made = town("a", "b", "c", slots=1)
    made["b"].run = failing()
    made["c"].run = failing("rejected")
    ids = made["a"].submit(*[spec(key=f"k{i}", traceparent="00-" + "a" * 32) for i in range(4)])
    made.settle()
    made["b"].run = made["c"].run = hanging
    ids += made["a"].submit(spec(key="out"), spec(parent="p", depth=1, priority=2), spec(), spec())
    made.run(20 * MILLISECOND_NS)
    before = [made["a"].view(task) for task in ids]
    assert {view.state for view in before} >= {"running", "accepted"}
    if is_compacted:
        compact(made, "a")
    made.crash("a")
    made.start("a")
    assert [made["a"].view(task) for task in ids] == before
    made["a"].tasks.check()
    with pytest.raises(Refused, match="KeyConflict"):
        made["a"].submit(spec(value="other", key="out"))


def test_a_snapshot_of_a_restored_custodian_is_the_same_again() -> None:
    made = town()
    made.auction_is_open = False
    made["a"].submit(*[spec(key=str(i)) for i in range(600)])
    compact(made, "a")
    first = made["a"].records
    made.crash("a")
    made.start("a")
    compact(made, "a")
    assert made["a"].records == first
    assert sum(len(r.tasks) for r in made["a"].tasks.snapshot() if isinstance(r, TasksKept)) == 600


def test_settled_tasks_are_kept_up_to_a_count_and_an_age() -> None:
    made = town(settled_tasks=3)
    ids: list[str] = []
    for _ in range(5):
        ids += made["a"].submit(spec())
        made.settle()
    assert [made["a"].tasks.view(task) is not None for task in ids] == [False] * 2 + [True] * 3
    made = town(settled_age_ns=10 * SECOND_NS)
    (old,) = made["a"].submit(spec())
    made.settle()
    made.run(11 * SECOND_NS)
    made["b"].run = echo(2 * SECOND_NS)
    made["a"].submit(spec())
    made.settle()
    assert made["a"].tasks.view(old) is None


@pytest.mark.parametrize("restarts", [False, True])
def test_a_wall_clock_that_jumps_makes_nobody_forget_a_key(restarts: bool) -> None:
    made = town(settled_age_ns=10 * SECOND_NS)
    (once,) = made["a"].submit(spec(key="order-1"))
    made.settle()
    made.wall_ahead_ns = 3600 * SECOND_NS
    made.run(2 * SECOND_NS)
    if restarts:
        made.crash("a")
        made.start("a")
    assert made["a"].submit(spec(key="order-1")) == [once]
    made.settle()
    assert [job.task for job in made["b"].started] == [once], "it ran once"


def test_settled_tasks_are_kept_up_to_so_many_bytes() -> None:
    made = town(settled_bytes=1000)
    ids = made["a"].submit(*[spec(value=b"x" * 300) for _ in range(5)])
    made.settle()
    assert sum(made["a"].tasks.view(task) is not None for task in ids) == 3


def test_attaching_tells_the_ends_that_are_known_and_what_is_not() -> None:
    made = town()
    (done,) = made["a"].submit(spec())
    made.settle()
    made["b"].run = hanging
    (pending,) = made["a"].submit(spec())
    made["a"].settled.clear()
    made["a"].command(commands.AttachTasks(3, (done, pending, "nothing")))
    assert made["a"].seen(events.TasksAttached) == [events.TasksAttached(3, ("nothing",))]
    assert list(made["a"].settled) == [done]


def test_tasks_are_listed_newest_first_by_state_without_their_values() -> None:
    made = town()
    ids = made["a"].submit(*[spec(value="secret") for _ in range(3)])
    made.settle()
    made["b"].run = hanging
    ids += made["a"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    for states, limit in (((), 2), (("done",), 9), (("running",), 9)):
        made["a"].command(commands.ListTasks(1, states, limit))
    listed = made["a"].seen(events.TasksListed)
    assert [[view.task for view in event.views] for event in listed] == [
        [ids[3], ids[2]], [ids[2], ids[1], ids[0]], [ids[3]],
    ]  # fmt: skip
    assert {bytes(view.value) for event in listed for view in event.views} == {b"\xc0"}


def test_a_task_is_looked_up_here_or_at_any_member() -> None:
    made = town("a", "b", "c")
    (task,) = made["a"].submit(spec(value=5))
    made.settle()
    for name in "ac":
        made[name].command(commands.LookUpTask(4, task))
    made.run(20 * MILLISECOND_NS)
    for name in "ac":
        (answer,) = made[name].seen(events.TaskLookedUp)
        assert answer.view == made["a"].view(task)
        assert answer.view.value == raw(5)


def test_a_search_without_answers_ends_after_two_seconds() -> None:
    made = town("a", "b", "c")
    made.drop = lambda sender, to, message: isinstance(message, messages.TaskFound)
    made["a"].command(commands.LookUpTask(4, "somewhere"))
    made.run(1_900 * MILLISECOND_NS)
    assert not made["a"].seen(events.TaskLookedUp)
    made.run(200 * MILLISECOND_NS)
    assert made["a"].seen(events.TaskLookedUp) == [events.TaskLookedUp(4, None)]


def test_a_lone_peer_knows_at_once_that_nobody_knows() -> None:
    made = Town("a")
    made.start("a")
    made["a"].command(commands.LookUpTask(4, "somewhere"))
    assert made["a"].seen(events.TaskLookedUp) == [events.TaskLookedUp(4, None)]


def test_searches_are_bounded() -> None:
    made = town("a", "b")
    for _ in range(LOOKUPS_LIMIT):
        made["a"].command(commands.LookUpTask(4, "somewhere"))
    with pytest.raises(Refused, match="Busy"):
        made["a"].command(commands.LookUpTask(4, "somewhere"))


def test_an_answer_about_another_task_or_in_anothers_name_is_blamed() -> None:
    made = town("a", "b", "c")
    (task,) = made["b"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    made.drop = lambda sender, to, message: isinstance(message, messages.TaskFound)
    made["a"].command(commands.LookUpTask(4, "other"))
    asked = next(m for _, _, m in made.sent if isinstance(m, messages.FindTask))
    view = made["b"].view(task)
    for link, shown in (
        ("b", view),
        ("c", msgspec.structs.replace(view, task="other")),
    ):
        encoded = msgspec.msgpack.encode(shown)
        made["a"].receive(made[link], messages.TaskFound(asked.request, encoded))
    made["a"].receive(made["b"], messages.TaskFound(asked.request, b"\xc1"))
    assert [blame.peer for blame in made.blamed] == [peer_id("b"), peer_id("c"), peer_id("b")]
    assert not made["a"].seen(events.TaskLookedUp)
    made["a"].receive(made["b"], messages.TaskFound(asked.request + 50, b""))
    assert len(made.blamed) == 3


def test_after_a_restart_a_result_of_a_peer_that_is_gone_is_checked_by_what_others_say() -> None:
    strict = skill(output_schema=b"int")
    made = Town("a", "b", "c")
    made.start("a")
    made.start("b", (strict, 1), run=hanging)
    made.start("c", (strict, 1))
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec(strategy="direct", to=peer_id("b"), retries=0))
    made.run(10 * MILLISECOND_NS)
    made.crash("a")
    made.crash("b", is_noticed=False)
    made.start("a")
    made.run(10 * MILLISECOND_NS)
    wrong = messages.Outcome(task, 1, "ok", raw("garbled"), 5)
    made["a"].receive(peer_id("b"), messages.Results(1, (wrong,)))
    assert made["a"].view(task).state == "failed"


@pytest.mark.parametrize("compacts", [False, True])
def test_after_a_restart_a_result_is_checked_before_anyone_is_known_to_host_its_skill(
    compacts: bool,
) -> None:
    strict = skill(output_schema=b"int")
    made = Town("a", "b")
    made.start("a")
    made.start("b", (strict, 1), run=hanging)
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec(retries=0))
    made.run(10 * MILLISECOND_NS)
    if compacts:
        compact(made, "a")
    made.crash("a")
    made.crash("b", is_noticed=False)
    made.start("a")
    wrong = messages.Outcome(task, 1, "ok", raw("garbled"), 5)
    made["a"].receive(peer_id("b"), messages.Results(1, (wrong,)))
    assert made["a"].view(task).state == "failed"


@pytest.mark.parametrize("compacts", [False, True])
def test_a_skill_that_only_its_own_agents_had_is_known_after_a_restart_too(compacts: bool) -> None:
    strict = skill(output_schema=b"int")
    made = Town("a", "b")
    made.start("b", (strict, 1), run=hanging)
    made.start("a", (strict, 1), run=hanging)
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec(strategy="direct", to=peer_id("b"), retries=0))
    made.run(10 * MILLISECOND_NS)
    if compacts:
        compact(made, "a")
    made.crash("a")
    made.crash("b", is_noticed=False)
    made["a"].skills = ()
    made.start("a")
    wrong = messages.Outcome(task, 1, "ok", raw("garbled"), 5)
    made["a"].receive(peer_id("b"), messages.Results(1, (wrong,)))
    assert made["a"].view(task).state == "failed"
