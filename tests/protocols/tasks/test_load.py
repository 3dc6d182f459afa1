"""What a peer says of how much it has to do: the time to work it off, told on change and seldom."""

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.load import LOAD_MOST_MS
from protocols.tasks.messages import Assign, Job, Outcome
from tests.protocols.tasks.support import Peer, Town, hanging, peer_id, raw, skill

BOSS = peer_id("a")


def worker(slots: int = 2) -> tuple[Town, Peer]:
    made = Town("a", "w")
    peer = made.start("w", (skill(), slots), run=hanging)
    peer.command(commands.SlotsLent("lot", BOSS, "echo", "1", slots))
    return made, peer


def assign(peer: Peer, *tasks: str) -> None:
    jobs = tuple(Job(task, 1, 1, raw(1), 0, 0, 0, "") for task in tasks)
    peer.receive(BOSS, Assign("lot", "echo", "1", jobs))


def end(peer: Peer, *tasks: str, elapsed_us: int) -> None:
    for task in tasks:
        peer.running.pop((BOSS, task, 1))
    outcomes = (Outcome(task, 1, "ok", raw(1), elapsed_us) for task in tasks)
    peer.command(commands.JobsEnded(tuple((BOSS, outcome) for outcome in outcomes)))


def told(peer: Peer) -> list[int]:
    return [event.load_ms for event in peer.seen(events.LoadObserved)]


def test_a_peer_that_has_nothing_to_do_says_nothing_and_waits_for_nothing() -> None:
    made, peer = worker()
    made.run(10 * SECOND_NS)
    assert told(peer) == []
    assert peer.tasks.deadline() is None


def test_the_load_is_the_time_in_which_the_slots_work_off_what_is_here() -> None:
    made, peer = worker(slots=2)
    assign(peer, "x")
    end(peer, "x", elapsed_us=80_000)
    made.run(SECOND_NS)
    assign(peer, *"abcdefghij")
    made.run(SECOND_NS)
    assert told(peer)[-1] == 10 * 80 // 2
    assert peer.seen(events.LoadObserved)[-1].peer == peer.id


def test_a_job_of_a_skill_that_nobody_has_timed_counts_as_a_second() -> None:
    made, peer = worker(slots=1)
    assign(peer, "x")
    made.run(SECOND_NS)
    assert told(peer) == [1000]


def test_however_short_the_jobs_are_who_has_some_is_not_idle() -> None:
    made, peer = worker(slots=8)
    assign(peer, "x")
    end(peer, "x", elapsed_us=20)
    made.run(SECOND_NS)
    assign(peer, "y")
    made.run(SECOND_NS)
    assert told(peer)[-1] == 1


def test_one_short_job_after_the_other_is_not_told_and_no_time_is_kept_for_it() -> None:
    made, peer = worker(slots=1)
    for number in range(100):
        assign(peer, str(number))
        made.run(20 * MILLISECOND_NS)
        end(peer, str(number), elapsed_us=20_000)
        made.run(5 * MILLISECOND_NS)
    assert told(peer) == []


def test_a_queue_that_comes_and_goes_is_told_once_in_a_while_and_its_end_too() -> None:
    made, peer = worker(slots=1)
    assign(peer, "first")
    end(peer, "first", elapsed_us=100_000)
    for number in range(200):
        assign(peer, str(number))
        made.run(5 * MILLISECOND_NS)
    assert 2 <= len(told(peer)) <= 5, "in one second"
    for number in range(200):
        end(peer, str(number), elapsed_us=100_000)
    made.run(SECOND_NS)
    assert told(peer)[-1] == 0


def test_a_small_change_is_not_told() -> None:
    made, peer = worker(slots=1)
    assign(peer, *[str(number) for number in range(100)])
    made.run(SECOND_NS)
    before = told(peer)
    assign(peer, "one more")
    made.run(SECOND_NS)
    assert told(peer) == before


def test_a_load_has_an_end() -> None:
    _, peer = worker(slots=1)
    assign(peer, "x")
    end(peer, "x", elapsed_us=2**40)
    assign(peer, *[str(number) for number in range(100)])
    peer.town.run(SECOND_NS)
    assert told(peer)[-1] == LOAD_MOST_MS
