"""The small parts, each on its own, and every limit that no scenario reaches."""

import random
import sys

import pytest

from protocols.auction.agenda import Agenda
from protocols.auction.candidates import Candidates
from protocols.auction.commands import CandidateUp, Seek, SetCapacity
from protocols.auction.events import LotCleared
from protocols.auction.grants import Grants
from protocols.auction.history import History
from protocols.auction.holdings import Holdings
from protocols.auction.lot_ids import lot_boot, lot_id
from protocols.auction.messages import Award, Opened, Unit
from protocols.auction.parameters import (
    CANDIDATES_LIMIT,
    FAILED_HISTORY_LIMIT,
    GRANTS_LIMIT,
    HISTORY_LIMIT,
    STANDINGS_LIMIT,
)
from protocols.auction.pricing import schedule
from protocols.auction.sealing import commitment, opens
from protocols.auction.standing import Standings
from protocols.auction.supply import Host
from protocols.effects import Effect
from protocols.machine import MILLISECOND_NS, Now
from tests.protocols.auction.mesh import SKILL, Mesh, peer_id

ONE = Unit(1_000, 0, 1_000_000)
NONCE = bytes(32)


def test_an_agenda_gives_what_is_due_in_order_and_forgets_what_moved() -> None:
    agenda: Agenda[str] = Agenda()
    assert agenda.next() is None
    for key, instant in (("late", 30), ("soon", 10), ("moved", 5), ("gone", 1)):
        agenda.put(key, instant)
    agenda.put("moved", 20)
    agenda.drop("gone")
    assert agenda.next() == 10
    assert list(agenda.due(25)) == ["soon", "moved"]
    assert agenda.next() == 30
    assert len(agenda) == 1


def test_an_agenda_that_is_rewritten_for_ever_stays_small() -> None:
    agenda: Agenda[int] = Agenda()
    for instant in range(10_000):
        agenda.put(instant % 3, instant)
    assert len(agenda) == 3
    assert list(agenda.due(9_998)) == [1, 2]
    assert sys.getsizeof(agenda.__dict__["_heap"]) < 4_096


@pytest.mark.parametrize(
    ("lot", "boot"),
    [
        (lot_id(peer_id("a"), 7, 12), 7),
        (lot_id(peer_id("b"), 7, 12), None),
        (lot_id(peer_id("a"), 7, 12) + "x", None),
        (lot_id(peer_id("a"), 7, 12).replace("-7-", "-"), None),
        (lot_id(peer_id("a"), 7, 12).replace("-7-", "-\u0667-"), None),
        ("", None),
    ],
)
def test_the_name_of_a_lot_says_whose_it_is_and_of_which_boot(lot: str, boot: int | None) -> None:
    assert lot_boot(lot, peer_id("a")) == boot


def test_the_longest_name_of_a_lot_fits() -> None:
    assert len(lot_id(peer_id("a"), 2**62, 2**62)) <= 64


def test_a_commitment_binds_lot_bidder_nonce_and_schedule() -> None:
    sealed = commitment("x", peer_id("a"), NONCE, (ONE,))
    assert opens("x", sealed, Opened(peer_id("a"), NONCE, (ONE,)))
    assert not opens("y", sealed, Opened(peer_id("a"), NONCE, (ONE,)))
    assert not opens("x", sealed, Opened(peer_id("b"), NONCE, (ONE,)))
    assert not opens("x", sealed, Opened(peer_id("a"), bytes([1]) * 32, (ONE,)))
    assert not opens("x", sealed, Opened(peer_id("a"), NONCE, (ONE, ONE)))


def test_the_bytes_that_are_hashed_do_not_change_between_releases() -> None:
    sealed = commitment("lot-1-1", peer_id("a"), NONCE, (ONE, Unit(2_000, 5, 900_000)))
    assert sealed.hex() == "80961dbfddda749abba9d621560edf25c50cc509489b014b1a5d2f01b2c59c92"


@pytest.mark.parametrize(
    ("offered", "slots", "queued", "mean", "estimate", "expected"),
    [
        (2, 2, 0, 500, 0, [500, 500]),
        (2, 2, 1, 500, 0, [500, 1_000]),
        (3, 4, 6, 100, 0, [200, 200, 300]),
        (1, 1, 0, 0, 700, [700]),
        (1, 1, 0, 0, 0, [1_000]),
    ],
)
def test_a_schedule_grows_by_a_round_for_each_full_set_of_slots(
    offered: int, slots: int, queued: int, mean: int, estimate: int, expected: list[int]
) -> None:
    units = schedule(offered, slots, queued, mean, estimate, 3, 900_000)
    assert [unit.completion_us for unit in units] == expected
    assert {(unit.cost, unit.confidence) for unit in units} == {(3, 900_000)}


