"""What peers that lie can do, and that nothing they send raises or overbooks."""

import msgspec
import pytest

from protocols.auction.commands import SetCapacity
from protocols.auction.lot_ids import lot_id
from protocols.auction.messages import (
    Accept,
    Award,
    Book,
    Candidate,
    Commit,
    Decline,
    Forfeit,
    Invite,
    Opened,
    Release,
    Renew,
    Reveal,
    Sealed,
    Unit,
    Vacancy,
    Winner,
)
from protocols.auction.sealing import commitment
from tests.protocols.auction.mesh import SKILL, Mesh, peer_id

NONCE = bytes(32)
SEED = bytes(32)
CHEAP = (Unit(1, 0, 1_000_000),) * 4
DEAR = (Unit(9_000_000, 0, 1_000_000),) * 4


def invite(issuer: str, counter: int, *names: str, units: int = 4, window_us: int = 0) -> Invite:
    candidates = tuple(Candidate(peer_id(name), 1_000_000) for name in names)
    lot = lot_id(peer_id(issuer), 1, counter)
    return Invite(lot, *SKILL, units, 0, window_us, 3_000_000, SEED, candidates)


def lot_with_liar() -> tuple[Mesh, str]:
    """An honest issuer and bidder, and a liar that is told everything and says nothing."""
    mesh = Mesh("issuer", "honest", "liar")
    mesh.host(4, "honest", "liar")
    mesh.dead.add("liar")
    mesh.seek("issuer", 4)
    mesh.settle()
    return mesh, next(m.lot for _, _, m in mesh.sent if isinstance(m, Invite))


def sealed_by_liar(mesh: Mesh, lot: str) -> None:
    mesh.deliver("liar", "issuer", Commit(lot, commitment(lot, peer_id("liar"), NONCE, DEAR)))
    mesh.settle()


def test_a_bidder_cannot_reveal_another_schedule_than_it_sealed() -> None:
    mesh, lot = lot_with_liar()
    sealed_by_liar(mesh, lot)
    mesh.deliver("liar", "issuer", Reveal(lot, NONCE, CHEAP))
    mesh.settle()
    assert sum(mesh["honest"].granted.values()) == 4
    assert [(b.peer, b.offence) for b in mesh["issuer"].blames] == [
        (peer_id("liar"), "reveal does not match its commitment")
    ]


def test_a_bidder_cannot_copy_anothers_commitment() -> None:
    mesh, lot = lot_with_liar()
    copied = next(m.commitment for _, _, m in mesh.sent if isinstance(m, Commit))
    mesh.deliver("liar", "issuer", Commit(lot, copied))
    mesh.settle()
    seen = next(m for _, to, m in mesh.sent if isinstance(m, Reveal) and to == "liar")
    mesh.deliver("liar", "issuer", seen)
    mesh.settle()
    assert sum(mesh["honest"].granted.values()) == 4
    assert len(mesh["issuer"].blames) == 1


def test_the_first_commitment_stands() -> None:
    mesh, lot = lot_with_liar()
    mesh.deliver("liar", "issuer", Commit(lot, commitment(lot, peer_id("liar"), NONCE, DEAR)))
    mesh.deliver("liar", "issuer", Commit(lot, commitment(lot, peer_id("liar"), NONCE, CHEAP)))
    book = next(m for _, _, m in mesh.sent if isinstance(m, Book))
    sealed = {line.bidder: line.commitment for line in book.sealed}
    assert sealed[peer_id("liar")] == commitment(lot, peer_id("liar"), NONCE, DEAR)


def test_a_decline_stands_too() -> None:
    mesh, lot = lot_with_liar()
    mesh.drop = lambda source, to, message: source == "honest" and isinstance(message, Commit)
    mesh.seek("issuer", 0)
    mesh.deliver("liar", "issuer", Decline(lot, "no"))
    mesh.deliver("liar", "issuer", Commit(lot, NONCE))
    mesh.settle()
    assert "Book" not in mesh.kinds()


