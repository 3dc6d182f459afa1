"""A lot from its invitation to its award, and what happens when it goes otherwise."""

import msgspec
import pytest

from protocols.auction.commands import (
    CandidateLoad,
    CandidateUp,
    ObserveWork,
    ReleaseSlots,
    Seek,
    SetCapacity,
    SetPrice,
)
from protocols.auction.events import LotCleared, LotFailed, SlotsWon
from protocols.auction.messages import (
    Accept,
    Award,
    Book,
    Commit,
    Decline,
    Forfeit,
    Invite,
    Release,
    Reveal,
    Vacancy,
)
from protocols.auction.parameters import AuctionParameters
from protocols.errors import ConfigurationError, Refused
from protocols.machine import MILLISECOND_NS
from tests.protocols.auction.mesh import SKILL, Mesh, peer_id


def stories(mesh: Mesh, name: str) -> list[LotCleared]:
    return [e for e in mesh[name].events if isinstance(e, LotCleared)]


def failures(mesh: Mesh, name: str) -> list[LotFailed]:
    return [e for e in mesh[name].events if isinstance(e, LotFailed)]


def test_a_lone_peer_plays_every_part_within_one_step() -> None:
    mesh = Mesh("a")
    mesh.host(4, "a")
    mesh.seek("a", 3)
    mesh.settle()
    assert mesh.kinds() == ["Invite", "Commit", "Book", "Reveal", "Award", "Accept"]
    assert mesh["a"].slots == 3
    assert sum(mesh["a"].granted.values()) == 3


def test_equal_bidders_share_a_lot_evenly() -> None:
    mesh = Mesh("a", "b", "c", "d")
    mesh.host(4, "a", "b", "c", "d")
    mesh.seek("a", 8, estimate_us=100_000)
    mesh.settle()
    assert [sum(peer.granted.values()) for peer in mesh.peers.values()] == [2, 2, 2, 2]
    assert mesh.now_ns == 0, "nobody waited for a window"


def test_short_tasks_stay_with_their_issuer_as_long_as_the_way_costs_more() -> None:
    mesh = Mesh("a", "b", "c", "d")
    mesh.host(4, "a", "b", "c", "d")
    mesh.seek("a", 1, estimate_us=5)
    mesh.settle()
    assert [sum(peer.granted.values()) for peer in mesh.peers.values()] == [1, 0, 0, 0]


def test_an_award_leaves_after_its_record_and_before_slots_are_announced() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "b")
    mesh.seek("a", 1)
    while not mesh["a"].records:
        assert mesh.step()
    assert [type(m).__name__ for _, _, m in mesh.queue] == ["Award"]
    assert [type(e).__name__ for e in mesh["a"].events] == ["SlotsWon", "LotCleared"]


def test_quicker_bidders_win() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "b", "c")
    mesh.submit("b", ObserveWork(*SKILL, 0, 9_000))
    mesh.submit("c", ObserveWork(*SKILL, 0, 1_000))
    mesh.seek("a", 5)
    mesh.settle()
    assert sum(mesh["c"].granted.values()) == 4
    assert sum(mesh["b"].granted.values()) == 1
    won = [e for e in mesh["a"].events if isinstance(e, SlotsWon)]
    assert {e.bidder: e.completion_us for e in won} == {
        mesh["b"].id: 9_000,
        mesh["c"].id: 1_000,
    }


def test_a_price_can_outweigh_speed() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(1, "b", "c")
    mesh.submit("b", ObserveWork(*SKILL, 0, 9_000))
    mesh.submit("c", ObserveWork(*SKILL, 0, 1_000))
    mesh.submit("c", SetPrice(*SKILL, cost=500_000))
    mesh.seek("a", 1)
    mesh.settle()
    assert sum(mesh["b"].granted.values()) == 1


