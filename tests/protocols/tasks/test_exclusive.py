"""Exclusive tasks: an attempt has a lease of the log, and its result counts while it has it."""

import msgspec
import pytest

from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events, messages
from protocols.tasks.leases import EXCLUSIVE_LIMIT, LEASE_MARGIN_NS, LEASE_TTL_MS
from protocols.tasks.messages import Assign, CancelJobs, Outcome, Results
from protocols.voting.ledger import Acquire
from tests.protocols.tasks.key_office import KeyTown
from tests.protocols.tasks.support import echo, failing, first, hanging, raw, skill, spec

LEASE_NS = LEASE_TTL_MS * MILLISECOND_NS


def town(timeout_ms: int = 0) -> KeyTown:
    """Peer a has tasks for the skill that b and c host."""
    made = KeyTown("a", "b", "c")
    for name in made.peers:
        made.start(name, *(((skill(timeout_ms=timeout_ms), 2),) if name != "a" else ()))
    made.run()
    return made


def started(made: KeyTown) -> list[events.RunJob]:
    """All that was begun, by token."""
    jobs = [job for peer in made.peers.values() for job in peer.started]
    return sorted(jobs, key=lambda job: job.fencing_token)


def test_an_exclusive_task_runs_under_a_token() -> None:
    made = town()
    (task,) = made["a"].submit(spec(exclusive="invoices"))
    made.settle()
    assert made["a"].settled[task].state == "done"
    ((name, token, _),) = made.granted
    assert name == "tasks/invoices"
    assert [job.fencing_token for job in started(made)] == [token]
    view = made["a"].view(task)
    assert (view.exclusive, [one.fencing_token for one in view.history]) == ("invoices", [token])
    made.run(SECOND_NS)
    assert made.ledger.lease("tasks/invoices") is None, "given back"


def test_a_task_that_is_not_exclusive_asks_no_log() -> None:
    made = town()
    made["a"].submit(spec())
    made.settle()
    assert made.asked == []
    assert [job.fencing_token for job in started(made)] == [0]


def test_without_a_key_of_its_own_the_task_is_its_key() -> None:
    made = town()
    tasks = made["a"].submit(spec(exclusive=""), spec(exclusive=""))
    made.settle()
    assert [name for name, _, _ in made.granted] == [f"tasks/{task}" for task in tasks]


def test_tasks_of_one_key_run_one_after_another_under_growing_tokens() -> None:
    made = town()
    for name in ("b", "c"):
        made[name].run = echo(300 * MILLISECOND_NS)
    for name in ("a", "b", "c"):
        made[name].submit(*(spec(value=n, exclusive="k") for n in range(4)))
    most = 0

    def is_settled() -> bool:
        nonlocal most
        most = max(most, sum(len(peer.running) for peer in made.peers.values()))
        return not any(peer.tasks.undecided for peer in made.up())

    made.run_until(is_settled)
    tokens = [job.fencing_token for job in started(made)]
    assert most == 1
    assert len(set(tokens)) == 12


def test_a_key_that_another_holds_is_waited_for_and_the_view_says_so() -> None:
    made = town()
    made.order(Acquire("tasks/k", "an operator", 60_000))
    (task,) = made["a"].submit(spec(exclusive="k"))
    made.run(SECOND_NS)
    view = made["a"].view(task)
    assert (view.state, view.history) == ("accepted", ())
    assert view.waits_for == "held by somebody"
    made.settle()
    assert made["a"].settled[task].state == "done"
    assert made["a"].view(task).waits_for == ""


def test_without_a_quorum_the_task_waits_until_its_deadline() -> None:
    made = town()
    made.has_quorum = False
    (task,) = made["a"].submit(spec(exclusive="k", deadline_ms=20_000))
    made.run(5 * SECOND_NS)
    assert "the electors' answer" in made["a"].view(task).waits_for
    assert len({event.request for _, event in made.asked}) == 1, "the same question again"
    assert len(made.asked) == 6
    made.run(20 * SECOND_NS)
    assert made["a"].settled[task].state == "expired"
    made.has_quorum = True
    made.run(5 * SECOND_NS)
    assert started(made) == []