def test_a_bid_is_opened_once() -> None:
    mesh, lot = lot_with_liar()
    mesh.drop = lambda source, to, message: source == "honest" and isinstance(message, Reveal)
    sealed_by_liar(mesh, lot)
    for _ in range(3):
        mesh.deliver("liar", "issuer", Reveal(lot, NONCE, CHEAP))
    mesh.deliver("liar", "issuer", Reveal(lot, NONCE, DEAR))
    mesh.advance(60)
    assert len(mesh["issuer"].blames) == 1
    story = mesh["issuer"].auction.lot_story(lot)
    assert story is not None
    assert [bid.outcome for bid in story.bids] == ["unrevealed", "unrevealed"]


def test_a_bidder_that_commits_and_then_declines_has_still_to_reveal() -> None:
    mesh, lot = lot_with_liar()
    sealed_by_liar(mesh, lot)
    mesh.deliver("liar", "issuer", Decline(lot, "changed my mind"))
    mesh.advance(60)
    assert mesh["issuer"].slots == 4
    assert mesh["issuer"].auction.standing(peer_id("liar")).lapses == 1


def test_a_schedule_that_falls_is_no_bid() -> None:
    mesh, lot = lot_with_liar()
    falling = (Unit(2, 0, 1_000_000), Unit(1, 0, 1_000_000))
    mesh.deliver("liar", "issuer", Commit(lot, commitment(lot, peer_id("liar"), NONCE, falling)))
    mesh.settle()
    mesh.deliver("liar", "issuer", Reveal(lot, NONCE, falling))
    mesh.settle()
    assert sum(mesh["honest"].granted.values()) == 4


def test_an_oversized_schedule_is_no_bid_where_it_gets_past_the_codec() -> None:
    mesh, lot = lot_with_liar()
    sealed_by_liar(mesh, lot)
    issuer = mesh["issuer"].auction
    huge = Reveal(lot, NONCE, CHEAP * 100)
    issuer.receive(peer_id("liar"), peer_id("liar"), huge, mesh.now)
    issuer.check()


def test_a_bidder_that_always_forfeits_is_asked_less_and_less() -> None:
    mesh, _ = lot_with_liar()
    mesh.submit("honest", SetCapacity(*SKILL, 0))
    invited = 0
    for _ in range(2_000):
        mesh.now_ns += 1_000_000
        for name, peer in mesh.peers.items():
            if name != "liar":
                mesh.absorb(peer, peer.auction.wake(mesh.now))
        while mesh.queue:
            source, to, message = mesh.queue.popleft()
            if to != "liar":
                mesh.deliver(source, to, message)
                continue
            match message:
                case Invite():
                    invited += 1
                    sealed_by_liar(mesh, message.lot)
                case Book():
                    mesh.deliver("liar", "issuer", Reveal(message.lot, NONCE, DEAR))
                case Award():
                    mesh.deliver("liar", "issuer", Forfeit(message.lot, 4, "sorry"))
                case _:
                    pass
    assert 3 < invited < 15
    assert mesh["issuer"].auction.standing(peer_id("liar")).multiplier(SKILL) > 2_000_000


def award_for(lot: Invite, mesh: Mesh, winners: dict[str, int], **changes: object) -> Award:
    """An award over what the honest bidder and the liar's friend revealed."""
    reveals = {s: m for s, _, m in mesh.sent if isinstance(m, Reveal) and m.lot == lot.lot}
    commits = {s: m for s, _, m in mesh.sent if isinstance(m, Commit) and m.lot == lot.lot}
    names = sorted(commits, key=peer_id)
    award = Award(
        lot.lot,
        tuple(Sealed(peer_id(name), commits[name].commitment) for name in names),
        tuple(
            Opened(peer_id(name), reveals[name].nonce, reveals[name].schedule)
            for name in names
            if name in reveals
        ),
        tuple(Winner(peer_id(name), winners[name]) for name in sorted(winners, key=peer_id)),
    )
    return msgspec.structs.replace(award, **changes)


def revealed(units: int = 4) -> tuple[Mesh, Invite]:
    """A lying issuer's lot; two honest bidders have revealed to it."""
    mesh = Mesh("liar", "b", "c")
    mesh.dead.add("liar")
    mesh.submit("b", SetCapacity(*SKILL, 4))
    mesh.submit("c", SetCapacity(*SKILL, 4))
    lot = invite("liar", 1, "b", "c", units=units)
    for name in ("b", "c"):
        mesh.deliver("liar", name, lot)
    book = award_for(lot, mesh, {}).sealed
    for name in ("b", "c"):
        mesh.deliver("liar", name, Book(lot.lot, book))
    mesh.settle()
    return mesh, lot


