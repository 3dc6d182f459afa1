"""Marks on the blackboard, by which work is offered and claimed, as commands for the tasks."""

import msgspec
import pytest

from mesh.core.marks import CLAIMS, OFFERS, TTL_MS, claim_written, marks_seen, offer_written
from protocols.blackboard.commands import Edit, WriteBoard
from protocols.blackboard.events import EntriesChanged
from protocols.identity import text_id
from protocols.machine import SECOND_NS
from protocols.tasks.commands import ClaimSeen, OfferGone, OfferSeen
from protocols.tasks.events import OfferPosted, PlacesClaimed
from protocols.wire import encode
from tests.protocols.blackboard.boards import Boards, Peer

TAG = "0123456789abcdef"


def seen(peer: Peer) -> list[msgspec.Struct]:
    events = [each for each in peer.told if isinstance(each, EntriesChanged)]
    peer.told.clear()
    return [mark for event in events for mark in marks_seen(event, peer.board)]


def offer(peer: Peer, number: int = 5, units: int = 2) -> OfferPosted:
    return OfferPosted(peer.peer, TAG, "echo", "1", ("gpu",), number, units, (b"\1" * 32,))


def claim(custodian: Peer, claimer: Peer, places: int = 1) -> PlacesClaimed:
    return PlacesClaimed(custodian.peer, TAG, claimer.peer, 5, places, 70)


def write(boards: Boards, peer: Peer, command: WriteBoard) -> None:
    boards.carry(peer, peer.board.submit(command, boards.now))


def test_an_offer_and_a_claim_arrive_as_they_were_made() -> None:
    boards = Boards(2)
    a, b = boards.peers
    write(boards, a, offer_written(offer(a)))
    want = OfferSeen(a.peer, TAG, "echo", "1", ("gpu",), 5, 2, (b"\1" * 32,))
    assert seen(a) == seen(b) == [want]
    write(boards, b, claim_written(claim(a, b)))
    assert seen(a) == seen(b) == [ClaimSeen(a.peer, TAG, b.peer, 5, 1, 70)]


def test_a_mark_that_somebody_else_wrote_counts_as_none() -> None:
    boards = Boards(3)
    a, b, c = boards.peers
    write(boards, b, offer_written(offer(a)))
    write(boards, b, claim_written(claim(a, c)))
    assert seen(a) == seen(c) == []
    write(boards, a, offer_written(offer(a)))
    assert len(seen(c)) == 1, "its custodian has left it again"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (f"{OFFERS}nobody/{TAG}", {"skill": "a", "version": "1", "number": 1, "units": 1}),
        (f"{OFFERS}ME", {"skill": "a", "version": "1", "number": 1, "units": 1}),
        (f"{OFFERS}ME/{TAG}/more", {"skill": "a", "version": "1", "number": 1, "units": 1}),
        (f"{OFFERS}ME/{TAG}", {"skill": "a", "version": "1", "number": -1, "units": 1}),
        (f"{OFFERS}ME/{TAG}", {"skill": "a" * 200, "version": "1", "number": 1, "units": 1}),
        (f"{OFFERS}ME/{TAG}", "work"),
        (f"{CLAIMS}ME/{TAG}", {"number": 1, "places": 1}),
        (f"{CLAIMS}ME/{TAG}/ME", {"number": 1}),
        (f"{CLAIMS}ME/{TAG}/ME", {"number": 1, "places": 2**60}),
        ("default/offers", {"skill": "a", "version": "1", "number": 1, "units": 1}),
    ],
)
def test_what_is_no_mark_is_passed_over(key: str, value: object) -> None:
    boards = Boards(1)
    (a,) = boards.peers
    key = key.replace("ME", text_id(a.peer))
    write(boards, a, WriteBoard(1, (Edit(key, "put", encode(value)),)))
    assert seen(a) == []


def test_marks_are_read_whatever_the_clocks_say_and_told_when_they_are_gone() -> None:
    boards = Boards(2)
    a, b = boards.peers
    boards.now = boards.now._replace(wall_ns=boards.now.wall_ns - 10 * TTL_MS * 1_000_000)
    write(boards, a, offer_written(offer(a)))
    boards.now = boards.now._replace(wall_ns=boards.now.wall_ns + 100 * SECOND_NS)
    assert len(seen(b)) == 1
    key = f"{OFFERS}{text_id(a.peer)}/{TAG}"
    write(boards, a, WriteBoard(1, (Edit(key, "delete"),)))
    assert seen(b) == [OfferGone(a.peer, TAG)]


def test_where_too_much_changed_at_once_all_marks_are_looked_at() -> None:
    boards = Boards(2)
    a, b = boards.peers
    write(boards, a, offer_written(offer(a)))
    write(boards, a, claim_written(claim(a, a)))
    found = marks_seen(EntriesChanged((), 1, 10_000, is_partial=True), b.board)
    assert [type(each) for each in found] == [OfferSeen, ClaimSeen]


def test_offers_come_before_claims_of_the_same_step() -> None:
    boards = Boards(1)
    (a,) = boards.peers
    edits = (*claim_written(claim(a, a)).edits, *offer_written(offer(a)).edits)
    write(boards, a, WriteBoard(1, edits))
    assert [type(each) for each in seen(a)] == [OfferSeen, ClaimSeen]


def test_marks_are_frozen_for_neighbours_of_other_releases() -> None:
    boards = Boards(1)
    (a,) = boards.peers
    (edit,) = offer_written(offer(a)).edits
    assert msgspec.msgpack.decode(edit.value) == {
        "skill": "echo", "version": "1", "number": 5, "units": 2, "requires": ["gpu"],
        "avoid": [text_id(b"\1" * 32)],
    }  # fmt: skip
    (edit,) = claim_written(claim(a, a)).edits
    assert msgspec.msgpack.decode(edit.value) == {"number": 5, "places": 1, "load_ms": 70}
