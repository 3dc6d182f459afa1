"""Which slot gets which task, how many at once, and who is kept out of the tail."""

import itertools
import random
import statistics
from functools import partial

import pytest

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events, messages
from protocols.tasks.breakers import Breakers
from protocols.tasks.dispatch import FAR, Desk
from protocols.tasks.lifecycle import CANCELLED, RUNNING
from protocols.tasks.line import STALE_LIMIT, Line
from protocols.tasks.pace import Pace
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.task import NIL, Attempt, Envelope, Task
from tests.protocols.tasks.makespan import ENVELOPE, bound_ns, makespan_ns
from tests.protocols.tasks.support import Town, echo, hanging, peer_id, skill, spec

DESK = Desk(("work", "1", b"", (), ""), 4_000, Breakers())


def task(
    name: str, priority: int = 0, depth: int = 0, weight: int = 0, submitter: str = ""
) -> Task:
    envelope = Envelope(
        "work", "1", "auction", b"", 0, 0, 2, priority, 0, "", "", depth, "default", "", (),
        submitter,
    )  # fmt: skip
    return Task(name, envelope, DESK, NIL, "", weight, b"", 0)


def drained(line: Line) -> list[str]:
    names = []
    while (popped := line.pop()) is not None:
        popped.state = RUNNING
        names.append(popped.id)
    return names


def test_the_line_goes_by_priority_depth_weight_and_age() -> None:
    line = Line()
    for each in (
        task("plain-1"), task("low", priority=-1), task("short", weight=10), task("plain-2"),
        task("long", weight=99), task("child", depth=1), task("urgent", priority=1),
        task("grandchild", depth=2), task("short-2", weight=10),
    ):  # fmt: skip
        line.push(each)
    expected = [
        "urgent", "grandchild", "child", "long", "short", "short-2", "plain-1", "plain-2", "low",
    ]  # fmt: skip
    assert [each.id for each in line.upcoming()] == expected
    assert drained(line) == expected


def test_a_task_that_had_a_slot_goes_before_all_and_what_was_put_back_keeps_its_place() -> None:
    line = Line()
    for name in ("x", "y", "z"):
        line.push(task(name))
    popped = [line.pop(), line.pop()]
    line.push_front(task("lost"))
    line.put_back([each for each in popped if each is not None])
    assert drained(line) == ["x", "y", "lost", "z"]


def test_settled_tasks_are_passed_over_and_do_not_pile_up() -> None:
    line = Line()
    stays = task("stays")
    line.push(stays)
    for index in range(STALE_LIMIT * 3):
        gone = task(str(index), depth=index % 2)
        line.push(gone)
        line.forget(gone)
        gone.state = CANCELLED
    assert len(line) == 1
    assert line.children == 0
    assert line.kept < STALE_LIMIT + 3
    assert drained(line) == ["stays"]


@pytest.mark.parametrize(
    ("mean_us", "window"), [(100_000, 1), (20_000, 2), (5_000, 3), (1_000, 5), (100, 50), (10, 500)]
)
def test_short_tasks_go_in_batches_and_long_ones_one_by_one(mean_us: int, window: int) -> None:
    pace = Pace()
    assert pace.window(4_000, FAR) == 1
    pace.observe(1, mean_us)
    assert pace.window(4_000, FAR) == window
    if mean_us > 4_000:
        assert pace.window(4_000, 2) == 1


def test_long_ones_are_bound_further_ahead_where_round_trips_last_and_the_end_is_far() -> None:
    pace = Pace()
    pace.observe(1, 10_000)
    for _ in range(100):
        pace.observe_round_trip(4_000)
    assert [pace.window(4_000, left) for left in (2, 3, 5, 6, 8, 9, FAR)] == [1, 2, 2, 3, 4, 4, 4]


