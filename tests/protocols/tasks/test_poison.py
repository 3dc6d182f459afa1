"""Tasks that end whoever runs them, and those that only happened to be there."""

import pytest

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.messages import Assign, Job, Outcome, Results
from protocols.tasks.task import NIL
from tests.protocols.tasks.support import Peer, Town, echo, hanging, peer_id, raw, skill, spec

BRIEF = 20 * MILLISECOND_NS


def town(*workers: str, slots: int = 1, retries: int = 9) -> Town:
    made = Town("a", *workers)
    made.start("a")
    for name in workers:
        made.start(name, (skill(retries=retries), slots), run=hanging)
    made.run(BRIEF)
    return made


def runners(made: Town, task: str) -> list[bytes]:
    return [attempt.peer for attempt in made["a"].view(task).history]


def host(made: Town, task: str) -> Peer:
    """The peer that the task's newest attempt is at."""
    made.run_until(lambda: made["a"].view(task).state == "running")
    return made.by_id[runners(made, task)[-1]]


def end_worker(made: Town, peer: Peer, *ids: str) -> None:
    """The worker process that ran these tasks ends, all of them at once."""
    outcomes = []
    for key in tuple(peer.running):
        if key[1] in ids:
            del peer.running[key]
            outcomes.append(Outcome(key[1], key[2], "crashed", NIL, 1, "WorkerCrashed", "-9"))
    assert len(outcomes) == len(ids), "not all of them run there"
    peer.command(commands.JobsEnded(tuple((made["a"].id, outcome) for outcome in outcomes)))


def test_a_task_whose_workers_end_at_two_peers_is_stopped_and_the_peers_are_named() -> None:
    made = town("b", "c", "d", "e")
    (task,) = made["a"].submit(spec())
    for _ in range(2):
        made.run(SECOND_NS)
        end_worker(made, host(made, task), task)
    made.run(10 * SECOND_NS)
    view = made["a"].view(task)
    assert (view.state, view.error_kind, view.attempts) == ("dead", "PoisonTask", 2)
    first, second = (made.by_id[peer].name for peer in runners(made, task))
    assert f"at {first} and {second}" in view.error_message


def test_a_task_whose_workers_end_at_the_same_peer_is_retried() -> None:
    made = town("b")
    (task,) = made["a"].submit(spec())
    for _ in range(3):
        made.run(SECOND_NS)
        end_worker(made, host(made, task), task)
    assert made["a"].view(task).state in ("running", "waiting")


def test_what_ran_beside_a_poison_task_is_not_convicted() -> None:
    made = town("b", "c", "d", slots=2)
    poison, innocent = made["a"].submit(spec(), spec())
    for _ in range(2):
        made.run(SECOND_NS)
        peer = host(made, poison)
        there = [key[1] for key in peer.running]
        end_worker(made, peer, *there)
        made.by_id[peer.id].run = echo()
    made.run(10 * SECOND_NS)
    assert made["a"].view(poison).error_kind == "PoisonTask"
    assert made["a"].view(innocent).state in ("done", "running")


def test_two_suspects_are_never_given_to_one_peer() -> None:
    made = town("b", "c", slots=2)
    ids = made["a"].submit(spec(), spec())
    made.run(SECOND_NS)
    peer = host(made, ids[0])
    end_worker(made, peer, *[key[1] for key in peer.running])
    made.run(5 * SECOND_NS)
    where = [runners(made, task)[-1] for task in ids if made["a"].view(task).state == "running"]
    assert len(where) == len(set(where)) == 2


def test_a_task_that_was_alone_when_two_peers_ended_at_once_is_stopped() -> None:
    made = town("b", "c", "d", "e")
    (task,) = made["a"].submit(spec())
    for _ in range(2):
        peer = host(made, task)
        made.run(BRIEF)
        made.crash(peer.name)
    made.run(SECOND_NS)
    view = made["a"].view(task)
    assert (view.state, view.error_kind, view.attempts) == ("dead", "PoisonTask", 2)


