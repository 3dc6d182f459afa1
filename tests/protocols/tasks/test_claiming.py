"""Strategy `board`: work is offered by a mark, and claimed by marks."""

import random
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.breakers import FAULTS_LEAST
from protocols.tasks.claims import Claim, winners
from protocols.tasks.messages import Assign
from protocols.tasks.parameters import OFFER_UNITS_LIMIT, OFFERS_LIMIT, TaskParameters
from tests.protocols.tasks.support import Peer, Town, echo, failing, hanging, peer_id, skill, spec

BOARD = spec(strategy="board")
LIMITS = TaskParameters()


class Marked(Town):
    """A town with a blackboard: marks reach every peer a little later, or are lost."""

    fades: Callable[[Peer, Peer, msgspec.Struct], bool] = staticmethod(lambda a, b, mark: False)

    def _route(self, peer: Peer, event: msgspec.Struct) -> None:
        super()._route(peer, event)
        mark: msgspec.Struct | None = None
        match event:
            case events.OfferPosted():
                mark = commands.OfferSeen(**msgspec.structs.asdict(event))
            case events.PlacesClaimed():
                mark = commands.ClaimSeen(**msgspec.structs.asdict(event))
        if mark is not None:
            for other in self.up():
                if not self.fades(peer, other, mark):
                    delay_ns = 0 if other is peer else round(self.delay_ns * self.rng.random())
                    self.after(delay_ns, self._telling(other, mark))


def town(*hosts: str, slots: int = 1, **more: object) -> Marked:
    made = Marked("a", *hosts, **more)  # type: ignore[arg-type]  # passed on as they are
    made.start("a")
    for name in hosts:
        made.start(name, (skill(), slots))
    made.run(10 * MILLISECOND_NS)
    return made


def posts(made: Town) -> list[events.OfferPosted]:
    return made["a"].seen(events.OfferPosted)


def decisions(made: Town) -> list[events.ClaimsDecided]:
    return made["a"].seen(events.ClaimsDecided)


def producers(made: Town) -> Counter[bytes]:
    return Counter(one.producer for one in made["a"].settled.values() if one.state == "done")


def claim(made: Town, who: str, places: int = 1, load_ms: int = 0) -> None:
    """A mark at the custodian, whatever its claimer has."""
    post = posts(made)[-1]
    seen = commands.ClaimSeen(peer_id("a"), post.tag, peer_id(who), post.number, places, load_ms)
    made["a"].command(seen)


def test_tasks_go_to_those_that_claim_them_without_an_auction() -> None:
    made = town("b", "c", "d")
    made["a"].submit(*[BOARD] * 60)
    made.settle()
    counts = producers(made)
    assert sum(counts.values()) == 60
    assert min(counts[peer_id(name)] for name in "bcd") >= 15
    assert not made["a"].seen(events.SlotsWanted)
    assert all(made[name].most_running == 1 for name in "bcd"), "only who is free claims"


def test_who_hosts_the_skill_itself_claims_as_the_others_do() -> None:
    made = Marked("a")
    made.start("a", (skill(), 2))
    made["a"].submit(*[BOARD] * 5)
    made.settle()
    assert producers(made) == {peer_id("a"): 5}


def test_one_claim_is_enough_where_the_others_see_it_in_time() -> None:
    made = town("b", "c", "d", "e", delay_ns=100_000)
    for _ in range(20):
        made["a"].submit(BOARD)
        made.settle()
    claims = sum(len(one.claims) for one in decisions(made))
    assert claims < 40, "of four free peers one or two claim"


def test_of_those_that_claim_at_once_the_least_loaded_wins() -> None:
    made = town("b", "c")
    for name in "bc":
        made[name].command(commands.Drain())
    made["a"].submit(BOARD)
    claim(made, "b", load_ms=70)
    claim(made, "c", load_ms=20)
    made.run(LIMITS.claim_window_ns)
    (decided,) = decisions(made)
    assert sorted(decided.claims) == [(peer_id("b"), 1, 70, 0), (peer_id("c"), 1, 20, 1)]
    assert made["a"].tasks.decision(decided.lot) == decided


