"""Circuit breakers: a peer at which a skill keeps failing is left alone for a while."""

import pytest

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import events
from protocols.tasks.breakers import (
    BREAKERS_LIMIT,
    CLOSED,
    FAULTS_LEAST,
    GOOD,
    HALF_OPEN,
    OPEN,
    PAUSE_FIRST_NS,
    PAUSE_MOST_NS,
    WINDOW_NS,
    Breaker,
    Breakers,
)
from protocols.tasks.views import views_of
from tests.protocols.tasks.support import Peer, Town, echo, failing, peer_id, skill, spec

B, C = ("echo", "1", b"b"), ("echo", "1", b"c")


def fail(
    breakers: Breakers, breaker: Breaker, count: int, has_ended: bool = False, now: int = 0
) -> None:
    """So many attempts fail that have just begun."""
    for _ in range(count):
        breakers.failed(breaker, has_ended, now, now)


def test_failures_at_one_peer_alone_open_its_breaker() -> None:
    breakers = Breakers()
    breakers.succeeded(breakers.of(C), 3, 0)
    fail(breakers, breakers.of(B), FAULTS_LEAST - 1)
    assert breakers.of(B).state == CLOSED
    fail(breakers, breakers.of(B), 1)
    assert breakers.of(B).state == OPEN
    assert breakers.of(C).state == CLOSED
    breakers.check()


def test_failures_at_all_peers_alike_are_the_tasks_own() -> None:
    breakers = Breakers()
    for _ in range(50):
        for key in (B, C):
            fail(breakers, breakers.of(key), 1)
    assert {breaker.state for breaker in breakers} == {CLOSED}


def test_failures_with_nobody_to_compare_open_nothing() -> None:
    breakers = Breakers()
    fail(breakers, breakers.of(B), 50)
    assert breakers.of(B).state == CLOSED


def test_workers_that_end_open_the_breaker_of_an_only_peer() -> None:
    breakers = Breakers()
    fail(breakers, breakers.of(B), FAULTS_LEAST, has_ended=True)
    assert breakers.of(B).state == OPEN


def test_a_peer_that_mostly_succeeds_stays_within_its_budget() -> None:
    breakers = Breakers()
    breakers.succeeded(breakers.of(C), 100, 0)
    breakers.succeeded(breakers.of(B), 100, 0)
    fail(breakers, breakers.of(B), 50)
    assert breakers.of(B).state == CLOSED


def test_faults_of_long_ago_are_forgotten() -> None:
    breakers = Breakers()
    breakers.succeeded(breakers.of(C), 9, WINDOW_NS)
    fail(breakers, breakers.of(B), FAULTS_LEAST - 1, has_ended=True)
    fail(breakers, breakers.of(B), 1, has_ended=True, now=WINDOW_NS)
    assert breakers.of(B).state == CLOSED
    assert breakers.of(B).sums(WINDOW_NS) == (0, 0, 1)


def opened() -> tuple[Breakers, Breaker]:
    breakers = Breakers()
    breaker = breakers.of(B)
    fail(breakers, breaker, FAULTS_LEAST, has_ended=True)
    return breakers, breaker


def test_after_its_pause_a_breaker_is_half_open_and_a_success_closes_it() -> None:
    breakers, breaker = opened()
    assert breakers.deadline() == PAUSE_FIRST_NS
    breakers.wake(PAUSE_FIRST_NS)
    assert (breaker.state, breaker.is_barred) == (HALF_OPEN, False)
    breakers.succeeded(breaker, 1, PAUSE_FIRST_NS)
    assert breaker.state == CLOSED
    assert breaker.sums(PAUSE_FIRST_NS) == (0, 0, 0)


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_limit() -> None:
    breakers, breaker = opened()
    now, pauses = 0, []
    for _ in range(7):
        pauses.append(breaker.until - now)
        now = breaker.until
        breakers.wake(now)
        fail(breakers, breaker, 1, has_ended=True, now=now)
        breakers.check()
    assert pauses[:3] == [PAUSE_FIRST_NS, 2 * PAUSE_FIRST_NS, 4 * PAUSE_FIRST_NS]
    assert pauses[-1] == PAUSE_MOST_NS


def half_open() -> tuple[Breakers, Breaker]:
    """B's, whose probe has begun."""
    breakers, breaker = opened()
    breakers.wake(PAUSE_FIRST_NS)
    breakers.probing(breaker, PAUSE_FIRST_NS)
    return breakers, breaker


def test_a_probe_whose_handler_fails_opens_it_where_others_do_better() -> None:
    breakers, breaker = half_open()
    breakers.succeeded(breakers.of(C), 3, PAUSE_FIRST_NS)
    fail(breakers, breaker, 1, now=PAUSE_FIRST_NS)
    assert (breaker.state, breaker.pause) == (OPEN, 2 * PAUSE_FIRST_NS)


