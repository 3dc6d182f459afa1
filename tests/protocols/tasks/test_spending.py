"""Where an attempt's time went at the peer that ran it, by that peer's clock alone."""

from protocols.machine import MILLISECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.events import AttemptsRan, RanAttempt
from protocols.tasks.messages import Assign, CancelJobs, Job, JobKey, Outcome
from tests.protocols.tasks.support import Peer, Town, hanging, peer_id, raw, skill, spec

BOSS = peer_id("a")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


def worker() -> tuple[Town, Peer]:
    made = Town("a", "w")
    peer = made.start("w", (skill(), 1), run=hanging)
    peer.command(commands.SlotsLent("lot", BOSS, "echo", "1", 1))
    return made, peer


def assign(peer: Peer, *tasks: str) -> None:
    jobs = tuple(Job(task, 1, 1, raw(1), 0, 0, 0, TRACEPARENT) for task in tasks)
    peer.receive(BOSS, Assign("lot", "echo", "1", jobs))


def end(peer: Peer, *tasks: str, elapsed_us: int = 60_000) -> None:
    ends = []
    for task in tasks:
        del peer.running[(BOSS, task, 1)]
        ends.append((BOSS, Outcome(task, 1, "ok", raw(1), elapsed_us)))
    peer.command(commands.JobsEnded(tuple(ends)))


def test_waiting_for_a_slot_and_being_with_the_agents_are_told_apart() -> None:
    made, peer = worker()
    assign(peer, "x", "y")
    made.run(70 * MILLISECOND_NS)
    end(peer, "x")
    made.run(65 * MILLISECOND_NS)
    end(peer, "y", elapsed_us=64_000)
    x, y = [told.attempts[0] for told in peer.seen(AttemptsRan)]
    assert x == RanAttempt("x", 1, "ok", TRACE, 0, 70_000, 60_000)
    assert y == RanAttempt("y", 1, "ok", TRACE, 70_000, 65_000, 64_000)


def test_attempts_that_end_together_are_one_event() -> None:
    _, peer = worker()
    assign(peer, "warm")
    end(peer, "warm", elapsed_us=5)
    assign(peer, "x", "y", "z")
    end(peer, "x", "y", "z", elapsed_us=5)
    told = peer.seen(AttemptsRan)[-1]
    assert (told.peer, told.skill) == (BOSS, "echo")
    assert [ran.task for ran in told.attempts] == ["x", "y", "z"]


def test_what_never_began_has_only_waited() -> None:
    made, peer = worker()
    assign(peer, "x", "y")
    made.run(30 * MILLISECOND_NS)
    peer.receive(BOSS, CancelJobs((JobKey("y", 1),)))
    ((ran,),) = [told.attempts for told in peer.seen(AttemptsRan)]
    assert (ran.task, ran.status) == ("y", "cancelled")
    assert (ran.waited_us, ran.held_us, ran.elapsed_us) == (30_000, 0, 0)


def test_who_asked_for_a_task_is_told_with_its_acceptance() -> None:
    made = Town("a")
    peer = made.start("a", (skill(), 1))
    peer.submit(spec(traceparent=TRACEPARENT, parent="mother", depth=1))
    (told,) = peer.seen(events.TasksAccepted)
    assert (told.trace, told.span, told.parent) == (TRACE, SPAN, "mother")