def test_a_task_that_had_run_for_long_when_its_peers_ended_goes_on() -> None:
    made = town("b", "c", "d", "e")
    (task,) = made["a"].submit(spec())
    for _ in range(3):
        peer = host(made, task)
        made.run(3 * SECOND_NS)
        made.crash(peer.name)
    assert host(made, task).name != "a"


def test_tasks_that_were_together_when_their_peers_ended_go_on() -> None:
    made = town("b", "c", "d", slots=2)
    ids = made["a"].submit(spec(), spec())
    for _ in range(2):
        made.run(BRIEF)
        made.crash(host(made, ids[0]).name)
    made.run(BRIEF)
    assert {made["a"].view(task).state for task in ids} <= {"running", "accepted"}


def test_where_other_peers_end_too_no_task_is_convicted_of_it() -> None:
    made = town("b", "c", "d", "e", "f")
    (task,) = made["a"].submit(spec())
    peer = host(made, task)
    made.run(BRIEF)
    made.crash(peer.name)
    second = host(made, task)
    other = next(each for each in made.up() if each not in (made["a"], second))
    made.crash(other.name)
    made.run(BRIEF)
    made.crash(second.name)
    assert host(made, task).name != "a"


@pytest.mark.parametrize("reason", ["left", "dead"])
def test_a_peer_that_left_or_fell_silent_convicts_nobody(reason: str) -> None:
    made = town("b", "c", "d", "e")
    (task,) = made["a"].submit(spec())
    for _ in range(3):
        peer = host(made, task)
        made.run(BRIEF)
        made.crash(peer.name, is_noticed=False)
        made["a"].command(commands.PeerDown(peer.id, reason))
    assert host(made, task).name != "a"


def test_suspicions_outlive_the_custodians_restart() -> None:
    made = town("b", "c", "d", "e")
    (task,) = made["a"].submit(spec())
    made.run(SECOND_NS)
    end_worker(made, host(made, task), task)
    made.crash("a")
    made.start("a")
    made.run(SECOND_NS)
    end_worker(made, host(made, task), task)
    made.run(SECOND_NS)
    assert made["a"].view(task).error_kind == "PoisonTask"


def test_suspicions_are_in_a_snapshot() -> None:
    made = town("b", "c", "d", "e")
    (task,) = made["a"].submit(spec())
    made.run(SECOND_NS)
    end_worker(made, host(made, task), task)
    made.run(SECOND_NS)
    (kept,) = [k for record in made["a"].tasks.snapshot() for k in getattr(record, "tasks", ())]
    assert kept.suspicions == (runners(made, task)[0],)


def test_a_crash_told_beside_a_late_result_of_the_same_task_stops_nothing() -> None:
    made = town("b", "c")
    (task,) = made["a"].submit(spec())
    peer = host(made, task)
    crash = Outcome(task, 1, "crashed", NIL, 1, "WorkerCrashed", "-9")
    made["a"].receive(peer, Results(1, (crash, crash)))
    assert made["a"].view(task).state in ("waiting", "accepted", "running")
    assert len(runners(made, task)) == 1
    assert runners(made, task)[0] in (peer_id("b"), peer_id("c"))


def test_a_suspect_that_a_peer_will_not_take_goes_elsewhere_and_the_slot_stays() -> None:
    made = town("b", "c", slots=2)
    (task,) = made["a"].submit(spec())
    made.run(SECOND_NS)
    first = host(made, task)
    end_worker(made, first, task)
    second = next(made[name] for name in "bc" if made[name] is not first)
    # Somebody else's suspect is there.
    job = Job("other", 1, 1, raw(1), 0, 0, 0, "", is_suspect=True)
    second.receive(peer_id("z"), Assign("", "echo", "1", (job,)))
    before = len(made["a"].seen(events.SlotsReturned))
    made.run(10 * SECOND_NS)
    refusals = [each for each in made["a"].view(task).history if each.status == "refused"]
    assert refusals
    assert all(each.peer == second.id for each in refusals)
    assert made["a"].view(task).state == "running"
    assert len(made["a"].seen(events.SlotsReturned)) - before <= 1