def test_when_all_have_claimed_nobody_is_waited_for() -> None:
    made = town("b", "c")
    made["a"].submit(BOARD)
    claim(made, "b")
    assert not decisions(made)
    claim(made, "c")
    assert decisions(made)


def test_a_claim_of_several_places_takes_so_many_tasks_and_no_more() -> None:
    made = town("b")
    made["b"].command(commands.Drain())
    ids = made["a"].submit(*[BOARD] * 5)
    claim(made, "b", places=3)
    sent = [m for _, to, m in made.sent if isinstance(m, Assign) and to == "b"]
    assert sum(len(message.jobs) for message in sent) == 3
    assert [made["a"].view(task).state for task in ids].count("running") == 3


def test_a_claim_that_is_seen_twice_counts_once() -> None:
    made = town("b", slots=4)
    made["b"].run = hanging
    made["b"].command(commands.Drain())
    made["a"].submit(*[BOARD] * 5)
    for _ in range(3):
        claim(made, "b", places=1)
    assert sum(given for one in decisions(made) for *_, given in one.claims) == 1


@pytest.mark.parametrize(
    ("who", "number", "places"),
    [("b", 1, 1), ("b", 0, 0), ("b", 0, 2**50), ("z", 0, 1), ("a", 0, 1)],
    ids=["of another number", "of nothing", "of too much", "of a stranger", "without the skill"],
)
def test_a_claim_that_is_none_is_passed_over(who: str, number: int, places: int) -> None:
    made = town("b")
    made["b"].command(commands.Drain())
    made["a"].submit(BOARD)
    post = posts(made)[-1]
    seen = commands.ClaimSeen(peer_id("a"), post.tag, peer_id(who), post.number + number, places, 0)
    made["a"].command(seen)
    made.run(10 * MILLISECOND_NS)
    assert not decisions(made)


def test_work_of_a_claimer_that_dies_is_offered_again() -> None:
    made = town("b", "c")
    for name in "bc":
        made[name].run = hanging
    (task,) = made["a"].submit(BOARD)
    made.run_until(lambda: any(made[name].running for name in "bc"))
    first = next(name for name in "bc" if made[name].running)
    for name in "bc":
        made[name].run = echo()
    made.crash(first)
    made.settle()
    assert made["a"].settled[task].state == "done"
    assert made["a"].settled[task].producer != peer_id(first)


def test_claims_that_nobody_saw_are_made_again_under_a_new_number() -> None:
    made = town("b", "c")
    made.fades = lambda a, b, mark: isinstance(mark, commands.ClaimSeen) and b is made["a"]
    (task,) = made["a"].submit(BOARD)
    made.run(LIMITS.repost_ns * 6)
    numbers = {post.number for post in posts(made)}
    assert 2 <= len(numbers) <= 4, "after a while, and then after twice as long"
    made.fades = lambda a, b, mark: False
    made.settle()
    assert made["a"].settled[task].state == "done"


def test_while_nobody_is_free_the_offer_is_repeated_more_and_more_rarely() -> None:
    made = town("b")
    made["b"].run = hanging
    made["a"].submit(*[BOARD] * 3)
    made.run(60 * SECOND_NS)
    assert len(posts(made)) < 30


def test_offers_and_claims_that_are_lost_lose_no_task() -> None:
    for seed in range(5):
        made = town("b", "c", "d", slots=2, seed=seed)
        lost = random.Random(seed)
        made.fades = lambda a, b, mark: lost.random() < 0.3  # noqa: B023  # used within the turn
        ids = made["a"].submit(*[BOARD] * 40)
        made.settle()
        assert {made["a"].settled[task].state for task in ids} == {"done"}
        assert all(made["a"].view(task).attempts == 1 for task in ids)


def test_a_custodian_that_starts_again_offers_what_it_had() -> None:
    made = town("b", "c")
    for name in "bc":
        made[name].run = echo(100 * MILLISECOND_NS)
    ids = made["a"].submit(*[BOARD] * 6)
    made.run(20 * MILLISECOND_NS)
    made.crash("a")
    made.start("a")
    made.settle()
    assert {made["a"].settled[task].state for task in ids} == {"done"}


