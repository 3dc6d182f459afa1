"""Slots that are held: leases, releases, forfeits, and peers that go and come back."""

from protocols.auction.commands import (
    CandidateDown,
    CandidateUp,
    ObserveCompletion,
    ReleaseSlots,
    SetCapacity,
)
from protocols.auction.events import SlotsLost
from protocols.auction.messages import (
    Accept,
    Award,
    Commit,
    Forfeit,
    Invite,
    Release,
    Renew,
    Reveal,
)
from protocols.auction.standing import RATIOS_LIMIT
from tests.protocols.auction.mesh import SKILL, Mesh


def lost(mesh: Mesh, name: str) -> list[tuple[int, str]]:
    return [(e.slots, e.reason) for e in mesh[name].events if isinstance(e, SlotsLost)]


def held_by(slots: int) -> Mesh:
    """Two peers; a holds so many slots of b, which has four."""
    mesh = Mesh("a", "b")
    mesh.host(4, "b")
    mesh.seek("a", slots)
    mesh.settle()
    assert mesh["a"].slots == slots
    return mesh


def the_lot(mesh: Mesh) -> str:
    return next(m.lot for _, _, m in mesh.sent if isinstance(m, Invite))


def test_held_slots_are_renewed_each_third_of_a_lease() -> None:
    mesh = held_by(2)
    mesh.advance(30_500)
    assert mesh.kinds().count("Renew") == 30
    assert mesh["b"].auction.granted(*SKILL) == 2
    assert lost(mesh, "a") == []


def test_a_grant_that_is_not_renewed_ends_with_its_lease() -> None:
    mesh = held_by(2)
    mesh.drop = lambda source, to, message: isinstance(message, Renew)
    mesh.advance(3_000)
    assert the_lot(mesh) not in mesh["b"].granted
    assert lost(mesh, "a") == [(2, "forfeited: the lease ran out")]
    assert mesh["a"].slots == 2, "they were sought again"


def test_released_slots_are_free_at_once() -> None:
    mesh = held_by(3)
    mesh.seek("a", 1)
    mesh.submit("a", ReleaseSlots(the_lot(mesh), mesh["b"].id, 2))
    mesh.settle()
    assert list(mesh["b"].granted.values()) == [1]
    mesh.advance(5_000)
    assert mesh["b"].auction.granted(*SKILL) == 1
    mesh.seek("a", 0)
    mesh.submit("a", ReleaseSlots(the_lot(mesh), mesh["b"].id, 99))
    mesh.settle()
    assert mesh["b"].granted == {}
    assert mesh.next_deadline() is None


def test_a_release_that_is_lost_is_made_good_by_the_next_renewal() -> None:
    mesh = held_by(3)
    mesh.drop = lambda source, to, message: isinstance(message, Release)
    mesh.seek("a", 1)
    mesh.submit("a", ReleaseSlots(the_lot(mesh), mesh["b"].id, 2))
    mesh.settle()
    assert list(mesh["b"].granted.values()) == [3]
    mesh.advance(1_000)
    assert list(mesh["b"].granted.values()) == [1]


def test_a_release_that_comes_twice_counts_once() -> None:
    mesh = held_by(3)
    mesh.seek("a", 2)
    mesh.submit("a", ReleaseSlots(the_lot(mesh), mesh["b"].id, 1))
    entry = mesh.queue[0]
    mesh.settle()
    mesh.deliver(*entry)
    assert list(mesh["b"].granted.values()) == [2]


def test_releasing_what_is_not_held_does_nothing() -> None:
    mesh = held_by(1)
    mesh.submit("a", ReleaseSlots("no such lot", mesh["b"].id, 1))
    mesh.submit("a", ReleaseSlots(the_lot(mesh), mesh["a"].id, 1))
    mesh.submit("a", ReleaseSlots(the_lot(mesh), mesh["b"].id, -3))
    assert not mesh.queue


def test_a_bidder_that_goes_takes_its_slots_and_others_step_in() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "b", "c")
    mesh.seek("a", 4)
    mesh.settle()
    mesh.lose("b")
    assert lost(mesh, "a") == [(2, "dead")]
    mesh.settle()
    assert mesh["a"].slots == 4
    assert sum(mesh["c"].granted.values()) == 4


def test_an_issuer_that_goes_frees_the_slots_it_held() -> None:
    mesh = held_by(4)
    mesh.lose("a")
    assert mesh["b"].granted == {}
    assert mesh["b"].auction.deadline() is None or mesh["b"].auction.deadline() == 10**9