def test_an_award_that_follows_is_accepted() -> None:
    mesh, lot = revealed()
    mesh.deliver("liar", "b", award_for(lot, mesh, {"b": 2, "c": 2}))
    assert list(mesh["b"].granted.values()) == [2]
    assert mesh["b"].blames == []
    assert isinstance(mesh.sent[-1][2], Accept)


@pytest.mark.parametrize(
    ("winners", "changes", "offence"),
    [
        ({"b": 4}, {}, "award does not follow from the book"),
        ({"b": 2, "c": 1}, {}, "award does not follow from the book"),
        ({"b": 2, "c": 2}, {"sealed": ()}, "award changes the book"),
        (
            {"b": 2, "c": 2},
            {"opened": (Opened(peer_id("c"), NONCE, CHEAP),)},
            "award holds a bid that does not match the book",
        ),
        ({"b": 4}, {"limits": (Winner(peer_id("c"), 1),)}, "award does not follow from the book"),
    ],
)
def test_an_award_that_does_not_follow_is_forfeited_and_blamed(
    winners: dict[str, int], changes: dict[str, object], offence: str
) -> None:
    mesh, lot = revealed()
    mesh.deliver("liar", "b", award_for(lot, mesh, winners, **changes))
    assert mesh["b"].granted == {}
    assert [b.offence for b in mesh["b"].blames] == [offence]
    assert [m.kept for _, _, m in mesh.sent if isinstance(m, Forfeit)] == [0]
    mesh.deliver("liar", "b", invite("liar", 2, "b"))
    assert [m.reason for _, _, m in mesh.sent if isinstance(m, Decline)] == ["distrusted"]


def test_bids_cannot_be_listed_twice_in_an_award() -> None:
    mesh, lot = revealed()
    honest = award_for(lot, mesh, {"b": 2, "c": 2})
    doubled = msgspec.structs.replace(honest, opened=honest.opened + honest.opened[:1])
    mesh.deliver("liar", "b", doubled)
    assert [b.offence for b in mesh["b"].blames] == ["award lists a bid twice"]


def test_a_book_that_lists_the_uninvited_is_not_revealed_to() -> None:
    mesh = Mesh("liar", "b", "c", "d")
    mesh.submit("b", SetCapacity(*SKILL, 4))
    lot = invite("liar", 1, "b", "d")
    mesh.deliver("liar", "b", lot)
    own = next(m.commitment for _, _, m in mesh.sent if isinstance(m, Commit))
    book = Book(lot.lot, (Sealed(peer_id("b"), own), Sealed(peer_id("c"), NONCE)))
    mesh.deliver("liar", "b", book)
    assert "Reveal" not in mesh.kinds()
    assert len(mesh["b"].blames) == 1


def test_a_book_with_a_strange_commitment_is_left_without_blame() -> None:
    mesh = Mesh("liar", "b")
    mesh.submit("b", SetCapacity(*SKILL, 4))
    lot = invite("liar", 1, "b", "c")
    mesh.deliver("liar", "b", lot)
    mesh.deliver("liar", "b", Book(lot.lot, (Sealed(peer_id("b"), NONCE),)))
    assert "Reveal" not in mesh.kinds()
    assert mesh["b"].blames == []
    assert mesh["b"].auction.deadline() is None


@pytest.mark.parametrize(
    "wrong",
    [
        invite("liar", 1, "c"),
        invite("liar", 1, "b", units=0),
        invite("liar", 1, "b", "b"),
        invite("somebody else", 1, "b"),
        msgspec.structs.replace(invite("liar", 1, "b"), lot="nonsense"),
        msgspec.structs.replace(invite("liar", 1, "b"), lot=lot_id(peer_id("liar"), 1, 1) + "x"),
    ],
)
def test_an_invitation_that_is_not_sound_is_ignored(wrong: Invite) -> None:
    mesh = Mesh("liar", "b")
    mesh.submit("b", SetCapacity(*SKILL, 4))
    mesh.deliver("liar", "b", wrong)
    assert mesh.sent == []
    assert mesh["b"].auction.deadline() is None