@pytest.mark.parametrize("failures_elsewhere", [0, 3])
def test_a_probe_that_meets_a_bad_task_says_nothing_and_another_is_let_through(
    failures_elsewhere: int,
) -> None:
    breakers, breaker = half_open()
    fail(breakers, breakers.of(C), failures_elsewhere, now=PAUSE_FIRST_NS)
    fail(breakers, breaker, 1, now=PAUSE_FIRST_NS)
    assert (breaker.state, breaker.is_barred, breaker.pause) == (HALF_OPEN, False, PAUSE_FIRST_NS)
    assert breaker in breakers.changed
    breakers.check()


def test_an_attempt_of_before_that_fails_is_no_probe() -> None:
    breakers, breaker = half_open()
    breakers.failed(breaker, True, 0, PAUSE_FIRST_NS)
    assert (breaker.state, breaker.is_barred) == (HALF_OPEN, True)
    fail(breakers, breaker, 1, has_ended=True, now=PAUSE_FIRST_NS)
    assert (breaker.state, breaker.pause) == (OPEN, 2 * PAUSE_FIRST_NS)


def test_a_success_of_before_does_not_close_what_is_open() -> None:
    breakers, breaker = opened()
    breakers.succeeded(breaker, 3, 1)
    assert breaker.state == OPEN


def test_a_crash_that_was_its_tasks_fault_is_taken_back() -> None:
    breakers = Breakers()
    breaker = breakers.of(B)
    fail(breakers, breaker, FAULTS_LEAST - 1, has_ended=True)
    breakers.excused(breaker, 0)
    fail(breakers, breaker, 1, has_ended=True)
    assert breaker.state == CLOSED


def test_breakers_are_bounded_and_open_ones_are_kept() -> None:
    breakers, breaker = opened()
    for number in range(BREAKERS_LIMIT + 5):
        breakers.of(("echo", "1", str(number).encode())).count(GOOD, 1, 0)
    assert len(list(breakers)) == BREAKERS_LIMIT
    assert breakers.of(B) is breaker
    breakers.check()


def test_all_breakers_are_shown_at_the_price_of_looking_at_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[Breaker] = []
    sums = Breaker.sums

    def counted(breaker: Breaker, now: int) -> tuple[int, int, int]:
        looked.append(breaker)
        return sums(breaker, now)

    monkeypatch.setattr(Breaker, "sums", counted)
    breakers = Breakers()
    for number in range(50):
        breakers.succeeded(breakers.of(("echo", "1", bytes([number]))), 3, 0)
        fail(breakers, breakers.of(("other", "1", bytes([number]))), 1)
    looked.clear()
    views = views_of(breakers, "", 0)
    assert (len(views), len(looked)) == (100, 100)
    assert all((view.faults, view.outcomes) in {(0, 3), (0, 1)} for view in views)
    assert len(views_of(breakers, "echo", 0)) == 50


# In a mesh.


def town(**slots: int) -> Town:
    made = Town("a", *slots)
    made.start("a")
    for name, count in slots.items():
        made.start(name, (skill(retries=5), count))
    made.run(10 * MILLISECOND_NS)
    return made


def changes(made: Town) -> list[tuple[str, bytes]]:
    return [(event.state, event.peer) for event in made["a"].seen(events.BreakerChanged)]


def spoil(made: Town) -> Peer:
    """Tasks that fail at b and are done at c, until b's breaker is open."""
    made["b"].run = failing(duration_ns=5 * MILLISECOND_NS)
    made["c"].run = echo(5 * MILLISECOND_NS)
    made["a"].submit(*[spec() for _ in range(30)])
    made.run_until(lambda: (OPEN, peer_id("b")) in changes(made), 10 * SECOND_NS)
    return made["b"]


def test_an_open_breaker_gives_the_peers_slots_back_and_bars_it() -> None:
    made = town(b=2, c=2)
    b = spoil(made)
    barred = made["a"].seen(events.PeerBarred)
    assert [(event.peer, event.is_barred) for event in barred] == [(b.id, True)]
    made.run(20 * MILLISECOND_NS)
    assert not [lot for lot in made.lots.values() if lot[0] == b.id]
    (view,) = [each for each in made["a"].tasks.breakers("echo") if each.peer == b.id]
    assert (view.state, view.budget_left) == (OPEN, 0)
    assert view.retry_ns > 0


def test_a_half_open_peer_runs_one_task_at_a_time() -> None:
    made = town(b=4, c=4)
    b = spoil(made)
    b.run = echo(500 * MILLISECOND_NS)
    made.settle()
    made.run(2 * SECOND_NS)
    assert changes(made)[-1] == (HALF_OPEN, b.id)
    begun = len(b.started)
    b.most_running = 0
    made["a"].submit(*[spec() for _ in range(40)])
    made.run_until(lambda: len(b.started) > begun)
    made.run(400 * MILLISECOND_NS)
    assert b.most_running == 1
    made.settle()
    assert changes(made)[-1] == (CLOSED, b.id)