def test_demand_is_absolute_and_only_the_difference_is_sought() -> None:
    mesh = Mesh("a", "b")
    mesh.host(8, "b")
    for units in (3, 3, 5):
        mesh.seek("a", units)
        mesh.settle()
    assert [m.units for _, _, m in mesh.sent if isinstance(m, Invite)] == [3, 2]
    assert mesh["a"].slots == 5


def test_a_demand_has_one_open_lot_at_a_time() -> None:
    mesh = Mesh("a", "b")
    mesh.host(8, "b")
    mesh.seek("a", 3)
    mesh.seek("a", 6)
    assert mesh.kinds() == ["Invite"]
    mesh.settle()
    assert mesh["a"].slots == 6


def test_a_lot_has_at_most_the_units_of_the_parameters() -> None:
    mesh = Mesh("a", "b", parameters=AuctionParameters(units_per_lot=4))
    mesh.host(10, "b")
    mesh.seek("a", 10)
    mesh.settle()
    assert [m.units for _, _, m in mesh.sent if isinstance(m, Invite)] == [4, 4, 2]
    assert mesh["a"].slots == 10


def test_a_demand_withdrawn_before_the_book_costs_nobody_anything() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "b")
    mesh.seek("a", 2)
    mesh.seek("a", 0)
    mesh.settle()
    assert mesh.kinds() == ["Invite", "Commit", "Reveal", "Release"]
    assert mesh["a"].slots == 0
    mesh.advance(100)
    assert mesh["a"].auction.deadline() is None
    assert mesh["b"].auction.deadline() is None


def test_a_demand_withdrawn_before_clearing_costs_nobody_anything() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "b")
    mesh.seek("a", 2)
    while not any(isinstance(m, Reveal) for _, _, m in mesh.sent):
        mesh.step()
    mesh.seek("a", 0)
    mesh.settle()
    assert "Award" not in mesh.kinds()
    assert mesh["a"].auction.deadline() is None
    assert mesh["b"].auction.deadline() is None


def test_a_silent_candidate_costs_one_window_and_is_passed_over_next_time() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "b", "c")
    mesh.dead.add("c")
    mesh.seek("a", 2)
    mesh.advance(49)
    assert mesh["a"].slots == 0
    mesh.advance(2)
    assert mesh["a"].slots == 2
    mesh.seek("a", 4)
    mesh.settle()
    assert mesh["a"].slots == 4
    assert [bid.outcome for bid in stories(mesh, "a")[0].bids if bid.bidder == mesh["c"].id] == [
        "silent"
    ]


def test_no_reveal_no_bid_and_the_issuer_remembers() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "b", "c")
    mesh.drop = lambda source, _, message: source == "c" and isinstance(message, Reveal)
    mesh.seek("a", 4)
    mesh.advance(51)
    assert sum(mesh["b"].granted.values()) == 4
    assert mesh["c"].granted == {}
    assert mesh["a"].auction.standing(mesh["c"].id).lapses == 1
    assert mesh["a"].auction.standing(mesh["c"].id).multiplier(SKILL) == 1_250_000
    assert mesh["a"].blames == []
    summary = {bid.bidder: bid.outcome for bid in stories(mesh, "a")[0].bids}
    assert summary == {mesh["b"].id: "won", mesh["c"].id: "unrevealed"}


def test_a_commit_after_the_window_is_told_that_it_is_not_needed() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "b", "c")
    late: list[tuple[str, str, msgspec.Struct]] = []

    def hold(source: str, to: str, message: msgspec.Struct) -> bool:
        if source == "c" and isinstance(message, Commit) and not late:
            late.append((source, to, message))
            return True
        return False

    mesh.drop = hold
    mesh.seek("a", 2)
    mesh.advance(60)
    mesh.deliver(*late[0])
    mesh.settle()
    assert [(s, t) for s, t, m in mesh.sent if isinstance(m, Release)] == [("a", "c")]
    assert mesh["c"].auction.deadline() is None