def test_lots_that_never_end_hold_slots_for_a_bounded_time() -> None:
    mesh = Mesh("liar", "b", "honest")
    mesh.host(4, "b")
    mesh.dead.add("liar")
    mesh.deliver("liar", "b", invite("liar", 1, "b", window_us=2**62))
    mesh.seek("honest", 4)
    mesh.advance(2_249)
    assert mesh["honest"].slots == 0
    mesh.advance(2)
    assert mesh["honest"].slots == 4


def test_a_flood_of_invitations_is_declined() -> None:
    mesh = Mesh("liar", "b")
    mesh.dead.add("liar")
    mesh.submit("b", SetCapacity(*SKILL, 100))
    for number in range(40):
        mesh.deliver("liar", "b", invite("liar", number, "b", units=1))
    assert mesh.kinds().count("Commit") == 16
    assert [m.reason for _, _, m in mesh.sent if isinstance(m, Decline)] == ["too-many-lots"] * 24


def test_a_flood_from_many_issuers_is_declined_too() -> None:
    mesh = Mesh("b", *[f"liar-{number}" for number in range(40)])
    mesh.submit("b", SetCapacity(*SKILL, 10_000))
    for name in mesh.peers:
        for number in range(10):
            if name != "b":
                mesh.deliver(name, "b", invite(name, number, "b", units=1))
    assert mesh.kinds().count("Commit") == 256


@pytest.mark.slow
def test_memories_of_decided_bids_are_bounded() -> None:
    mesh = Mesh("liar", "b", "c")
    mesh.dead.update(("liar", "c"))
    mesh.submit("b", SetCapacity(*SKILL, 4))
    for number in range(1_100):
        lot = invite("liar", number, "b", units=1)
        mesh.sent.clear()
        mesh.deliver("liar", "b", lot)
        mesh.deliver("liar", "b", Award(lot.lot, award_for(lot, mesh, {}).sealed, (), ()))
    assert isinstance(mesh.sent[0][2], Commit)
    mesh["b"].auction.check()


def test_those_turned_away_are_bounded() -> None:
    mesh = Mesh("b", *[f"liar-{number}" for number in range(600)])
    mesh.submit("b", SetCapacity(*SKILL, 1))
    mesh.deliver("liar-0", "b", invite("liar-0", 1, "b"))
    for name in list(mesh.peers)[2:]:
        mesh.deliver(name, "b", invite(name, 1, "b"))
    assert mesh.kinds().count("Decline") == 599
    mesh["b"].auction.check()


STRANGE: list[msgspec.Struct] = [
    Commit("x", NONCE),
    Decline("x", "no"),
    Book("x", ()),
    Reveal("x", NONCE, CHEAP),
    Award("x", (), (), (Winner(peer_id("b"), 4),)),
    Accept("x"),
    Forfeit("x", 3, "no", 0),
    Renew("x", 4),
    Release("x", 4),
    Vacancy("x", "", 4),
]


@pytest.mark.parametrize("message", STRANGE, ids=lambda m: type(m).__name__)
def test_what_a_stranger_sends_changes_nothing(message: msgspec.Struct) -> None:
    mesh = Mesh("issuer", "b", "stranger")
    mesh.host(4, "b")
    mesh.seek("issuer", 4)
    for _ in range(12):
        lots = {getattr(m, "lot", "") for _, _, m in mesh.sent} - {""}
        for lot in sorted(lots | {"x"}):
            for name in ("issuer", "b"):
                changed = message
                if hasattr(message, "lot"):
                    changed = msgspec.structs.replace(message, lot=lot)
                mesh.deliver("stranger", name, changed)
        mesh.queue = type(mesh.queue)(e for e in mesh.queue if e[1] != "stranger")
        mesh.step()
    mesh.settle()
    assert mesh["issuer"].slots == 4
    assert sum(mesh["b"].granted.values()) == 4
    for peer in mesh.peers.values():
        assert peer.blames == []


def test_a_message_of_another_protocol_is_dropped() -> None:
    mesh = Mesh("b")
    effects = mesh["b"].auction.receive(peer_id("x"), peer_id("x"), Winner(NONCE, 1), mesh.now)
    assert effects == ()