def test_a_peer_of_which_nothing_is_known_gets_one_and_then_twice_as_many() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1), run=echo(10_000))
    made.run(10 * MILLISECOND_NS)
    made["a"].submit(*[spec() for _ in range(400)])
    made.settle()
    sizes = [len(m.jobs) for a, _, m in made.sent if isinstance(m, messages.Assign)]
    assert sizes[0] == 1
    assert all(after <= 2 * before + 2 for before, after in itertools.pairwise(sizes[:6]))
    assert max(sizes) > 50


def test_within_one_submission_the_order_is_kept() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1), run=echo(100 * MILLISECOND_NS))
    made.run(10 * MILLISECOND_NS)
    ids = made["a"].submit(*[spec() for _ in range(30)])
    made.settle()
    assert [job.task for job in made["b"].started] == ids


@pytest.mark.parametrize(("has_weights", "most"), [(True, 1.05), (False, 1.12)])
def test_300_exponential_tasks_on_ten_peers_end_close_to_the_bound(
    has_weights: bool, most: float
) -> None:
    ratios = []
    for seed in range(10):
        rng = random.Random(seed)
        speeds = [rng.uniform(0.5, 2) for _ in range(10)]
        durations = [int(rng.expovariate(1 / 100e6)) + 1000 for _ in range(300)]
        ratios.append(makespan_ns(durations, speeds, has_weights) / bound_ns(durations, speeds))
    assert statistics.mean(ratios) <= most


@pytest.mark.parametrize("has_weights", [True, False])
def test_200_lognormal_tasks_on_speeds_1_1_2_4_end_close_to_the_bound(has_weights: bool) -> None:
    speeds = [1.0, 1.0, 2.0, 4.0]
    for seed in range(10):
        rng = random.Random(seed)
        durations = [int(20e6 * rng.lognormvariate(-0.125, 0.5)) for _ in range(200)]
        assert makespan_ns(durations, speeds, has_weights) <= 1.10 * bound_ns(durations, speeds)


def _exponential(rng: random.Random, mean_ns: int) -> int:
    return int(rng.expovariate(1 / mean_ns))


def test_on_a_busy_machine_where_messages_take_as_long_as_tasks_few_slots_run_dry() -> None:
    speeds = [1.0, 1.0, 2.0, 4.0]
    ratios = []
    for seed in range(20):
        rng = random.Random(seed)
        durations = [int(20e6 * rng.lognormvariate(-0.125, 0.5)) for _ in range(200)]
        way_ns = partial(_exponential, random.Random(seed), 2 * MILLISECOND_NS)
        spent = makespan_ns(durations, speeds, False, way_ns)
        ratios.append(spent / bound_ns(durations, speeds))
    assert statistics.mean(ratios) <= 1.09


def test_the_last_task_waits_for_a_fast_slot_rather_than_take_a_slow_one() -> None:
    desk = Desk(("work", "1", b"", (), ""), 4_000, Breakers())
    fast = desk.hold("fast", b"f", 1, 0)
    slow = desk.hold("slow", b"s", 1, 0)
    fast.pace.observe(8, 8 * 100_000)
    slow.pace.observe(8, 8 * 1_000_000)
    busy = Task("busy", ENVELOPE, desk, NIL, "", 0, b"", 0)
    busy.current = Attempt(1, "fast", b"f", fast, 0, 0)
    fast.running[busy] = None
    desk.running = 1
    for index in range(3):
        desk.line.push(Task(str(index), ENVELOPE, desk, NIL, "", 0, b"", 0))
    assert list(desk.fill(50_000_000)) == []
    assert desk.again_at > 50_000_000, "it is looked at again, should the fast one not end"
    for index in range(20):
        desk.line.push(Task(f"more-{index}", ENVELOPE, desk, NIL, "", 0, b"", 0))
    assert [slots.lot for slots, _ in desk.fill(50_000_000)] == ["slow"]