def test_an_issuer_that_goes_in_the_middle_of_a_lot_frees_what_was_reserved() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "c")
    mesh.seek("a", 4)
    mesh.step()
    mesh.seek("b", 4)
    mesh.queue.popleft()
    mesh.settle()
    assert mesh["b"].slots == 0
    mesh.lose("a")
    mesh.advance(5)
    assert mesh["b"].slots == 4


def test_a_bidder_under_a_new_boot_has_granted_nothing() -> None:
    mesh = held_by(3)
    mesh.restart("b", slots=4)
    assert lost(mesh, "a") == [(3, "it has restarted")]
    mesh.settle()
    assert mesh["a"].slots == 3
    assert sum(mesh["b"].granted.values()) == 3


def test_what_a_new_boot_granted_before_it_was_known_is_given_back() -> None:
    mesh = held_by(1)
    mesh["b"].start()
    mesh.submit("b", SetCapacity(*SKILL, 4))
    mesh.seek("a", 3)
    mesh.settle()
    assert sum(mesh["b"].granted.values()) == 2
    mesh.submit("a", CandidateUp(mesh["b"].id, 2, (SKILL,)))
    mesh.settle()
    assert mesh["a"].slots == 3
    assert sum(mesh["b"].granted.values()) == 3


def test_a_lot_of_a_new_boot_outlives_the_news_of_the_boot() -> None:
    mesh = held_by(1)
    mesh["a"].start()
    mesh.submit("a", CandidateUp(mesh["b"].id, 1, (SKILL,)))
    mesh.seek("a", 2)
    mesh.settle()
    assert sum(mesh["b"].granted.values()) == 3
    mesh.submit("b", CandidateUp(mesh["a"].id, 2, ()))
    assert sum(mesh["b"].granted.values()) == 2


def test_old_news_of_a_member_is_ignored() -> None:
    mesh = held_by(1)
    mesh.submit("a", CandidateUp(mesh["b"].id, 0, ()))
    assert mesh["a"].slots == 1
    mesh.seek("a", 2)
    mesh.settle()
    assert mesh["a"].slots == 2


def test_a_bidder_that_forgot_says_so_at_the_next_renewal() -> None:
    mesh = held_by(3)
    mesh["b"].start()
    mesh.advance(1_000)
    assert lost(mesh, "a") == [(3, "forfeited: the lot is not known here")]


def test_capacity_withdrawn_takes_slots_back_and_says_so() -> None:
    mesh = held_by(3)
    mesh.submit("b", SetCapacity(*SKILL, 1))
    mesh.settle()
    assert list(mesh["b"].granted.values()) == [1]
    assert lost(mesh, "a") == [(2, "forfeited: capacity withdrawn")]
    mesh.submit("b", SetCapacity(*SKILL, 0))
    mesh.settle()
    assert mesh["b"].granted == {}
    assert mesh["a"].slots == 0


def test_capacity_withdrawn_in_the_middle_of_a_lot_is_forfeited_to_the_next_bid() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "b", "c")
    mesh.seek("a", 4)
    while not any(isinstance(m, Award) for _, _, m in mesh.sent):
        mesh.step()
    mesh.submit("b", SetCapacity(*SKILL, 1))
    mesh.settle()
    assert sum(mesh["b"].granted.values()) == 1
    assert sum(mesh["c"].granted.values()) == 3
    assert mesh["a"].slots == 4
    assert mesh.kinds().count("Invite") == 2, "the same lot went on"
    story = mesh["a"].auction.lot_story(the_lot(mesh))
    assert story is not None
    assert {bid.bidder: bid.slots_won for bid in story.bids} == {mesh["b"].id: 1, mesh["c"].id: 3}


def test_forfeited_slots_wander_down_the_schedule_and_then_are_sought_again() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(2, "b", "c")
    mesh.seek("a", 2)
    while not any(isinstance(m, Award) for _, _, m in mesh.sent):
        mesh.step()
    mesh.submit("b", SetCapacity(*SKILL, 0))
    mesh.submit("c", SetCapacity(*SKILL, 1))
    mesh.settle()
    assert mesh["a"].slots == 1
    mesh.submit("c", SetCapacity(*SKILL, 2))
    mesh.advance(200)
    assert mesh["a"].slots == 2
    mesh.settle()


