"""What a worker takes, how much of it runs at once, and what it repeats."""

import msgspec
import pytest

from protocols.effects import Effect, Emit, Perform, Send
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events, messages
from protocols.tasks.hosting import Occupancy
from protocols.tasks.messages import Assign, Job, JobKey, Outcome, Rejected, Results
from protocols.tasks.parameters import CHUNK_LIMIT, JOBS_PER_CUSTODIAN_LIMIT, TaskParameters
from protocols.tasks.task import NIL
from tests.protocols.tasks.support import (
    Peer,
    Town,
    echo,
    failing,
    hanging,
    peer_id,
    raw,
    skill,
    spec,
)

BOSS = peer_id("a")


def worker(slots: int = 2, **parameters: int) -> tuple[Town, Peer]:
    """A worker alone; its custodian is played by hand."""
    made = Town("a", "w", parameters=TaskParameters(**parameters))
    peer = made.start("w", (skill(), slots), run=hanging)
    peer.command(commands.SlotsLent("lot", BOSS, "echo", "1", slots))
    return made, peer


def job(task: str, attempt: int = 1, **fields: int) -> Job:
    given = {"timeout_ms": 0, "deadline_ms": 0, **fields}
    return Job(task, 1, attempt, raw(1), given["timeout_ms"], given["deadline_ms"], 0, "")


def assign(peer: Peer, *jobs: Job, lot: str = "lot", name: str = "echo") -> tuple[Effect, ...]:
    return peer.receive(BOSS, Assign(lot, name, "1", jobs))


def sent(effects: tuple[Effect, ...], kind: type) -> list[object]:
    return [e.message for e in effects if isinstance(e, Send) and isinstance(e.message, kind)]


def end(peer: Peer, task: str, attempt: int = 1, elapsed_us: int = 80_000) -> tuple[Effect, ...]:
    peer.running.pop((BOSS, task, attempt))
    outcome = Outcome(task, attempt, "ok", raw(1), elapsed_us)
    return peer.command(commands.JobsEnded(((BOSS, outcome),)))


def test_as_many_run_as_there_are_slots_and_the_rest_wait_in_order() -> None:
    _, peer = worker(slots=2)
    assign(peer, *[job(str(i)) for i in range(5)])
    assert [run.task for run in peer.started] == ["0", "1"]
    end(peer, "1")
    assert [run.task for run in peer.started] == ["0", "1", "2"]
    end(peer, "0")
    end(peer, "2")
    assert [run.task for run in peer.started] == ["0", "1", "2", "3", "4"]
    assert peer.most_running == 2


def test_of_short_jobs_one_more_is_with_the_agents_than_may_run() -> None:
    _, peer = worker(slots=2)
    assign(peer, *[job(str(i)) for i in range(6)])
    end(peer, "0", elapsed_us=5_000)
    assert [run.task for run in peer.started] == ["0", "1", "2", "3"]
    end(peer, "1", elapsed_us=5_000)
    assert len(peer.running) == 3
    assert peer.tasks.occupancy == (Occupancy("echo", "1", 2, 2, 2),), "the spare one waits"
    end(peer, "2", elapsed_us=500_000)
    assert len(peer.running) == 2, "long ones are not handed over before they can begin"


def suspect(task: str) -> Job:
    return msgspec.structs.replace(job(task), is_suspect=True)


def test_of_two_suspects_of_poison_one_is_taken_whoever_sends_the_other() -> None:
    _, peer = worker(slots=4)
    other = peer_id("b")
    peer.command(commands.SlotsLent("lot-b", other, "echo", "1", 2))
    assign(peer, suspect("0"), job("1"))
    effects = peer.receive(other, Assign("lot-b", "echo", "1", (suspect("2"), job("3"))))
    assert sent(effects, Rejected) == [Rejected("lot-b", (JobKey("2", 1),), "suspect")]
    assert [run.task for run in peer.started] == ["0", "1", "3"]
    end(peer, "0")
    peer.receive(other, Assign("lot-b", "echo", "1", (suspect("2"),)))
    assert peer.started[-1].task == "2"