def test_a_fast_slot_whose_task_overruns_is_not_waited_for() -> None:
    desk = Desk(("work", "1", b"", (), ""), 4_000, Breakers())
    fast = desk.hold("fast", b"f", 1, 0)
    slow = desk.hold("slow", b"s", 1, 0)
    fast.pace.observe(8, 8 * 100_000)
    slow.pace.observe(8, 8 * 1_000_000)
    busy = Task("busy", ENVELOPE, desk, NIL, "", 0, b"", 0)
    busy.current = Attempt(1, "fast", b"f", fast, 0, 0)
    fast.running[busy] = None
    desk.running = 1
    desk.line.push(Task("waits", ENVELOPE, desk, NIL, "", 0, b"", 0))
    assert list(desk.fill(150 * MILLISECOND_NS)) == []
    assert [slots.lot for slots, _ in desk.fill(2 * SECOND_NS)] == ["slow"]


# Demand.


def wanted(made: Town) -> list[int]:
    return [event.units for event in made["a"].seen(events.SlotsWanted)]


def town(slots: int = 4) -> Town:
    made = Town("a", "b", parameters=TaskParameters(units=50))
    made.start("a")
    made.start("b", (skill(), slots))
    made.run(10 * MILLISECOND_NS)
    return made


def test_demand_is_stated_once_for_a_batch_and_has_a_cap() -> None:
    made = town()
    made["a"].submit(*[spec() for _ in range(100)])
    made.run(100 * MILLISECOND_NS)
    assert wanted(made) == [50]


def test_a_caller_that_sends_one_task_after_another_keeps_its_slot() -> None:
    made = town()
    for _ in range(50):
        made["a"].submit(spec())
        made.settle()
        made.run(100 * MILLISECOND_NS)
    assert wanted(made) == [1]
    assert not made["a"].seen(events.SlotsReturned)


def test_slots_that_stay_idle_are_returned_and_demand_falls_first() -> None:
    made = town()
    made["a"].submit(*[spec() for _ in range(4)])
    made.run(SECOND_NS)
    kinds = [
        type(event)
        for event in made["a"].events
        if isinstance(event, events.SlotsWanted | events.SlotsReturned)
    ]
    assert kinds == [events.SlotsWanted, events.SlotsWanted, events.SlotsReturned]
    assert wanted(made) == [4, 0]
    assert not made.lots
    assert made["a"].tasks.deadline() is None


def test_of_slots_half_used_the_idle_half_is_returned() -> None:
    made = town()
    made["b"].run = hanging
    made["a"].submit(*[spec() for _ in range(4)])
    made.run(20 * MILLISECOND_NS)
    for task_id in made["a"].accepted[:2]:
        made["a"].command(commands.CancelTasks(1, task_id))
    made.run(SECOND_NS)
    assert wanted(made)[-1] == 2
    assert sum(lot[2] for lot in made.lots.values()) == 2


def test_demand_falls_when_tasks_are_cancelled_before_any_slot_came() -> None:
    made = town()
    made.auction_is_open = False
    (only,) = made["a"].submit(spec())
    made["a"].command(commands.CancelTasks(1, only))
    made.run(SECOND_NS)
    assert wanted(made) == [1, 0]
    assert made["a"].tasks.deadline() is None


def test_slots_that_come_after_their_task_is_gone_are_returned() -> None:
    made = town()
    made["a"].command(commands.SlotsHeld("late", "echo", "1", peer_id("b"), 2, 0))
    made.lots[("late", peer_id("a"))] = (peer_id("b"), "echo", 2)
    made.run(SECOND_NS)
    assert [(e.lot, e.slots) for e in made["a"].seen(events.SlotsReturned)] == [("late", 2)]