def test_nobody_to_invite_is_said_and_tried_again_until_somebody_comes() -> None:
    mesh = Mesh("a", "b")
    mesh.seek("a", 1)
    assert failures(mesh, "a") == [LotFailed("", *SKILL, "no-candidate", 20 * MILLISECOND_NS)]
    mesh.advance(3_000)
    pauses = [failure.retry_ns // MILLISECOND_NS for failure in failures(mesh, "a")]
    assert pauses[:8] == [20, 40, 80, 160, 320, 640, 1000, 1000]
    mesh.host(1, "b")
    mesh.settle()
    assert mesh["a"].slots == 1
    mesh.advance(100)


def test_nobody_with_room_is_said_and_a_vacancy_ends_the_pause() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(2, "c")
    mesh.seek("a", 2)
    mesh.settle()
    mesh.seek("b", 2)
    mesh.settle()
    assert [failure.reason for failure in failures(mesh, "b")] == ["no-capacity"]
    assert [bid.outcome for bid in stories(mesh, "b")[0].bids] == ["declined: busy"]
    mesh.advance(2_000)
    tried = len(failures(mesh, "b"))
    assert tried <= 8
    mesh.seek("a", 0)
    release_all(mesh, "a")
    mesh.settle()
    assert mesh["b"].slots == 2
    assert mesh.kinds().count("Vacancy") == 1


def release_all(mesh: Mesh, name: str) -> None:
    for (lot, bidder), slots in list(mesh[name].held.items()):
        mesh.submit(name, ReleaseSlots(lot, bidder, slots))
        mesh[name].held[(lot, bidder)] = 0


def invited_by(mesh: Mesh, name: str) -> list[set[str]]:
    """Whom each lot of a peer invited, in order."""
    lots: dict[str, set[str]] = {}
    for sender, to, message in mesh.sent:
        if sender == name and isinstance(message, Invite):
            lots.setdefault(message.lot, set()).add(to)
    return list(lots.values())


def test_peers_to_be_avoided_are_not_invited_for_a_second() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(4, "a", "b", "c")
    mesh.submit("a", Seek(*SKILL, 1, 0, avoid=(mesh["b"].id, mesh["a"].id)))
    mesh.settle()
    mesh.submit("a", Seek(*SKILL, 3, 0, avoid=(mesh["b"].id,)))
    mesh.settle()
    mesh.submit("a", Seek(*SKILL, 5, 0))
    mesh.settle()
    assert invited_by(mesh, "a") == [{"c"}, {"a", "c"}, {"a", "b", "c"}]


def test_peers_to_be_avoided_are_invited_where_nobody_else_hosts_or_when_time_has_passed() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(1, "b")
    mesh.submit("a", Seek(*SKILL, 1, 0, avoid=(mesh["b"].id,)))
    mesh.settle()
    assert mesh["a"].slots == 1
    mesh.host(1, "c")
    mesh.submit("a", Seek(*SKILL, 3, 0, avoid=(mesh["c"].id,)))
    mesh.advance(3_000)
    assert {"b"} in invited_by(mesh, "a")
    assert mesh["a"].slots == 2, "the wish is forgotten after a second"


def test_places_that_direct_tasks_take_are_not_offered_and_their_end_is_a_vacancy() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(1, "b", "c")
    mesh.submit("b", ObserveWork(*SKILL, 1, 0, direct=1))
    mesh.seek("a", 2)
    mesh.settle()
    assert [bid.outcome for bid in stories(mesh, "a")[0].bids] == ["declined: busy", "won"]
    assert mesh["a"].slots == 1
    mesh.submit("b", ObserveWork(*SKILL, 0, 0, direct=0))
    mesh.settle()
    mesh.advance(5)
    assert (mesh["a"].slots, mesh.kinds().count("Vacancy")) == (2, 1)


def test_a_slot_that_was_set_aside_is_given_though_a_direct_task_came_meanwhile() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "b")
    mesh.seek("a", 1)
    mesh.step()
    mesh.submit("b", ObserveWork(*SKILL, 1, 0, direct=1))
    mesh.settle()
    assert mesh["a"].slots == 1