def test_a_suspect_that_awaits_a_child_does_not_keep_the_child_out() -> None:
    _, peer = worker(slots=1)
    assign(peer, suspect("0"))
    peer.command(commands.JobParked(BOSS, "0", 1, True))
    assign(peer, suspect("child"))
    assert peer.started[-1].task == "child"


def test_how_busy_a_skill_is_can_be_seen() -> None:
    _, peer = worker(slots=2)
    assign(peer, *[job(str(i)) for i in range(5)])
    assert peer.tasks.occupancy == (Occupancy("echo", "1", 2, 2, 3),)
    end(peer, "0")
    assert peer.tasks.occupancy == (Occupancy("echo", "1", 2, 2, 2),)


def test_a_job_that_comes_back_takes_no_place_of_one_that_has_begun() -> None:
    _, peer = worker(slots=1)
    assign(peer, *[job(str(i)) for i in range(5)])
    end(peer, "0", elapsed_us=5_000)
    assert set(peer.running) == {(BOSS, "1", 1), (BOSS, "2", 1)}, "1 runs, 2 is the spare one"
    peer.command(commands.JobParked(BOSS, "1", 1, True))
    peer.command(commands.JobParked(BOSS, "1", 1, False))
    assert peer.resumed == [], "2 has begun, and there is one slot"
    assert len(peer.started) == 4
    end(peer, "2", elapsed_us=5_000)
    assert peer.resumed == [], "3 was with the agents before, and has begun"
    assert len(peer.started) == 4, "nothing more is handed over before 1 has its place"
    end(peer, "3", elapsed_us=5_000)
    assert peer.resumed == [(BOSS, "1", 1)]
    assert len(peer.started) == 5


def test_jobs_under_a_millisecond_are_handed_over_in_chunks() -> None:
    _, peer = worker(slots=2)
    assign(peer, *[job(str(i)) for i in range(600)])
    assert len(peer.started) == 2
    end(peer, "0", elapsed_us=20)
    assert len(peer.running) == CHUNK_LIMIT
    end(peer, "1", elapsed_us=100_000)
    assert len(peer.started) == CHUNK_LIMIT + 1, "a long one makes it careful again"


def test_a_lot_that_was_not_lent_to_the_link_is_rejected() -> None:
    _, peer = worker()
    (rejected,) = sent(assign(peer, job("x"), lot="other"), Rejected)
    assert rejected == Rejected("other", (JobKey("x", 1),), "no-slot")
    effects = peer.receive(peer_id("b"), Assign("lot", "echo", "1", (job("x"),)))
    assert sent(effects, Rejected) == [Rejected("lot", (JobKey("x", 1),), "no-slot")]
    assert not peer.started


def test_a_lot_that_ended_takes_no_more_and_lets_run_what_runs() -> None:
    _, peer = worker()
    assign(peer, job("x"))
    peer.command(commands.SlotsLent("lot", BOSS, "echo", "1", 0))
    (rejected,) = sent(assign(peer, job("x"), job("y")), Rejected)
    assert rejected == Rejected("lot", (JobKey("y", 1),), "no-slot")
    assert [run.task for run in peer.running.values()] == ["x"]


def test_a_skill_that_is_not_hosted_is_rejected() -> None:
    _, peer = worker()
    (rejected,) = sent(assign(peer, job("x"), name="other"), Rejected)
    assert rejected == Rejected("lot", (JobKey("x", 1),), "no-skill")


def test_a_lot_of_one_skill_does_not_serve_another() -> None:
    made = Town("w")
    peer = made.start("w", (skill(), 1), (skill("other"), 1), run=hanging)
    peer.command(commands.SlotsLent("lot", BOSS, "echo", "1", 1))
    (rejected,) = sent(assign(peer, job("x"), name="other"), Rejected)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "no-slot"