def test_a_slot_that_is_called_back_goes_when_its_task_ends_and_takes_no_other() -> None:
    made = Town("a", "b")
    made.start("b", (skill(), 2), run=echo(100 * MILLISECOND_NS))
    made.start("a")
    made.run()
    made["a"].submit(*[spec() for _ in range(20)])
    made.run(50 * MILLISECOND_NS)
    ((lot, _),) = made.lots
    made.auction_is_open = False
    made["a"].command(commands.SlotsRecalled(lot, made["b"].id, 1))
    made.run(20 * MILLISECOND_NS)
    assert not made["a"].seen(events.SlotsReturned), "its task runs to its end"
    made.run(60 * MILLISECOND_NS)
    assert [e.slots for e in made["a"].seen(events.SlotsReturned)] == [1]
    made.run(500 * MILLISECOND_NS)
    assert len(made["b"].running) == 1
    made["a"].command(commands.SlotsRecalled(lot, made["b"].id, 9))
    made["a"].command(commands.SlotsRecalled("another", made["b"].id, 9))
    made.run(200 * MILLISECOND_NS)
    assert [e.slots for e in made["a"].seen(events.SlotsReturned)] == [1, 1]


def test_slots_that_are_gone_take_nothing_more_and_what_runs_goes_on() -> None:
    made = town(slots=1)
    made["b"].run = hanging
    first, second = made["a"].submit(spec(), spec())
    made.run(20 * MILLISECOND_NS)
    (lot,) = made.lots
    made.auction_is_open = False
    made["a"].command(commands.SlotsGone(lot[0], peer_id("b"), 1, "lease"))
    assert made["a"].view(first).state == "running"
    assert made["a"].view(second).state == "accepted"
    made["b"].end((peer_id("a"), first, 1), messages.Outcome(first, 1, "ok", NIL, 5))
    made.run(20 * MILLISECOND_NS)
    assert made["a"].settled[first].state == "done"
    assert made["a"].view(second).state == "accepted"


def test_how_long_a_task_took_is_told_beside_what_was_claimed() -> None:
    made = town()
    made["a"].command(commands.SlotsHeld("lot", "echo", "1", peer_id("b"), 1, 3_000))
    made["b"].command(commands.SlotsLent("lot", peer_id("a"), "echo", "1", 1))
    made.lots[("lot", peer_id("a"))] = (peer_id("b"), "echo", 1)
    made["a"].submit(spec())
    made.settle()
    assert made["a"].seen(events.CompletionObserved) == [
        events.CompletionObserved(peer_id("b"), 3_000, 10_000, "echo", "1")
    ]


# Direct.


def test_a_direct_task_goes_to_its_peer_without_a_lot() -> None:
    made = Town("a", "b", "c")
    made.start("a")
    made.start("b", (skill(), 1))
    made.start("c", (skill(), 1), run=echo(100 * MILLISECOND_NS))
    made.run(10 * MILLISECOND_NS)
    ids = made["a"].submit(*[spec(strategy="direct", to=peer_id("c")) for _ in range(60)])
    made.settle()
    assert {made["a"].settled[task_id].producer for task_id in ids} == {peer_id("c")}
    assert not wanted(made)
    assert made["c"].most_running == 1


def test_direct_tasks_beyond_the_workers_queue_come_again_later() -> None:
    made = Town("a", "b", "c")
    for name in "ab":
        made.start(name)
    made.start("c", (skill(), 1), run=echo(30 * MILLISECOND_NS))
    made.run(10 * MILLISECOND_NS)
    direct = spec(strategy="direct", to=peer_id("c"))
    for name in "ab":
        made[name].submit(*[direct] * 40)
    made.settle()
    for name in "ab":
        assert {one.state for one in made[name].settled.values()} == {"done"}


def test_a_direct_task_waits_for_its_peer_and_not_for_ever() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1), run=hanging)
    made.run(10 * MILLISECOND_NS)
    direct = spec(strategy="direct", to=peer_id("b"))
    (first,) = made["a"].submit(direct)
    made.run(20 * MILLISECOND_NS)
    made.crash("b")
    made.run(5 * SECOND_NS)
    made.start("b", run=echo())
    made.settle()
    assert made["a"].settled[first].state == "done"
    (second,) = made["a"].submit(direct)
    made.crash("b")
    made.run(40 * SECOND_NS)
    assert (made["a"].settled[second].state, made["a"].settled[second].error_kind) == (
        "dead", "PeerGone",
    )  # fmt: skip