def test_a_stream_of_direct_tasks_shuts_nobody_out_for_ever() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "b")
    mesh.submit("b", ObserveWork(*SKILL, 2, 100_000, direct=1))
    mesh.seek("a", 1)
    mesh.advance(500)
    assert mesh["a"].slots == 0, "three tasks of 100 ms have their turn, and as long again"
    mesh.advance(1_500)
    assert mesh["a"].slots == 1


def test_a_direct_task_of_which_nobody_knows_how_long_it_takes_is_not_waited_behind() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "b")
    mesh.submit("b", ObserveWork(*SKILL, 1, 0, direct=1))
    mesh.seek("a", 1)
    mesh.advance(20_000)
    assert mesh["a"].slots == 0


def test_vacancies_cannot_make_an_issuer_ask_without_pause() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "b")
    mesh.submit("b", SetCapacity(*SKILL, 0))
    mesh.seek("a", 1)
    mesh.settle()
    for _ in range(100):
        mesh.deliver("b", "a", Vacancy(*SKILL, 1))
        mesh.settle()
    assert mesh.kinds().count("Invite") == 1
    mesh.advance(5)
    assert mesh.kinds().count("Invite") == 2


def test_what_was_not_awarded_is_sought_again() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(2, "b")
    mesh.seek("a", 5)
    mesh.settle()
    assert mesh["a"].slots == 2
    mesh.host(4, "c")
    mesh.settle()
    assert mesh["a"].slots == 5


def test_a_version_may_be_left_open() -> None:
    mesh = Mesh("a", "b")
    for version, slots in (("1", 1), ("2", 3)):
        mesh.submit("b", SetCapacity("retrieve", version, slots))
    mesh.submit("a", CandidateUp(mesh["b"].id, 1, (("retrieve", "1"), ("retrieve", "2"))))
    mesh.submit("a", Seek("retrieve", "", 4, 0))
    mesh.settle()
    assert mesh["b"].auction.granted("retrieve", "2") == 3
    mesh.advance(60)
    assert mesh["b"].auction.granted("retrieve", "1") == 1
    assert mesh["a"].slots == 4


def test_many_candidates_are_sampled_and_the_loaded_less_often() -> None:
    names = [f"p{i}" for i in range(20)]
    mesh = Mesh("a", *names)
    mesh.host(400, *names)
    for name in names[:10]:
        mesh.submit("a", CandidateLoad(mesh[name].id, 1_000))
    for units in range(1, 101):
        mesh.seek("a", units)
        mesh.settle()
    invited = [to for _, to, m in mesh.sent if isinstance(m, Invite)]
    assert len(invited) == 800
    busy = sum(invited.count(name) for name in names[:10])
    assert 50 < busy < 320


def test_the_issuer_invites_itself_where_it_hosts_the_skill() -> None:
    names = [f"p{i}" for i in range(12)]
    mesh = Mesh("a", *names)
    mesh.host(4, "a", *names)
    mesh.seek("a", 1)
    invited = [to for _, to, m in mesh.sent if isinstance(m, Invite)]
    assert invited[0] == "a"
    assert len(invited) == 8


def test_an_idle_machine_has_no_deadline() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "a", "b")
    assert mesh.next_deadline() is None
    mesh.seek("a", 2)
    mesh.settle()
    assert mesh.next_deadline() is not None
    mesh.seek("a", 0)
    release_all(mesh, "a")
    mesh.advance(1_100)
    assert mesh.next_deadline() is None


def test_names_of_lots_never_repeat_over_restarts() -> None:
    mesh = Mesh("a", "b")
    mesh.host(9, "b")
    names = []
    for _ in range(3):
        mesh.seek("a", 1)
        mesh.settle()
        names += [e.lot for e in stories(mesh, "a")]
        mesh.restart("a")
        mesh.submit("a", CandidateUp(mesh["b"].id, 1, (SKILL,)))
        mesh.settle()
    assert len(set(names)) == 3
    assert all(len(name) <= 64 for name in names)