def test_the_same_attempt_twice_runs_once() -> None:
    _, peer = worker()
    assign(peer, job("x"), job("x"))
    assert assign(peer, job("x")) == ()
    assert len(peer.started) == 1


def test_an_attempt_that_ended_is_answered_again_and_not_run() -> None:
    made, peer = worker()
    assign(peer, job("x"))
    end(peer, "x")
    assign(peer, job("x"))
    effects = peer.tasks.wake(made.clock())
    (results,) = sent(effects, Results)
    assert isinstance(results, Results)
    assert results.outcomes[0].task == "x"
    peer.receive(BOSS, messages.ResultsAck((results.batch,)))
    (again,) = sent(assign(peer, job("x")), Results)
    assert isinstance(again, Results)
    assert again.outcomes == results.outcomes
    assert len(peer.started) == 1


def test_another_attempt_at_the_same_task_is_another_job() -> None:
    _, peer = worker()
    assign(peer, job("x", 1), job("x", 2))
    assert len(peer.started) == 2


def test_results_leave_in_one_batch_for_each_custodian() -> None:
    made, peer = worker(slots=4)
    peer.command(commands.SlotsLent("theirs", peer_id("b"), "echo", "1", 2))
    made.by_id[peer_id("b")] = made["a"]
    assign(peer, job("x"), job("y"))
    peer.receive(peer_id("b"), Assign("theirs", "echo", "1", (job("x"),)))
    ends = tuple(
        (boss, Outcome(task, 1, "ok", raw(1), 5))
        for boss, task in ((BOSS, "x"), (peer_id("b"), "x"), (BOSS, "y"))
    )
    results = [
        (e.to, len(e.message.outcomes))
        for e in peer.command(commands.JobsEnded(ends))
        if isinstance(e, Send) and isinstance(e.message, Results)
    ]
    assert results == [(BOSS, 2), (peer_id("b"), 1)]


def test_results_are_sent_again_after_a_second_and_then_less_often_until_acknowledged() -> None:
    made, peer = worker()
    assign(peer, job("x"))
    end(peer, "x")
    made.sent.clear()
    made.run(20 * SECOND_NS)
    again = [m for _, _, m in made.sent if isinstance(m, Results)]
    assert 3 <= len(again) <= 6
    peer.receive(BOSS, messages.ResultsAck((again[0].batch,)))
    made.sent.clear()
    made.run(20 * SECOND_NS)
    assert not made.sent


def test_an_acknowledgement_by_somebody_else_counts_for_nothing() -> None:
    made, peer = worker()
    assign(peer, job("x"))
    (results,) = sent(end(peer, "x"), Results)
    assert isinstance(results, Results)
    peer.receive(peer_id("b"), messages.ResultsAck((results.batch,)))
    made.sent.clear()
    made.run(2 * SECOND_NS)
    assert [m for _, _, m in made.sent if isinstance(m, Results)]


def test_a_custodian_that_is_back_gets_its_results_at_once() -> None:
    made, peer = worker()
    assign(peer, job("x"))
    end(peer, "x")
    made.run(6 * SECOND_NS)
    made.sent.clear()
    peer.command(commands.PeerUp(BOSS, "a", 2, ()))
    made.run(MILLISECOND_NS)
    assert [m for _, _, m in made.sent if isinstance(m, Results)]


def test_unacknowledged_results_are_bounded_and_the_oldest_go_first() -> None:
    made, peer = worker(slots=1, results_kept=5)
    for i in range(9):
        assign(peer, job(str(i)))
        end(peer, str(i))
    made.sent.clear()
    made.run(1500 * MILLISECOND_NS)
    kept = [m.outcomes[0].task for _, _, m in made.sent if isinstance(m, Results)]
    assert kept == ["4", "5", "6", "7", "8"]


