"""What becomes of attempts: results, failures, losses, late answers, liars."""

import itertools

import msgspec
import pytest

from protocols.effects import Emit, Persist, Send
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events, messages
from protocols.tasks.messages import Outcome, Results
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.records import AttemptsRecorded, EndsRecorded
from protocols.tasks.task import NIL
from tests.protocols.tasks.support import (
    Peer,
    Town,
    echo,
    failing,
    first,
    hanging,
    peer_id,
    raw,
    skill,
    spec,
)


def town(*workers: str, slots: int = 1, retries: int = 2, **parameters: int) -> Town:
    made = Town("a", *(workers or ("b",)), parameters=TaskParameters(**parameters))
    made.start("a")
    for name in workers or ("b",):
        made.start(name, (skill(retries=retries, output_schema=b"int"), slots))
    made.run(10 * MILLISECOND_NS)
    return made


def ok(task: str, attempt: int = 1, value: object = 1) -> Outcome:
    return Outcome(task, attempt, "ok", raw(value), 5)


def run_one(made: Town, **fields: object) -> str:
    (task,) = made["a"].submit(spec(**fields))  # type: ignore[arg-type]
    made.run_until(lambda: bool(made["b"].started))
    return task


def test_an_attempt_is_recorded_in_the_step_that_sends_it() -> None:
    made = town()
    made["a"].effects.clear()
    made["a"].submit(spec(), spec())
    made.run(MILLISECOND_NS)
    effects = made["a"].effects
    (record,) = [
        e.record
        for e in effects
        if isinstance(e, Persist) and isinstance(e.record, AttemptsRecorded)
    ]
    (assign,) = [
        e.message for e in effects if isinstance(e, Send) and isinstance(e.message, messages.Assign)
    ]
    (started,) = [
        e.event
        for e in effects
        if isinstance(e, Emit) and isinstance(e.event, events.AttemptsStarted)
    ]
    assert record.peer == peer_id("b")
    assert [(k.task, k.attempt) for k in record.attempts] == [
        (job.task, job.attempt) for job in assign.jobs
    ]
    assert started.attempts == record.attempts


def test_a_batch_of_results_is_one_record_one_event_and_one_ack() -> None:
    made = town(slots=3)
    made["b"].run = hanging
    ids = made["a"].submit(spec(), spec(), spec())
    made.run(20 * MILLISECOND_NS)
    effects = made["a"].receive(made["b"], Results(9, tuple(ok(task) for task in ids)))
    records = [e.record for e in effects if isinstance(e, Persist)]
    told = [e.event for e in effects if isinstance(e, Emit)]
    acks = [e.message for e in effects if isinstance(e, Send)]
    assert [type(record) for record in records] == [EndsRecorded]
    assert [len(e.settled) for e in told if isinstance(e, events.TasksSettled)] == [3]
    assert acks == [messages.ResultsAck((9,))]


def test_a_late_duplicate_is_acknowledged_and_changes_nothing() -> None:
    made = town()
    task = run_one(made)
    made.settle()
    before = made["a"].settled[task]
    effects = made["a"].receive(made["b"], Results(77, (ok(task, value=99),)))
    assert [e.message for e in effects if isinstance(e, Send)] == [messages.ResultsAck((77,))]
    assert made["a"].view(task).value == before.value
    assert not [e for e in effects if isinstance(e, Persist)]