def test_lapses_double_the_pause_and_kept_promises_take_them_back() -> None:
    standings = Standings()
    peer = peer_id("a")
    pauses = []
    for _ in range(10):
        standings.lapse(peer, 0)
        pauses.append((standings.of(peer).shunned_until or 0) // MILLISECOND_NS)
    assert pauses == [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]
    assert standings.of(peer).multiplier(SKILL) == 3_000_000
    assert standings.of(peer).shunned(1)
    for _ in range(8):
        standings.keep(peer)
    assert standings.of(peer).multiplier(SKILL) == 1_000_000
    assert not standings.of(peer).shunned(1)


def test_a_new_boot_starts_clean_and_late_answers_end_the_pause() -> None:
    standings = Standings()
    standings.lapse(peer_id("a"), 0)
    standings.lapse(peer_id("b"), 0)
    standings.renew(peer_id("a"))
    standings.answer(peer_id("b"))
    assert standings.of(peer_id("a")).lapses == 0
    assert standings.of(peer_id("b")).lapses == 1
    assert not standings.of(peer_id("b")).shunned(1)


def test_standings_are_bounded() -> None:
    standings = Standings()
    for number in range(STANDINGS_LIMIT + 5):
        standings.lapse(number.to_bytes(32, "big"), 0)
    assert len(standings) == STANDINGS_LIMIT


def test_candidates_are_bounded() -> None:
    candidates = Candidates(peer_id("me"), random.Random(1))
    for number in range(CANDIDATES_LIMIT + 5):
        candidates.put(number.to_bytes(32, "big"), 1, (SKILL,))
    assert len(candidates) == CANDIDATES_LIMIT
    candidates.check()


def test_shunned_candidates_are_asked_where_nobody_else_is_left() -> None:
    candidates, standings = Candidates(peer_id("me"), random.Random(1)), Standings()
    candidates.put(peer_id("a"), 1, (SKILL,))
    candidates.put(peer_id("b"), 1, (SKILL,))
    standings.lapse(peer_id("a"), 0)
    assert candidates.choose(SKILL, 8, standings, 1) == [peer_id("b")]
    candidates.remove(peer_id("b"))
    assert candidates.choose(SKILL, 8, standings, 1) == [peer_id("a")]
    assert candidates.choose(("retrieve", ""), 8, standings, 1) == [peer_id("a")]
    assert candidates.choose(("retrieve", "2"), 8, standings, 1) == []


def story(number: int, awarded: int) -> LotCleared:
    return LotCleared(f"lot-{number}", "s", "1", 1, awarded, (), 0, 0)


def test_history_is_bounded_and_failures_do_not_push_awards_out() -> None:
    history = History()
    for number in range(HISTORY_LIMIT + 3):
        history.put(story(number, 1))
    for number in range(5_000, 5_000 + FAILED_HISTORY_LIMIT + 3):
        history.put(story(number, 0))
    history.check()
    assert len(history) == HISTORY_LIMIT + FAILED_HISTORY_LIMIT
    assert history.get("lot-0") is None
    assert history.get("lot-3") == story(3, 1)
    assert len(list(history.awarded())) == HISTORY_LIMIT
    assert len(list(history.recent())) == HISTORY_LIMIT + FAILED_HISTORY_LIMIT


def test_a_host_serves_a_bounded_number_of_lots() -> None:
    effects: list[Effect] = []
    grants, host = Grants(effects), Host(*SKILL)
    for number in range(GRANTS_LIMIT):
        assert grants.has_room()
        grants.give(str(number), peer_id("a"), host, 1, 10**9, Now(0, 0))
    assert not grants.has_room()
    grants.check()
    assert [grant.lot for grant in grants.expired(Now(10**9, 0))][:2] == ["0", "1"]


def test_unsettled_lots_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Winners that never answer keep a lot unsettled; past the limit no lot is opened."""
    monkeypatch.setattr("protocols.auction.issuer.LOTS_LIMIT", 12)
    mesh = Mesh("a", "b")
    skills = [(f"skill-{number}", "1") for number in range(13)]
    mesh.submit("a", CandidateUp(mesh["b"].id, 1, tuple(skills)))
    for skill in skills:
        mesh.submit("b", SetCapacity(*skill, 1))
    mesh.drop = lambda source, to, message: isinstance(message, Award)
    for skill in skills:
        mesh.submit("a", Seek(*skill, 1, 0))
        mesh.settle()
    assert mesh["a"].slots == 12
    assert mesh.kinds().count("Invite") == 12
    mesh.drop = lambda source, to, message: False
    mesh.advance(400)
    assert mesh["a"].slots == 13


def test_holdings_that_do_not_add_up_are_noticed() -> None:
    holdings = Holdings()
    holding = holdings.add("x", peer_id("a"), (*SKILL, ()), 2)
    holdings.check()
    holding.slots = 3
    with pytest.raises(AssertionError, match="held-slots-add-up"):
        holdings.check()