def test_batch_numbers_grow_over_restarts() -> None:
    made, peer = worker()
    assign(peer, job("x"))
    (first,) = sent(end(peer, "x"), Results)
    made.crash("w")
    peer = made.start("w")
    peer.command(commands.SlotsLent("lot", BOSS, "echo", "1", 2))
    assign(peer, job("y"))
    (second,) = sent(end(peer, "y"), Results)
    assert isinstance(first, Results)
    assert isinstance(second, Results)
    assert second.batch > first.batch + 1000


def test_beats_name_everything_that_is_held_and_what_is_parked() -> None:
    made, peer = worker(slots=2)
    assign(peer, job("x"), job("y"), job("z"))
    peer.command(commands.JobParked(BOSS, "x", 1, True))
    end(peer, "y")
    made.sent.clear()
    made.run(1100 * MILLISECOND_NS)
    (beat,) = [m for _, _, m in made.sent if isinstance(m, messages.Beat)]
    assert beat.boot == 1
    assert [key.task for key in beat.running] == ["y", "z"]
    assert [key.task for key in beat.parked] == ["x"]


def test_an_idle_worker_says_nothing_and_wants_no_wake() -> None:
    made, peer = worker()
    made.run(SECOND_NS)
    assert peer.tasks.deadline() is None


def test_a_timeout_counts_from_when_a_job_begins_not_from_when_it_came() -> None:
    made, peer = worker(slots=1)
    assign(peer, job("x", timeout_ms=100), job("y", timeout_ms=100))
    stops: list[tuple[int, str]] = []

    def note() -> None:
        for effect in peer.effects:
            if isinstance(effect, Perform) and isinstance(effect.job, events.StopJobs):
                stops.extend((made.now, key[1]) for key in effect.job.jobs)
        peer.effects.clear()

    for _ in range(30):
        made.run(10 * MILLISECOND_NS)
        note()
    begin = SECOND_NS // MILLISECOND_NS
    assert [(at // MILLISECOND_NS - begin, task) for at, task in stops] == [(100, "x"), (200, "y")]


def test_in_a_chunk_only_the_jobs_that_have_begun_are_timed() -> None:
    made, peer = worker(slots=1)
    assign(peer, job("0"))
    end(peer, "0", elapsed_us=10)
    assign(peer, *[job(str(i), timeout_ms=100) for i in range(1, 20)])
    made.run(150 * MILLISECOND_NS)
    ended = [m for _, _, m in made.sent if isinstance(m, Results)]
    stopped = [o.task for r in ended for o in r.outcomes if o.status == "timeout"]
    assert stopped == ["1"]


def test_a_deadline_stops_a_job_that_has_no_timeout() -> None:
    made, peer = worker()
    assign(peer, job("x", deadline_ms=50))
    assert peer.started[0].deadline_ms == 50
    made.run(60 * MILLISECOND_NS)
    assert not peer.running


def test_a_cancelled_job_that_has_not_begun_ends_without_running() -> None:
    _, peer = worker(slots=1)
    assign(peer, job("x"), job("y"))
    effects = peer.receive(BOSS, messages.CancelJobs((JobKey("y", 1),)))
    (results,) = sent(effects, Results)
    assert isinstance(results, Results)
    assert [o.status for o in results.outcomes] == ["cancelled"]
    assert [run.task for run in peer.started] == ["x"]


def test_a_cancelled_job_that_runs_is_stopped_once() -> None:
    _, peer = worker(slots=1)
    assign(peer, job("x"))
    stop = messages.CancelJobs((JobKey("x", 1),))
    first = peer.receive(BOSS, stop)
    again = peer.receive(BOSS, stop)
    assert [e.job for e in first if isinstance(e, Perform)] == [
        events.StopJobs(((BOSS, "x", 1),), "cancelled")
    ]
    assert again == ()


def test_nobody_cancels_the_jobs_of_another_custodian() -> None:
    _, peer = worker()
    assign(peer, job("x"))
    assert peer.receive(peer_id("b"), messages.CancelJobs((JobKey("x", 1),))) == ()


def test_a_parked_job_makes_room_and_comes_back_before_any_that_has_not_begun() -> None:
    _, peer = worker(slots=1)
    assign(peer, job("x"), job("y"), job("z"))
    peer.command(commands.JobParked(BOSS, "x", 1, True))
    assert [run.task for run in peer.started] == ["x", "y"]
    peer.command(commands.JobParked(BOSS, "x", 1, False))
    assert peer.resumed == []
    end(peer, "y")
    assert peer.resumed == [(BOSS, "x", 1)]
    assert [run.task for run in peer.started] == ["x", "y"]
    end(peer, "x")
    assert [run.task for run in peer.started] == ["x", "y", "z"]


def test_a_parked_job_comes_back_at_once_where_there_is_room() -> None:
    _, peer = worker(slots=1)
    assign(peer, job("x"))
    parked = peer.command(commands.JobParked(BOSS, "x", 1, True))
    back = peer.command(commands.JobParked(BOSS, "x", 1, False))
    assert sent(parked, messages.Parked) == [messages.Parked((JobKey("x", 1),), True)]
    assert sent(back, messages.Parked) == [messages.Parked((JobKey("x", 1),), False)]
    assert peer.resumed == [(BOSS, "x", 1)]


def test_direct_jobs_are_bounded_by_the_slots() -> None:
    _, peer = worker(slots=2)
    effects = assign(peer, *[job(str(i)) for i in range(40)], lot="")
    (rejected,) = sent(effects, Rejected)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, len(rejected.jobs)) == ("busy", 40 - (4 * 2 + 16))


def test_jobs_for_one_custodian_are_bounded() -> None:
    _, peer = worker(slots=1)
    effects: list[tuple[Effect, ...]] = []
    for at in range(0, JOBS_PER_CUSTODIAN_LIMIT + 1024, 1024):
        last = [job(str(at + i)) for i in range(1024)]
        effects.append(assign(peer, *last))
    (rejected,) = sent(effects[-1], Rejected)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, len(rejected.jobs)) == ("busy", 1024)


