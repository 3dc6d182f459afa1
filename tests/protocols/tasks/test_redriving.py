"""Dead letters, kept and run again."""

import msgspec
import pytest

from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.parameters import TaskParameters
from tests.protocols.tasks.support import Town, echo, failing, raw, skill, spec


def town(**parameters: int) -> Town:
    made = Town("a", "b", parameters=TaskParameters(**parameters))
    made.start("a")
    made.start("b", (skill(retries=1), 4), run=failing())
    made.run(10 * MILLISECOND_NS)
    return made


def dead(made: Town, **fields: object) -> str:
    (task,) = made["a"].submit(spec(value={"x": 7}, **fields))  # type: ignore[arg-type]
    made.settle()
    assert made["a"].view(task).state == "dead"
    return task


def redrive(made: Town, *tasks: str, skill: str = "") -> events.TasksRedriven:
    made["a"].command(commands.RedriveTasks(9, tasks, skill))
    answer: events.TasksRedriven = made["a"].seen(events.TasksRedriven)[-1]
    return answer


def test_a_redriven_task_keeps_its_id_and_its_input_and_counts_its_attempts_anew() -> None:
    made = town()
    task = dead(made)
    made["b"].run = echo()
    assert redrive(made, task).tasks == (task,)
    made.settle()
    settled = made["a"].settled[task]
    assert (settled.state, settled.attempts) == ("done", 1)
    assert settled.value == raw({"x": 7})
    assert [attempt.attempt for attempt in made["a"].view(task).history] == [1, 2, 3]


def test_it_has_all_its_retries_again_and_may_die_again() -> None:
    made = town()
    task = dead(made)
    redrive(made, task)
    made.settle()
    view = made["a"].view(task)
    assert (view.state, view.attempts, len(view.history)) == ("dead", 2, 4)


def test_whoever_submits_the_same_key_meanwhile_is_told_the_new_end() -> None:
    made = town()
    task = dead(made, key="k")
    made["b"].run = echo()
    redrive(made, task)
    assert made["a"].submit(spec(value={"x": 7}, key="k")) == [task]
    made.settle()
    assert made["a"].settled[task].state == "done"
    assert len(made["b"].started) == 3


def test_only_dead_letters_of_this_custodian_are_redriven() -> None:
    made = town()
    made["b"].run = echo()
    (task,) = made["a"].submit(spec())
    made.settle()
    answer = redrive(made, task, "unknown")
    assert answer.tasks == ()
    assert answer.refused == ((task, "done, and no dead letter"), ("unknown", "not known here"))


def test_where_nobody_hosts_the_skill_any_more_it_stays_a_dead_letter() -> None:
    made = town()
    task = dead(made)
    made["a"].command(commands.PeerDown(made["b"].id, "left"))
    assert redrive(made, task).refused == ((task, "no live peer hosts echo@1"),)
    assert made["a"].view(task).state == "dead"


def test_all_of_a_skill_are_redriven_oldest_first() -> None:
    made = town()
    ids = [dead(made), dead(made)]
    assert redrive(made, skill="other").tasks == ()
    assert redrive(made, skill="echo").tasks == tuple(ids)


def test_a_redriven_task_has_as_long_as_it_was_given_at_first() -> None:
    made = town()
    task = dead(made, deadline_ms=5_000)
    made.run(60 * SECOND_NS)
    made["b"].run = echo(4 * SECOND_NS)
    redrive(made, task)
    made.settle()
    assert made["a"].view(task).state == "done"


@pytest.mark.parametrize("by_snapshot", [False, True])
def test_dead_letters_and_redriven_tasks_outlive_a_restart(by_snapshot: bool) -> None:

    made = town()
    kept, gone_on = dead(made), dead(made)
    made["b"].run = echo(SECOND_NS)
    redrive(made, gone_on)
    made.run(100 * MILLISECOND_NS)
    if by_snapshot:
        records = [msgspec.msgpack.encode(record) for record in made["a"].tasks.snapshot()]
        made["a"].records = records
    made.crash("a")
    made.start("a")
    made.run(5 * SECOND_NS)
    view = made["a"].view(gone_on)
    assert (view.state, view.attempts) == ("done", 1)
    assert redrive(made, kept).tasks == (kept,)
    made.settle()
    assert made["a"].view(kept).value == raw({"x": 7})


def test_dead_letters_are_kept_longer_than_other_ends_and_bounded() -> None:
    made = town(dead_tasks=2, settled_age_ns=SECOND_NS)
    ids = [dead(made) for _ in range(3)]
    made.run(10 * SECOND_NS)
    made["a"].submit(spec())
    made.run(5 * SECOND_NS)
    known = [made["a"].tasks.view(task) is not None for task in ids]
    assert known[0] is False
    assert sum(known) >= 1


def test_more_than_fit_are_refused_and_nothing_changes() -> None:
    made = town(pending_tasks=1)
    ids = [dead(made), dead(made)]
    with pytest.raises(Refused) as caught:
        made["a"].command(commands.RedriveTasks(1, tuple(ids)))
    assert caught.value.kind == "Busy"
    assert caught.value.retry_after_ns
    assert [made["a"].view(task).state for task in ids] == ["dead", "dead"]