def test_what_was_cancelled_is_offered_no_more() -> None:
    made = town("b")
    made["b"].run = hanging
    (_, waits) = made["a"].submit(BOARD, BOARD)
    made.run(50 * MILLISECOND_NS)
    made["a"].command(commands.CancelTasks(1, waits, "enough"))
    claimed = sum(event.places for event in made["b"].seen(events.PlacesClaimed)[-1:])
    assert posts(made)[-1].units == claimed
    before = len(posts(made))
    made.run(20 * SECOND_NS)
    assert len(posts(made)) == before


def test_a_peer_at_which_all_that_waits_has_failed_need_not_claim() -> None:
    made = town("b", "c")
    made["b"].run = failing()
    made["c"].run = hanging
    (task,) = made["a"].submit(BOARD)
    made["a"].submit(BOARD)
    made.run(SECOND_NS // 2)
    view = made["a"].view(task)
    assert view.state in ("accepted", "waiting", "running")
    assert any(peer_id("b") in post.avoid for post in posts(made))


def test_a_peer_with_a_broken_backend_is_given_one_task_at_a_time_to_prove_itself() -> None:
    made = town("b", "c", "d", slots=4)
    made["b"].run = failing("crashed")
    ids = made["a"].submit(*[BOARD] * 60)
    made.settle()
    ended = Counter(made["a"].settled[task].state for task in ids)
    tried = [each for task in ids for each in made["a"].view(task).history]
    assert sum(each.peer == peer_id("b") for each in tried) < 20 + FAULTS_LEAST
    assert ended["done"] > 50


def test_an_offer_asks_for_no_more_than_its_limit_at_once() -> None:
    made = town("b", slots=2)
    made["b"].run = hanging
    made["a"].submit(*[BOARD] * (OFFER_UNITS_LIMIT + 40))
    made.run(100 * MILLISECOND_NS)
    assert posts(made)[0].units == OFFER_UNITS_LIMIT


def test_a_peer_looks_at_so_many_offers_and_no_more() -> None:
    made = town("b")
    for number in range(OFFERS_LIMIT + 10):
        seen = commands.OfferSeen(peer_id("a"), f"tag-{number}", "echo", "1", (), 1, 0)
        made["b"].command(seen)
    made["b"].tasks.check()
    made["a"].submit(BOARD)
    made.settle()
    assert producers(made) == {peer_id("b"): 1}


def test_a_liar_that_offers_what_it_never_assigns_holds_no_place_for_long() -> None:
    made = town("b", "c")
    made.start("c", (skill("other"), 1))
    seen = commands.OfferSeen(peer_id("c"), "bait", "echo", "1", (), 7, 1 << 40)
    made["b"].command(seen)
    made.run(LIMITS.claim_spread_ns)
    assert made["b"].seen(events.PlacesClaimed)
    began = made.now
    made["a"].submit(BOARD)
    made.settle()
    assert made.now - began < 3 * LIMITS.claim_patience_ns + 2 * LIMITS.repost_ns


claims_drawn = st.lists(
    st.builds(
        Claim,
        st.integers(0, 6).map(lambda number: peer_id(f"p{number}")),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
    unique_by=lambda claim: claim.peer,
    max_size=7,
)


@given(claims_drawn, st.integers(0, 12), st.randoms(use_true_random=False))
def test_whoever_sees_the_same_claims_names_the_same_winners(
    drawn: list[Claim], units: int, rng: random.Random
) -> None:
    given_places = winners("lot", drawn, units)
    shuffled = list(drawn)
    rng.shuffle(shuffled)
    assert winners("lot", shuffled, units) == given_places
    claimed = {each.peer: each.places for each in drawn}
    assert all(0 < count <= claimed[peer] for peer, count in given_places.items())
    assert sum(given_places.values()) == min(units, sum(claimed.values()))
    by_load = {each.peer: each.load_ms for each in drawn}
    losers = [each for each in drawn if each.places and each.peer not in given_places]
    for loser in losers:
        assert all(by_load[peer] <= loser.load_ms for peer in given_places)