def test_a_result_that_is_too_large_is_rejected() -> None:
    _, peer = worker()
    assign(peer, job("x"))
    peer.running.clear()
    large = Outcome("x", 1, "ok", raw(b"x" * (8 * 1024 * 1024)), 5)
    (results,) = sent(peer.command(commands.JobsEnded(((BOSS, large),))), Results)
    assert isinstance(results, Results)
    assert (results.outcomes[0].status, results.outcomes[0].error_kind) == ("rejected", "TooLarge")


def test_an_end_without_value_is_sent_with_a_nil_and_one_of_no_job_is_ignored() -> None:
    _, peer = worker()
    peer.run = failing()
    assign(peer, job("x"))
    outcome = Outcome("x", 1, "failed", NIL, 5)
    assert peer.command(commands.JobsEnded(((BOSS, outcome), (BOSS, outcome)))) != ()
    assert peer.command(commands.JobsEnded(((BOSS, outcome), (peer_id("z"), outcome)))) == ()


def test_capacity_is_told_when_it_changes_and_withdrawn_skills_give_back_what_waits() -> None:
    _, peer = worker(slots=1)
    assign(peer, job("x"), job("y"))
    peer.events.clear()
    effects = peer.command(commands.HostSkills(((skill("new"), 3),)))
    assert [(e.skill, e.slots) for e in peer.seen(events.CapacityChanged)] == [
        ("echo", 0), ("new", 3),
    ]  # fmt: skip
    (rejected,) = sent(effects, Rejected)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, [key.task for key in rejected.jobs]) == ("no-skill", ["y"])
    assert sent(end(peer, "x"), Results)


def test_more_slots_start_more_jobs() -> None:
    _, peer = worker(slots=1)
    assign(peer, job("x"), job("y"))
    peer.command(commands.HostSkills(((skill(), 2),)))
    assert [run.task for run in peer.started] == ["x", "y"]


