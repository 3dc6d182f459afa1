"""Lots between an issuer and one other bidder: one link trip and back, and still sealed."""

import msgspec
import pytest

from protocols.auction.commands import ObserveWork, Seek, SetCapacity
from protocols.auction.lot_ids import lot_id
from protocols.auction.messages import (
    Award,
    Candidate,
    Commit,
    Forfeit,
    Invite,
    Opened,
    Release,
    Reveal,
    Sealed,
    Unit,
    Winner,
)
from protocols.auction.sealing import commitment
from protocols.machine import MILLISECOND_NS
from tests.protocols.auction.mesh import SKILL, Mesh, peer_id

BRIEF_US = 100
NONCE = bytes(32)
QUICK = (Unit(1, 0, 1_000_000),)
SLOW = (Unit(9_000_000, 0, 1_000_000),)


def over_links(mesh: Mesh) -> list[str]:
    """What passed between two peers, in order."""
    return [f"{s}>{to} {type(m).__name__}" for s, to, m in mesh.sent if s != to]


def invited(mesh: Mesh) -> list[int]:
    """How many candidates each lot had, itself included."""
    counts: dict[str, int] = {}
    for _, _, message in mesh.sent:
        if isinstance(message, Invite):
            counts[message.lot] = len(message.candidates)
    return list(counts.values())


def crowd(slots: int = 2) -> Mesh:
    mesh = Mesh("a", "b", "c", "d")
    mesh.host(slots, "a", "b", "c", "d")
    return mesh


def test_a_pair_takes_one_trip_and_back_and_the_award() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "a", "b")
    mesh.seek("a", 1, BRIEF_US)
    mesh.settle()
    expected = ["a>b Invite", "b>a Commit", "b>a Reveal", "a>b Reveal", "a>b Award"]
    assert sorted(over_links(mesh)) == sorted(expected)
    assert over_links(mesh)[:3] == expected[:3]
    assert mesh["a"].slots == 1
    assert mesh.now_ns == 0, "nobody waited for a window"


def test_the_issuers_bid_is_sealed_in_the_invitation_before_the_other_bids() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "a", "b")
    mesh.seek("a", 1, BRIEF_US)
    mesh.settle()
    seal = next(m.seal for _, to, m in mesh.sent if isinstance(m, Invite) and to == "b")
    own = next(m for s, to, m in mesh.sent if isinstance(m, Reveal) and (s, to) == ("a", "b"))
    assert seal == commitment(own.lot, peer_id("a"), own.nonce, own.schedule)
    award = next(m for _, to, m in mesh.sent if isinstance(m, Award) and to == "b")
    assert Sealed(peer_id("a"), seal) in award.sealed


def test_the_quicker_of_a_pair_wins() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "a", "b")
    mesh.submit("a", ObserveWork(*SKILL, 9, 3_000))
    mesh.submit("b", ObserveWork(*SKILL, 0, 1_000))
    mesh.seek("a", 1, 2_000)
    mesh.settle()
    assert sum(mesh["b"].granted.values()) == 1
    assert over_links(mesh)[-1] == "b>a Accept"


@pytest.mark.parametrize(
    ("units", "estimate_us", "asked"),
    [(1, BRIEF_US, 2), (1, 4_000, 2), (1, 4_001, 4), (1, 0, 4), (2, BRIEF_US, 4)],
)
def test_one_slot_for_short_tasks_asks_one_other_and_anything_more_asks_all(
    units: int, estimate_us: int, asked: int
) -> None:
    mesh = crowd()
    mesh.seek("a", units, estimate_us)
    mesh.settle()
    assert invited(mesh) == [asked]


def test_an_issuer_without_room_of_its_own_asks_all() -> None:
    mesh = crowd()
    mesh.submit("a", SetCapacity(*SKILL, 1))
    mesh.submit("a", ObserveWork(*SKILL, 1, BRIEF_US, direct=1))
    mesh.seek("a", 1, BRIEF_US)
    mesh.settle()
    assert [m.seal for _, to, m in mesh.sent if isinstance(m, Invite) and to != "a"] == [b""] * 3
    assert mesh["a"].slots == 1
    assert "a>b Book" in over_links(mesh), "among several, no bid is shown before the book"


def test_after_a_pair_that_fell_short_all_are_asked_but_who_failed() -> None:
    mesh = crowd()
    in_first = 60 * MILLISECOND_NS
    mesh.drop = lambda *sent: mesh.now_ns < in_first and isinstance(sent[2], Reveal)
    mesh.seek("a", 1, BRIEF_US)
    mesh.advance(100)
    assert invited(mesh) == [2, 3]
    assert mesh["a"].slots == 1


def test_the_only_host_shows_its_bid_at_once() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "b")
    mesh.seek("a", 2)
    mesh.settle()
    assert mesh.kinds() == ["Invite", "Commit", "Reveal", "Award", "Accept"]
    assert mesh["a"].slots == 2


def test_an_issuer_does_not_wait_for_a_partner_that_is_gone() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "a", "b")
    mesh.dead.add("b")
    mesh.seek("a", 1, BRIEF_US)
    mesh.settle()
    assert mesh["a"].slots == 0
    mesh.lose("b")
    mesh.settle()
    assert mesh["a"].slots == 1
    assert mesh.now_ns == 0


