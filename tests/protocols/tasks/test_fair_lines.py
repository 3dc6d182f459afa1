"""Who goes first, and that nobody waits for ever: laws of the line."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks.lifecycle import RUNNING, SETTLED
from protocols.tasks.line import AGEING, STALE_LIMIT, Line
from protocols.tasks.task import Task
from tests.protocols.tasks.support import Town, echo, skill, spec
from tests.protocols.tasks.test_dispatch import drained, task


def filled(*tasks: Task) -> Line:
    line = Line()
    for each in tasks:
        line.push(each)
    return line


def test_submitters_take_turns_whoever_came_first() -> None:
    line = filled(
        *[task(f"many-{number}", submitter="many") for number in range(4)],
        task("single", submitter="single"),
        *[task(f"few-{number}", submitter="few") for number in range(2)],
    )
    expected = ["many-0", "single", "few-0", "many-1", "few-1", "many-2", "many-3"]
    assert [each.id for each in line.upcoming()] == expected
    assert drained(line) == expected


def test_of_a_higher_and_a_lower_priority_the_lower_gets_one_in_so_many() -> None:
    line = filled(
        *[task(f"high-{number}", priority=9) for number in range(100)],
        task("low", priority=-9),
        task("middle"),
    )
    order = drained(line)
    assert sorted([order.index("low"), order.index("middle")]) == [AGEING - 1, 2 * AGEING - 1]


def test_children_do_not_starve_others_either() -> None:
    line = filled(*[task(f"child-{number}", depth=1) for number in range(50)], task("plain"))
    assert drained(line).index("plain") == AGEING - 1


def test_tasks_that_settled_while_they_waited_take_nobodys_turn() -> None:
    gone = [task(f"gone-{number}", submitter="a") for number in range(3)]
    line = filled(*gone, task("a", submitter="a"), task("b", submitter="b"))
    for each in gone:
        line.forget(each)
        each.state = SETTLED[0]
    assert drained(line) == ["a", "b"]


def test_a_sweep_keeps_lanes_and_turns() -> None:
    gone = [task(f"gone-{number}", submitter="a") for number in range(STALE_LIMIT + 2)]
    kept = [task("a-1", submitter="a"), task("b-1", submitter="b"), task("a-2", submitter="a")]
    line = filled(*gone, *kept, task("low", priority=-1))
    for each in gone:
        line.forget(each)
        each.state = SETTLED[0]
    assert line.kept <= 5
    assert drained(line) == ["a-1", "b-1", "a-2", "low"]


WAITING = st.lists(
    st.tuples(st.integers(-2, 2), st.sampled_from("abcd"), st.integers(0, 3)), max_size=120
)


@given(WAITING)
def test_all_leave_once_and_turns_are_fair_within_a_priority(
    drawn: list[tuple[int, str, int]],
) -> None:
    tasks = [
        task(str(number), priority=priority, submitter=submitter, weight=weight)
        for number, (priority, submitter, weight) in enumerate(drawn)
    ]
    line = filled(*tasks)
    order = drained(line)
    assert sorted(order) == sorted(each.id for each in tasks)
    by_id = {each.id: each.envelope for each in tasks}
    for priority in {each.envelope.priority for each in tasks}:
        served: dict[str, int] = defaultdict(int)
        left: dict[str, int] = defaultdict(int)
        for each in tasks:
            if each.envelope.priority == priority:
                left[each.envelope.submitter] += 1
        for name in (name for name in order if by_id[name].priority == priority):
            served[by_id[name].submitter] += 1
            left[by_id[name].submitter] -= 1
            waiting = [served[submitter] for submitter in left if left[submitter]]
            assert max(served.values()) <= min(waiting, default=len(tasks)) + 1


@given(WAITING)
def test_whoever_is_first_in_its_lane_leaves_within_a_bound(
    drawn: list[tuple[int, str, int]],
) -> None:
    tasks = [
        task(str(number), priority=priority, submitter=submitter)
        for number, (priority, submitter, _) in enumerate(drawn)
    ]
    order = drained(filled(*tasks))
    levels = len({each.envelope.priority for each in tasks})
    lanes = len({(each.envelope.priority, each.envelope.submitter) for each in tasks})
    seen: set[tuple[int, str]] = set()
    for each in tasks:
        lane = (each.envelope.priority, each.envelope.submitter)
        if lane not in seen:
            seen.add(lane)
            assert order.index(each.id) < AGEING * max(1, levels) * lanes + lanes


def test_a_single_call_beside_a_long_map_is_served_at_once() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 2), run=echo(10 * MILLISECOND_NS))
    made.run(10 * MILLISECOND_NS)
    made["a"].submit(*[spec(submitter="map") for _ in range(600)])
    made.run(SECOND_NS)
    (single,) = made["a"].submit(spec(submitter="single"))
    begin = made.now
    made.run_until(lambda: single in made["a"].settled)
    assert made.now - begin < 100 * MILLISECOND_NS
    assert made["a"].view(single).state != RUNNING