def test_a_result_of_an_unknown_task_is_acknowledged() -> None:
    made = town()
    effects = made["a"].receive(made["b"], Results(5, (ok("nothing"),)))
    assert [e.message for e in effects if isinstance(e, Send)] == [messages.ResultsAck((5,))]
    assert not made.blamed


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_result_of_an_attempt_that_its_sender_never_had_is_blamed(attempt: int) -> None:
    made = town("b", "c")
    made["b"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(20 * MILLISECOND_NS)
    made["a"].receive(made["c"], Results(1, (ok(task, attempt), ok(task, attempt))))
    assert [blame.peer for blame in made.blamed] == [peer_id("c")]
    assert made["a"].view(task).state == "running"


def test_an_output_that_breaks_the_schema_is_a_failure_not_a_result() -> None:
    made = town()
    made["b"].run = lambda peer, job: (1, ok(job.task, job.attempt, "not a number"))
    task = run_one(made)
    made.settle()
    settled = made["a"].settled[task]
    assert (settled.state, settled.error_kind, settled.attempts) == ("failed", "InvalidOutput", 1)
    assert made["a"].view(task).history[0].status == "rejected"


@pytest.mark.parametrize("status", ["failed", "timeout", "crashed"])
def test_a_failure_is_retried_until_retries_are_used_up_and_is_then_a_dead_letter(
    status: str,
) -> None:
    made = town(retries=3)
    made["b"].run = failing(status)
    task = run_one(made)
    made.settle()
    settled = made["a"].settled[task]
    assert (settled.state, settled.attempts, settled.error_kind) == ("dead", 4, "Oops")
    assert "4 attempts failed; the last: it broke" in settled.error_message
    history = made["a"].view(task).history
    assert [attempt.message for attempt in history] == ["it broke"] * 4, "each says its own"
    before = made["a"].view(task)
    made.crash("a")
    made.start("a")
    assert made["a"].view(task) == before
    told = [a for e in made["a"].seen(events.AttemptsFailed) for a in e.attempts]
    assert [(number, again) for _, number, _, _, again in told] == [
        (1, True), (2, True), (3, True), (4, False),
    ]  # fmt: skip


def test_a_failure_without_retries_is_failed() -> None:
    made = town()
    made["b"].run = failing()
    task = run_one(made, retries=0)
    made.settle()
    settled = made["a"].settled[task]
    assert (settled.state, settled.error_kind, settled.error_message) == (
        "failed",
        "Oops",
        "it broke",
    )


def test_rejected_is_not_retried() -> None:
    made = town(retries=5)
    made["b"].run = failing("rejected")
    task = run_one(made)
    made.settle()
    assert (made["a"].settled[task].state, made["a"].settled[task].attempts) == ("failed", 1)


def test_retries_wait_longer_each_time_up_to_a_cap() -> None:
    made = town(retries=9, retry_most_ns=400 * MILLISECOND_NS)
    made["b"].run = failing()
    run_one(made)
    made.settle()
    starts = [view.started_wall_ns for view in made["a"].view(made["a"].accepted[0]).history]
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert 20 * MILLISECOND_NS < pauses[0] < 120 * MILLISECOND_NS
    assert max(pauses) < 900 * MILLISECOND_NS
    assert sum(pauses[4:]) > sum(pauses[:4])


def test_a_retry_goes_to_another_peer_where_there_is_one() -> None:
    made = town("b", "c")
    made["b"].run = failing()
    made["c"].run = failing()
    ids = made["a"].submit(*[spec(retries=1) for _ in range(6)])
    made.settle()
    for task in ids:
        peers = [attempt.peer for attempt in made["a"].view(task).history]
        assert len(set(peers)) == 2, "both peers were tried"


@pytest.mark.parametrize("slots", [1, 4])
def test_a_slot_is_sought_elsewhere_for_a_retry_though_the_peer_that_failed_has_more(
    slots: int,
) -> None:
    made = Town("a", "b", "c")
    made.start("b", (skill(), slots), run=failing())
    made.start("c", (skill(), slots), run=failing())
    made.start("a")
    made.run()
    for others in (0, 2):
        tasks = made["a"].submit(*[spec(retries=1) for _ in range(1 + others)])
        assert len(tasks) == 1 + others
        made.settle()
        for task in tasks:
            first, second = made["a"].view(task).history
            assert first.peer != second.peer
            pause = second.started_wall_ns - first.ended_wall_ns
            assert pause < TaskParameters().avoid_ns
        if not others:
            asked = [event.units for event in made["a"].seen(events.SlotsWanted)]
            assert max(asked) == 2, "one more, and not one after the other until b is full"
        made.run(2 * SECOND_NS)


def test_a_retry_goes_to_the_same_peer_where_there_is_no_other() -> None:
    made = town()
    calls: list[int] = []

    def once(peer: Peer, job: events.RunJob) -> tuple[int, Outcome]:
        calls.append(job.attempt)
        run = failing() if len(calls) == 1 else echo(1)
        drawn = run(peer, job)
        assert drawn is not None
        return drawn

    made["b"].run = once
    task = run_one(made)
    made.settle()
    assert made["a"].settled[task].state == "done"
    assert made["a"].settled[task].attempts == 2


def test_a_task_lost_with_its_peer_runs_elsewhere_at_once_and_uses_no_retry() -> None:
    made = town("b", "c")
    made["b"].run = hanging
    (task,) = made["a"].submit(spec(retries=0))
    made.run(10 * MILLISECOND_NS)
    begin = made.now
    made.crash("b")
    made.settle()
    assert made["a"].settled[task].state == "done"
    assert made.now - begin < 50 * MILLISECOND_NS
    assert [attempt.status for attempt in made["a"].view(task).history] == ["lost", "ok"]


def test_a_peer_that_was_started_again_has_lost_its_attempts() -> None:
    made = town("b", "c")
    made["b"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(10 * MILLISECOND_NS)
    made.crash("b", is_noticed=False)
    made.start("b", run=echo())
    made.settle()
    assert made["a"].settled[task].state == "done"
    assert "started again" in made["a"].view(task).history[0].message


def test_a_task_that_takes_its_peers_with_it_is_poison() -> None:
    made = town(losses=3)
    made["b"].run = hanging
    task = run_one(made)
    for _ in range(3):
        made.run(20 * MILLISECOND_NS)
        made.crash("b")
        made.start("b")
        made.run(20 * MILLISECOND_NS)
    settled = made["a"].settled[task]
    assert (settled.state, settled.error_kind) == ("dead", "PoisonTask")


def test_an_assignment_that_was_lost_is_sent_again_as_the_same_attempt() -> None:
    made = town()
    made.drop = first(1, messages.Assign)
    (task,) = made["a"].submit(spec())
    made.run(6 * SECOND_NS)
    assert made["a"].settled[task].attempts == 1
    assert made["a"].settled[task].state == "done"


def test_a_result_that_was_lost_is_sent_again() -> None:
    made = town()
    made.drop = first(2, Results)
    task = run_one(made)
    made.run(5 * SECOND_NS)
    assert made["a"].settled[task].attempts == 1
    assert len(made["b"].started) == 1


def test_an_attempt_that_no_beat_names_any_more_is_lost() -> None:
    made = town("b", "c")
    made["b"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(2 * SECOND_NS)
    made.drop = lambda sender, to, message: sender.name == "b" and to.name == "a"
    made.run(6 * SECOND_NS)
    assert made["a"].settled[task].state == "done"
    assert made["a"].settled[task].producer == peer_id("c")


def test_an_attempt_that_beats_name_is_left_alone() -> None:
    made = town("b", "c")
    made["b"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(60 * SECOND_NS)
    assert made["a"].view(task).state == "running"
    assert made["a"].view(task).attempts == 1


def test_a_result_of_an_attempt_given_up_settles_the_task_and_stops_the_other() -> None:
    made = town("b", "c")
    made["b"].run = made["c"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(2 * SECOND_NS)
    made.drop = lambda sender, to, message: sender.name == "b" and to.name == "a"
    made.run(6 * SECOND_NS)
    assert [attempt.status for attempt in made["a"].view(task).history] == ["lost", "running"]
    made["a"].receive(made["b"], Results(1, (ok(task, 1, 7),)))
    made.run(10 * MILLISECOND_NS)
    settled = made["a"].settled[task]
    assert (settled.state, settled.producer, settled.value) == ("done", peer_id("b"), raw(7))
    assert not made["c"].running


def test_a_failure_of_an_attempt_given_up_says_nothing() -> None:
    made = town("b", "c")
    made["b"].run = made["c"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(2 * SECOND_NS)
    made.drop = lambda sender, to, message: sender.name == "b" and to.name == "a"
    made.run(6 * SECOND_NS)
    made["a"].receive(made["b"], Results(1, (Outcome(task, 1, "failed", NIL, 1),)))
    assert made["a"].view(task).state == "running"
    made["a"].receive(made["b"], Results(2, (ok(task, 1, "no number"),)))
    assert made["a"].view(task).state == "running"


def test_a_worker_stops_an_attempt_at_its_timeout() -> None:
    made = town(retries=0)
    made["b"].run = hanging
    task = run_one(made, timeout_ms=300, retries=0)
    begin = made.now
    made.settle()
    assert made["a"].settled[task].state == "failed"
    assert made["a"].view(task).history[0].status == "timeout"
    assert 300 * MILLISECOND_NS <= made.now - begin < 400 * MILLISECOND_NS


def test_a_worker_that_beats_and_never_ends_meets_the_custodians_own_timeout() -> None:
    made = town("b", "c")
    made["b"].run = hanging
    made.drop = lambda sender, to, message: isinstance(message, Results) and sender.name == "b"
    (task,) = made["a"].submit(spec(timeout_ms=500))
    made.run(8 * SECOND_NS)
    assert made["a"].settled[task].state == "done"
    assert made["a"].view(task).history[0].status == "timeout"


def test_a_deadline_ends_a_task_wherever_it_is() -> None:
    made = town(slots=1)
    made["b"].run = hanging
    ids = made["a"].submit(*[spec(deadline_ms=500) for _ in range(3)])
    made.run(600 * MILLISECOND_NS)
    assert [made["a"].settled[task].state for task in ids] == ["expired"] * 3
    assert not made["b"].running


def test_what_a_worker_let_go_of_runs_again() -> None:
    made = town("b", "c")
    made["b"].run = failing("cancelled")
    (task,) = made["a"].submit(spec())
    made.settle()
    assert made["a"].settled[task].state in ("done", "dead")
    assert made["a"].view(task).history[0].status == "lost"


def test_slots_that_a_worker_does_not_honour_are_given_up_and_sought_again() -> None:
    made = town()
    made["a"].command(commands.SlotsHeld("false", "echo", "1", peer_id("b"), 1, 0))
    made.lots[("false", peer_id("a"))] = (peer_id("b"), "echo", 1)
    (task,) = made["a"].submit(spec())
    made.settle()
    assert made["a"].settled[task].attempts == 1
    assert ("false", peer_id("b"), 1) in [
        (e.lot, e.peer, e.slots) for e in made["a"].seen(events.SlotsReturned)
    ]


def test_progress_is_told_from_the_peer_that_runs_it() -> None:
    made = town("b", "c")
    made["b"].run = made["c"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(10 * MILLISECOND_NS)
    made["b"].command(commands.JobProgress(peer_id("a"), task, 1, 500_000, "half"))
    made["c"].command(commands.JobProgress(peer_id("a"), task, 1, 1, "liar"))
    made["a"].receive(made["c"], messages.Progress(task, 1, 1, "liar"))
    made.run(10 * MILLISECOND_NS)
    assert [e.text for e in made["a"].seen(events.TaskProgressed)] == ["half"]
    assert made["a"].view(task).progress == "half"


@pytest.mark.parametrize(
    "message",
    [
        messages.Beat(1, (messages.JobKey("x", 1),), ()),
        messages.Parked((messages.JobKey("x", 1),), True),
        messages.Rejected("lot", (messages.JobKey("x", 1),), "busy"),
        messages.CancelJobs((messages.JobKey("x", 1),)),
        messages.ResultsAck((1, 2, 3)),
        messages.TaskFound(1, b"\xc1"),
        messages.Progress("x", 1, 1, ""),
        messages.Results(1, ()),
        messages.Assign("", "echo", "1", ()),
    ],
)
def test_a_message_about_nothing_changes_nothing(message: msgspec.Struct) -> None:
    made = town()
    task = run_one(made)
    made["a"].receive(made["b"], message)
    made["b"].receive(made["a"], message)
    made.settle()
    assert made["a"].settled[task].state == "done"
    assert not made.blamed


def test_others_cannot_park_refuse_or_keep_alive_what_they_do_not_run() -> None:
    made = town("b", "c")
    made["b"].run = made["c"].run = hanging
    (task,) = made["a"].submit(spec())
    made.run(10 * MILLISECOND_NS)
    key = messages.JobKey(task, 1)
    for message in (
        messages.Parked((key,), True),
        messages.Rejected("", (key,), "busy"),
        messages.Beat(1, (key,), ()),
    ):
        made["a"].receive(made["c"], message)
    view = made["a"].view(task)
    assert (view.state, view.history[0].status) == ("running", "running")