def test_a_partner_that_is_late_is_told_that_it_is_not_needed() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "a", "b")
    late: list[tuple[str, str, msgspec.Struct]] = []

    def hold_back(*sent: *tuple[str, str, msgspec.Struct]) -> bool:
        late.extend([sent] * (sent[0] == "b"))
        return sent[0] == "b"

    mesh.drop = hold_back
    mesh.seek("a", 1, BRIEF_US)
    mesh.advance(51)
    assert mesh["a"].slots == 1
    mesh.drop = lambda *_: False
    for sent in late:
        mesh.deliver(*sent)
    mesh.settle()
    assert [m for _, to, m in mesh.sent if isinstance(m, Release) and to == "b"]
    mesh.advance(1_500)
    assert mesh["b"].auction.deadline() is None


def test_a_partner_that_seals_and_does_not_show_costs_a_window_and_wins_nothing() -> None:
    mesh = Mesh("a", "b")
    mesh.host(2, "a", "b")
    mesh.drop = lambda source, _, message: source == "b" and isinstance(message, Reveal)
    mesh.seek("a", 1, BRIEF_US)
    mesh.settle()
    assert mesh["a"].slots == 0
    mesh.advance(50)
    assert mesh["a"].slots == 1
    assert mesh["a"].auction.standing(peer_id("b")).lapses == 1
    assert mesh.now_ns == 50 * MILLISECOND_NS


def sealed_invite(seal: bytes, *names: str) -> Invite:
    candidates = tuple(Candidate(peer_id(name), 1_000_000) for name in names)
    lot = lot_id(peer_id("liar"), 1, 1)
    skill = (*SKILL, 1, 0, 50_000, 3_000_000)
    return Invite(lot, *skill, bytes(32), candidates, 0, seal)


def test_a_seal_does_not_open_a_bid_where_a_third_one_bids() -> None:
    mesh = Mesh("liar", "b", "c")
    mesh.submit("b", SetCapacity(*SKILL, 4))
    mesh.deliver("liar", "b", sealed_invite(bytes(32), "liar", "b", "c"))
    assert mesh.kinds() == ["Commit"]


def test_an_issuer_cannot_change_its_bid_after_it_has_seen_the_other() -> None:
    mesh = Mesh("liar", "b")
    mesh.submit("b", SetCapacity(*SKILL, 4))
    first = sealed_invite(b"", "liar", "b")
    seal = commitment(first.lot, peer_id("liar"), NONCE, SLOW)
    mesh.deliver("liar", "b", msgspec.structs.replace(first, seal=seal))
    theirs = next(m for _, _, m in mesh.sent if isinstance(m, Reveal))
    own = next(m for _, _, m in mesh.sent if isinstance(m, Commit))
    opened = Opened(peer_id("b"), theirs.nonce, theirs.schedule)
    for seal_now, schedule in ((seal, QUICK), (None, QUICK)):
        mine = Opened(peer_id("liar"), NONCE, schedule)
        line = seal_now or commitment(first.lot, peer_id("liar"), NONCE, schedule)
        book = sorted(
            (Sealed(peer_id("liar"), line), Sealed(peer_id("b"), own.commitment)),
            key=lambda each: each.bidder,
        )
        both = tuple(sorted((mine, opened), key=lambda each: each.bidder))
        won = (Winner(peer_id("liar"), 1),)
        again = mesh_like(mesh, first, seal)
        again.deliver("liar", "b", Award(first.lot, tuple(book), both, won))
        assert len(again["b"].blames) == 1
        assert again["b"].granted == {}


def mesh_like(_: Mesh, invite: Invite, seal: bytes) -> Mesh:
    """The same situation again: everything in it is seeded."""
    mesh = Mesh("liar", "b")
    mesh.submit("b", SetCapacity(*SKILL, 4))
    mesh.deliver("liar", "b", msgspec.structs.replace(invite, seal=seal))
    return mesh


def test_the_same_invitation_twice_is_answered_alike() -> None:
    mesh = Mesh("liar", "b")
    mesh.submit("b", SetCapacity(*SKILL, 4))
    for _ in range(2):
        mesh.deliver("liar", "b", sealed_invite(bytes(32), "liar", "b"))
    answers = [m for _, _, m in mesh.sent]
    assert answers[:2] == answers[2:]
    assert [type(m) for m in answers[:2]] == [Commit, Reveal]


def test_a_slot_that_was_won_elsewhere_meanwhile_is_forfeited_to_the_issuer() -> None:
    mesh = Mesh("a", "b")
    mesh.host(1, "a", "b")
    mesh.submit("a", ObserveWork(*SKILL, 9, 3_000))
    mesh.submit("a", Seek(*SKILL, 1, 2_000))
    while "Award" not in mesh.kinds():
        mesh.step()
    mesh.submit("b", SetCapacity(*SKILL, 0))
    mesh.settle()
    assert [(s, to) for s, to, m in mesh.sent if isinstance(m, Forfeit)] == [("b", "a")]
    assert {bidder: n for (_, bidder), n in mesh["a"].held.items() if n} == {peer_id("a"): 1}
