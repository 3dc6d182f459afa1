"""Delta debugging: what is left fails, nothing of it can go, and it is the same each time."""

from hypothesis import given
from hypothesis import strategies as st

from simulations.outcome import Failure, Outcome, invariant_of
from simulations.plan import Plan
from simulations.scenario import Scenario
from simulations.schedule import Crash, Cut, Fault, Pause
from simulations.shrink import Shrinker, ddmin
from simulations.world import Violation

needed = st.lists(st.frozensets(st.integers(0, 30), min_size=1, max_size=4), min_size=1, max_size=4)


@given(needed)
def test_what_is_left_fails_and_nothing_of_it_can_go(causes: list[frozenset[int]]) -> None:
    def fails(items: tuple[int, ...]) -> bool:
        return any(cause <= set(items) for cause in causes)

    left = ddmin(range(31), fails)
    assert fails(left)
    assert list(left) == sorted(left)
    for item in left:
        assert not fails(tuple(other for other in left if other != item))


def test_what_fails_by_itself_shrinks_to_nothing() -> None:
    assert ddmin(range(9), lambda items: True) == ()


def test_of_many_few_are_found_in_few_tries() -> None:
    tries = 0

    def fails(items: tuple[int, ...]) -> bool:
        nonlocal tries
        tries += 1
        return {17, 200} <= set(items)

    assert ddmin(range(256), fails) == (17, 200)
    assert tries < 100


def a_run(fails: bool, invariant: str) -> Outcome:
    failure = Failure(invariant, invariant, "", 1.0) if fails else None
    return Outcome("x", 1, "", 1.0, 1, 0.0, {}, None, failure)


CRASH, PAUSE = Crash(at_ms=2_500, peer="peer-3"), Pause(at_ms=100)
FAULTS: tuple[Fault, ...] = (PAUSE, Cut(at_ms=900), CRASH, Cut(at_ms=5_000), Pause(at_ms=9_000))
PLAN = Plan(Scenario(name="x", peers=7, duration_s=16), 1, FAULTS)


def test_a_run_becomes_short_and_its_mesh_small_as_far_as_the_violation_stays() -> None:
    shrunk = Shrinker(PLAN, run=lambda plan: a_run(CRASH in plan.faults, "one-winner")).shrink()
    assert shrunk.plan.faults == (CRASH,)
    assert shrunk.plan.scenario.duration_s == 4, "at two seconds the crash would never strike"
    assert shrunk.plan.scenario.peers == 3, "the peer that crashes has to be there"


def test_another_violation_is_not_the_same() -> None:
    def run(plan: Plan) -> Outcome:
        return a_run(True, "one-winner" if PAUSE in plan.faults else "one-end")

    assert Shrinker(PLAN, run=run).shrink().plan.faults == (PAUSE,)


def test_an_error_names_its_invariant_where_it_has_one() -> None:
    assert invariant_of(Violation("one-winner: peer-1 and peer-2")) == "one-winner"
    assert invariant_of(AssertionError("slots-add-up")) == "slots-add-up"
    assert invariant_of(AssertionError("peer-less talk")) == "peer-less"
    assert invariant_of(AssertionError("")) == "AssertionError"
    assert invariant_of(KeyError("one-winner")) == "KeyError"