def test_a_lease_granted_after_its_task_ended_is_given_back() -> None:
    made = town()
    made.log_delay_ns = SECOND_NS // 2
    (task,) = made["a"].submit(spec(exclusive="k"))
    made.run(SECOND_NS // 10)
    made["a"].command(commands.CancelTasks(9, task))
    made.run(2 * SECOND_NS)
    assert made.granted
    assert made.ledger.lease("tasks/k") is None


def test_a_long_attempt_keeps_its_lease_while_its_custodian_renews_it() -> None:
    made = town()
    for name in ("b", "c"):
        made[name].run = echo(5 * LEASE_NS)
    (task,) = made["a"].submit(spec(exclusive="k"))
    made.settle()
    assert made["a"].settled[task].state == "done"
    assert len(made.granted) == len(started(made)) == 1


@pytest.mark.parametrize("end", ["failed", "crashed", "timeout"])
def test_an_attempt_that_failed_gives_the_key_back_at_once(end: str) -> None:
    made = town(1_000)
    run = hanging if end == "timeout" else failing(end)
    made["b"].run = made["c"].run = run
    made["a"].submit(spec(exclusive="k", retries=1))
    made.run(8 * SECOND_NS)
    tokens = [job.fencing_token for job in started(made)]
    assert len(tokens) == 2, "the second did not wait for the first lease to run out"
    assert tokens[0] < tokens[1]


def cut_off(made: KeyTown, name: str) -> None:
    made.drop = lambda sender, to, message: name in (sender.name, to.name)


def hang_somewhere(made: KeyTown) -> tuple[str, str]:
    """A task that hangs, and the name of the peer that has it."""
    made["b"].run = made["c"].run = hanging
    (task,) = made["a"].submit(spec(exclusive="k"))
    made.run(SECOND_NS)
    (at,) = [name for name in ("b", "c") if made[name].running]
    other = "c" if at == "b" else "b"
    made[other].run = echo()
    return task, at


def test_a_lost_attempt_keeps_the_key_until_its_lease_has_run_out() -> None:
    made = town()
    task, at = hang_somewhere(made)
    made.crash(at)
    made.run(5 * SECOND_NS)
    assert len(started(made)) == 1
    assert made["a"].view(task).waits_for == "held by somebody"
    made.settle()
    one, two = started(made)
    assert one.fencing_token < two.fencing_token


def test_a_worker_stops_an_attempt_whose_lease_it_does_not_hear_renewed() -> None:
    made = town()
    _, at = hang_somewhere(made)
    cut_off(made, at)
    made.run(LEASE_NS - LEASE_MARGIN_NS - 2 * SECOND_NS)
    assert made[at].running
    made.run(2 * SECOND_NS)
    assert not made[at].running
    assert len(started(made)) == 1, "before anybody else may begin"


def test_an_attempt_that_comes_when_its_lease_is_over_is_not_begun() -> None:
    made = town()
    made["b"].run = made["c"].run = hanging
    held: list[tuple[str, Assign]] = []

    def keep(sender: object, to: object, message: object) -> bool:
        if isinstance(message, Assign) and not held:
            held.append((getattr(to, "name", ""), message))
            return True
        return False

    made.drop = keep
    made["a"].submit(spec(exclusive="k"))
    made.run(SECOND_NS)
    ((to, message),) = held
    made.now += LEASE_NS
    before = len(made[to].started)
    made[to].receive(made["a"], message)
    assert len(made[to].started) == before
    assert made.sent[-1][2] == messages.Rejected(
        message.lot, (messages.JobKey(message.jobs[0].task, 1),), "lease-over"
    )


def test_a_result_under_a_lease_that_has_ended_does_not_count() -> None:
    made = town()
    task, at = hang_somewhere(made)
    (job,) = made[at].running.values()
    made.crash(at)
    made.settle()
    outcome = Outcome(task, job.attempt, "ok", raw("stale"), 1)
    assert made["a"].settled[task].value == raw(1)
    made["a"].receive(made[at], Results(77, (outcome,)))
    assert made["a"].view(task).value == raw(1)


def test_a_late_result_of_an_attempt_given_up_frees_the_key_and_does_not_count() -> None:
    made = town()
    task, at = hang_somewhere(made)
    (job,) = made[at].running.values()
    made.crash(at)
    assert made.ledger.lease("tasks/k") is not None
    made["a"].receive(made[at], Results(77, (Outcome(task, job.attempt, "ok", raw("stale"), 1),)))
    made.run(SECOND_NS)
    assert made["a"].settled[task].value == raw(1)
    assert [job.fencing_token for job in started(made)] == [token for _, token, _ in made.granted]


def test_a_result_waits_for_the_log_and_is_acknowledged_when_it_counts() -> None:
    made = town()
    made["b"].run = made["c"].run = echo(SECOND_NS)
    (task,) = made["a"].submit(spec(exclusive="k"))
    made.run(SECOND_NS // 2)
    made.has_quorum = False
    made.run(3 * SECOND_NS)
    assert task not in made["a"].settled
    acks = [m for _, _, m in made.sent if isinstance(m, messages.ResultsAck)]
    assert acks == []
    made.has_quorum = True
    made.settle()
    assert len(started(made)) == 1
    assert [m for _, _, m in made.sent if isinstance(m, messages.ResultsAck)]


def test_a_result_whose_lease_the_log_has_ended_is_not_taken() -> None:
    made = town()
    made["b"].run = made["c"].run = echo(SECOND_NS)
    made["a"].submit(spec(exclusive="k"))
    made.run(SECOND_NS // 2)
    made.has_quorum = False
    made.run(LEASE_NS)
    made.has_quorum = True
    made.settle()
    one, two = started(made)
    assert one.fencing_token < two.fencing_token
    (settled,) = made["a"].settled.values()
    assert (settled.state, settled.attempts) == ("done", 2)


def test_a_result_that_waits_for_the_log_survives_its_peer() -> None:
    made = town()
    made["b"].run = made["c"].run = echo(SECOND_NS)
    made["a"].submit(spec(exclusive="k"))
    made.run(SECOND_NS // 2)
    made.has_quorum = False
    made.run(SECOND_NS)
    at = next(name for name in ("b", "c") if made[name].started)
    made.crash(at)
    made.run(4 * SECOND_NS)
    made.has_quorum = True
    made.settle()
    assert len(started(made)) == 1


def test_attempts_end_when_their_lease_cannot_be_renewed() -> None:
    made = town()
    task, at = hang_somewhere(made)
    made.has_quorum = False
    made.run(LEASE_NS)
    assert not made[at].running
    assert made["a"].view(task).state == "accepted"
    assert any(isinstance(m, CancelJobs) for _, _, m in made.sent)


def test_a_restarted_custodian_keeps_the_attempt_and_its_lease() -> None:
    made = town()
    made["b"].run = made["c"].run = echo(12 * SECOND_NS)
    made["a"].submit(spec(exclusive="k"))
    made.run(2 * SECOND_NS)
    made.crash("a")
    made.run(2 * SECOND_NS)
    made.start("a")
    made.settle()
    assert len(made.granted) == len(started(made)) == 1


def test_a_custodian_that_was_away_for_too_long_has_it_run_anew() -> None:
    made = town()
    made["b"].run = made["c"].run = echo(12 * SECOND_NS)
    made["a"].submit(spec(exclusive="k"))
    made.run(2 * SECOND_NS)
    made.crash("a")
    made.run(2 * LEASE_NS)
    made.start("a")
    made.settle()
    tokens = [job.fencing_token for job in started(made)]
    assert len(tokens) == len(set(tokens)) == 2


def test_a_snapshot_keeps_the_tokens() -> None:
    made = town()
    hang_somewhere(made)
    peer = made["a"]
    (before,) = peer.view(peer.accepted[0]).history
    peer.records = [msgspec.msgpack.encode(record) for record in peer.tasks.snapshot()]
    made.crash("a")
    made.start("a")
    (after,) = peer.view(peer.accepted[0]).history
    assert after.fencing_token == before.fencing_token > 0


def test_a_peer_that_refuses_gives_the_key_back() -> None:
    made = town()
    made["b"].command(commands.Drain())
    made["c"].command(commands.Drain())
    made["a"].submit(spec(exclusive="k", strategy="direct", to=made["b"].id))
    made.run(SECOND_NS // 10)
    assert len(made.granted) > 1
    assert started(made) == []


def test_an_assignment_that_was_lost_is_sent_again_under_the_same_token() -> None:
    made = town()
    made.drop = first(1, Assign)
    made["a"].submit(spec(exclusive="k"))
    made.settle()
    assert len(made.granted) == len(started(made)) == 1


def test_keys_asked_for_at_once_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.tasks.gate.LEASES_LIMIT", 8)
    made = town()
    made.has_quorum = False
    made["a"].submit(*(spec(value=n, exclusive=f"k{n}") for n in range(20)))
    assert len({event.name for _, event in made.asked}) == 8
    made.has_quorum = True
    made.settle()
    assert len(made.granted) == 20


def test_what_is_remembered_of_leases_that_end_has_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.tasks.gate.LAPSING_LIMIT", 2)
    monkeypatch.setattr("protocols.tasks.gate.RELEASES_LIMIT", 2)
    made = town()
    made["b"].run = made["c"].run = hanging
    tasks = made["a"].submit(*(spec(exclusive=f"k{n}") for n in range(4)))
    made.run(SECOND_NS)
    assert len(started(made)) == 4
    made.has_quorum = False
    for task in tasks:
        made["a"].command(commands.CancelTasks(9, task))
    made.run(SECOND_NS)
    made.has_quorum = True
    made.run(SECOND_NS)
    left = [n for n in range(4) if made.ledger.lease(f"tasks/k{n}") is not None]
    assert len(left) >= 2, "these run out by themselves"


def test_a_key_that_is_too_long_is_refused() -> None:
    made = town()
    with pytest.raises(Refused, match="TooLarge"):
        made["a"].submit(spec(exclusive="k" * (EXCLUSIVE_LIMIT + 1)))


def test_the_log_goes_on_when_answers_and_messages_are_lost_or_come_twice() -> None:
    made = KeyTown("a", "b", "c", seed=7, loss=0.1, duplication=0.1)
    for name in made.peers:
        made.start(name, (skill(), 2), run=echo(100 * MILLISECOND_NS))
    made.run()
    for name in made.peers:
        made[name].submit(*(spec(value=n, exclusive=f"k{n % 3}") for n in range(12)))
    made.settle()
    assert all(one.state == "done" for peer in made.up() for one in peer.settled.values())