def test_stories_survive_a_restart_and_slots_do_not() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "b")
    mesh.seek("a", 2)
    mesh.settle()
    story = stories(mesh, "a")[0]
    assert mesh["a"].auction.lot_story(story.lot) == story
    assert list(mesh["a"].auction.snapshot()) == mesh["a"].records
    mesh.restart("a")
    mesh.settle()
    assert mesh["a"].auction.lot_story(story.lot) == story
    assert mesh["a"].auction.held(*SKILL) == 0
    assert mesh["b"].granted == {}, "its bidder saw the new boot"


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Seek, "units", -1),
        (Seek, "estimate_us", -1),
        (SetCapacity, "slots", -1),
    ],
)
def test_negative_numbers_are_refused(kind: type[msgspec.Struct], field: str, value: int) -> None:
    mesh = Mesh("a")
    fields = {"skill": "x", "version": "1", "units": 1, "estimate_us": 0, "slots": 1}
    fields[field] = value
    known = {name: fields[name] for name in kind.__struct_fields__ if name in fields}
    with pytest.raises(Refused):
        mesh.submit("a", kind(**known))


def test_too_many_skills_at_one_time_are_refused() -> None:
    mesh = Mesh("a")
    for number in range(1024):
        mesh.submit("a", Seek(f"skill-{number}", "", 1, 0))
    with pytest.raises(Refused, match="TooManyDemands"):
        mesh.submit("a", Seek("one more", "", 1, 0))
    mesh.submit("a", Seek("skill-0", "", 0, 0))
    mesh.submit("a", Seek("one more", "", 1, 0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"candidates": 0},
        {"candidates": 65},
        {"units_per_lot": 257},
        {"window_ns": 2 * 10**9},
        {"lease_ns": 1},
        {"candidates": 64, "units_per_lot": 256},
    ],
)
def test_parameters_that_cannot_work_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        AuctionParameters(**wrong)


def test_the_greatest_award_is_a_message_that_travels_whole() -> None:
    from protocols.auction.messages import Opened, Sealed, Unit, Winner
    from protocols.wire import MESSAGE_LIMIT, encode

    parameters = AuctionParameters()
    unit = Unit(2**62, 2**62, 1_000_000)
    peers = [peer_id(str(number)) for number in range(parameters.candidates)]
    award = Award(
        "x" * 64,
        tuple(Sealed(peer, peer) for peer in peers),
        tuple(Opened(peer, peer, (unit,) * parameters.units_per_lot) for peer in peers),
        tuple(Winner(peer, 2**62) for peer in peers),
        tuple(Winner(peer, 2**62) for peer in peers),
    )
    assert len(encode(award)) <= MESSAGE_LIMIT


def test_every_message_and_answer_repeated_changes_nothing() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.host(3, "b", "c")
    mesh.seek("a", 4)
    while mesh.queue:
        entry = mesh.queue[0]
        mesh.step()
        mesh.deliver(*entry)
    assert mesh["a"].slots == 4
    once = mesh.sent[:]
    for entry in once:
        mesh.deliver(*entry)
        mesh.settle()
    assert mesh["a"].slots == 4
    assert sum(mesh["b"].granted.values()) + sum(mesh["c"].granted.values()) == 4
    assert {type(m) for _, _, m in once} == {Invite, Commit, Book, Reveal, Award, Accept}
    for peer in mesh.peers.values():
        assert peer.blames == []


def test_a_decline_says_why_and_when_to_ask_again() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "b")
    mesh.submit("b", ObserveWork(*SKILL, 1, 7_000))
    mesh.seek("a", 1)
    mesh.settle()
    mesh.seek("a", 2)
    mesh.settle()
    declines = [m for _, _, m in mesh.sent if isinstance(m, Decline)]
    assert [(d.reason, d.retry_us) for d in declines] == [("busy", 7_000)]
    assert not any(isinstance(m, Forfeit) for _, _, m in mesh.sent)