def test_work_is_told_on_notable_change_and_not_too_often() -> None:
    made, peer = worker(slots=1)
    for i in range(30):
        assign(peer, job(str(i)))
    told = peer.seen(events.WorkObserved)
    assert len(told) == 1
    made.run(60 * MILLISECOND_NS)
    told = peer.seen(events.WorkObserved)
    assert [e.queued for e in told][1:] == [30]


def test_jobs_that_hold_no_slot_are_told_at_once_as_many_as_take_places() -> None:
    _, peer = worker(slots=2)
    assign(peer, *[job(str(i)) for i in range(9)])
    assign(peer, job("d1"), lot="")
    assign(peer, job("d2"), job("d3"), lot="")
    assert [told.direct for told in peer.seen(events.WorkObserved)][-2:] == [1, 2]
    for task in ("0", "1", *"2345678", "d1", "d2"):
        end(peer, task)
    assert [told.direct for told in peer.seen(events.WorkObserved)][-1] == 1
    end(peer, "d3")
    assert [told.direct for told in peer.seen(events.WorkObserved)][-1] == 0


def test_jobs_whose_lot_has_ended_hold_no_slot_while_they_do_not_wait_for_a_child() -> None:
    _, peer = worker(slots=2)
    assign(peer, job("x"), job("y"))
    peer.command(commands.JobParked(BOSS, "x", 1, True))
    peer.command(commands.SlotsLent("lot", BOSS, "echo", "1", 0))
    assert [told.direct for told in peer.seen(events.WorkObserved)][-1] == 1
    peer.command(commands.JobParked(BOSS, "x", 1, False))
    assert [told.direct for told in peer.seen(events.WorkObserved)][-1] == 2
    end(peer, "x")
    end(peer, "y")
    assert [told.direct for told in peer.seen(events.WorkObserved)][-1] == 0


def test_short_direct_jobs_cost_no_event_each() -> None:
    _, peer = worker(slots=1)
    assign(peer, job("first"), lot="")
    end(peer, "first", elapsed_us=20)
    told = len(peer.seen(events.WorkObserved))
    for i in range(20):
        assign(peer, job(str(i)), lot="")
        end(peer, str(i), elapsed_us=20)
    assert len(peer.seen(events.WorkObserved)) == told


def test_a_draining_worker_takes_nothing_new_and_says_when_it_is_done() -> None:
    _, peer = worker(slots=1)
    assign(peer, job("x"))
    peer.command(commands.Drain())
    assert [(e.skill, e.slots) for e in peer.seen(events.CapacityChanged)][-1] == ("echo", 0)
    (rejected,) = sent(assign(peer, job("y")), Rejected)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "busy"
    assert not peer.seen(events.Drained)
    (results,) = sent(end(peer, "x"), Results)
    assert not peer.seen(events.Drained)
    assert isinstance(results, Results)
    effects = peer.receive(BOSS, messages.ResultsAck((results.batch,)))
    assert [e.event for e in effects if isinstance(e, Emit)] == [events.Drained(0)]


def test_a_draining_peer_refuses_submissions_except_those_of_its_own_jobs() -> None:
    made = Town("a", "b")
    made.start("a", (skill(), 1), run=hanging)
    made.start("b", (skill("child"), 1))
    made.run(10 * MILLISECOND_NS)
    (parent,) = made["a"].submit(spec())
    made.run(10 * MILLISECOND_NS)
    made["a"].command(commands.Drain())
    with pytest.raises(Exception, match="Draining"):
        made["a"].submit(spec("child"))
    assert made["a"].submit(spec("child", parent=parent, depth=1))
    made["a"].run = echo()
    made.run(SECOND_NS)
    assert len(made["a"].settled) == 1


def test_an_idle_peer_is_drained_at_once() -> None:
    made = Town("a")
    made.start("a", (skill(), 1))
    effects = made["a"].command(commands.Drain())
    assert events.Drained(0) in [e.event for e in effects if isinstance(e, Emit)]