def test_an_award_that_is_lost_is_repeated() -> None:
    mesh = Mesh("a", "b")
    mesh.host(4, "b")
    mesh.drop = lambda source, to, message: isinstance(message, Award)
    mesh.seek("a", 2)
    mesh.settle()
    mesh.drop = lambda source, to, message: False
    mesh.advance(250)
    assert sum(mesh["b"].granted.values()) == 2
    assert mesh.kinds().count("Accept") == 1


def test_an_acceptance_that_is_lost_is_asked_for_again() -> None:
    mesh = Mesh("a", "b")
    mesh.host(4, "b")
    mesh.drop = lambda source, to, message: isinstance(message, Accept)
    mesh.seek("a", 2)
    mesh.settle()
    mesh.drop = lambda source, to, message: False
    mesh.advance(250)
    assert mesh.kinds().count("Accept") == 2
    mesh.advance(5_000)
    assert mesh["a"].slots == 2
    assert mesh.kinds().count("Award") == 2


def test_a_winner_that_never_answers_loses_the_slots_after_a_lease() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "b", "c")
    mesh.drop = lambda source, to, message: (
        "c" in (source, to) and isinstance(message, Award | Accept)
    )
    mesh.seek("a", 4)
    mesh.advance(2_900)
    assert lost(mesh, "a") == []
    mesh.advance(200)
    assert lost(mesh, "a") == [(2, "no answer to the award")]
    mesh.advance(100)
    assert mesh["a"].slots == 4


def test_an_acceptance_that_comes_too_late_is_answered_by_a_release() -> None:
    mesh = held_by(2)
    lot = the_lot(mesh)
    mesh.submit("a", CandidateDown(mesh["b"].id, "unreachable"))
    mesh.deliver("b", "a", Accept(lot))
    mesh.settle()
    assert mesh["b"].granted == {}


def test_a_reservation_without_award_ends_by_itself() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "c")
    mesh.drop = lambda source, to, message: source == "c" and isinstance(message, Commit)
    mesh.seek("a", 4)
    mesh.settle()
    mesh.dead.add("a")
    mesh.drop = lambda source, to, message: False
    mesh.seek("b", 4)
    mesh.advance(349)
    assert mesh["b"].slots == 0
    mesh.advance(2)
    assert mesh["b"].slots == 4
    assert mesh["c"].auction.issuer_standing(mesh["a"].id).lapses == 1


def test_a_renewal_for_more_than_was_granted_is_corrected() -> None:
    mesh = held_by(2)
    mesh.deliver("a", "b", Renew(the_lot(mesh), 4))
    forfeits = [m for _, _, m in mesh.sent if isinstance(m, Forfeit)]
    assert [(f.slots, f.kept) for f in forfeits] == [(2, 2)]
    mesh.settle()
    assert mesh["a"].slots == 2


def test_a_reveal_that_an_award_leaves_out_is_counted_and_not_blamed() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "b", "c")
    mesh.drop = lambda source, to, message: (
        (source, to) == ("c", "a") and isinstance(message, Reveal)
    )
    mesh.seek("a", 4)
    mesh.advance(60)
    assert mesh["a"].slots == 4
    assert mesh["b"].auction.issuer_standing(mesh["a"].id).omissions == 1
    assert mesh["b"].blames == []


def test_tasks_that_take_longer_than_claimed_make_the_next_bid_dearer() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(2, "b", "c")
    for _ in range(40):
        mesh.submit("a", ObserveCompletion(mesh["b"].id, 1_000, 3_000, *SKILL))
    mesh.submit("a", ObserveCompletion(mesh["b"].id, 0, 3_000, *SKILL))
    assert 2_900_000 < mesh["a"].auction.standing(mesh["b"].id).multiplier(SKILL) <= 3_000_000
    mesh.seek("a", 2)
    mesh.settle()
    assert sum(mesh["c"].granted.values()) == 2


def test_what_a_peer_claims_of_one_skill_says_nothing_of_its_others() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "b")
    for _ in range(40):
        mesh.submit("a", ObserveCompletion(mesh["b"].id, 1_000, 3_000, "other", "1"))
    standing = mesh["a"].auction.standing(mesh["b"].id)
    assert standing.multiplier(("other", "1")) > 2_900_000
    assert standing.multiplier(SKILL) == 1_000_000


def test_the_skills_whose_ratio_is_remembered_are_bounded() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "b")
    for number in range(RATIOS_LIMIT + 5):
        mesh.submit("a", ObserveCompletion(mesh["b"].id, 1_000, 3_000, str(number), "1"))
    assert len(mesh["a"].auction.standing(mesh["b"].id).ratios) == RATIOS_LIMIT
