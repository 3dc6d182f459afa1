"""Ballots of several peers: asked, answered, passed on, settled, given up, remembered."""

from typing import Any

import msgspec
import pytest

from protocols.errors import Refused
from protocols.voting import ballot_messages as messages
from protocols.voting.answers import decode_set, sign_answer
from protocols.voting.ballot_commands import (
    AnswerCast,
    BallotDecided,
    BallotEnded,
    BallotOpened,
    OpenBallot,
    VoterContradicted,
)
from protocols.voting.ballot_history import REMEMBERED_LIMIT
from protocols.voting.ballot_talk import EARLY_LIMIT
from protocols.voting.ballots import OPEN_LIMIT, PER_OPENER_LIMIT
from protocols.voting.normalising import normalised
from protocols.wire import encode
from tests.protocols.voting.chamber import Chamber
from tests.protocols.voting.hall import Hall, Seat, receive
from tests.protocols.voting.voters import at, choice


def settle(hall: Hall, seats: range | None = None) -> bytes:
    """What a Simplex instance would do: the first proposal is finalised everywhere."""
    ballot = hall.id
    payload = hall.seats[0].settling.instances[ballot].propose(1, b"", at(hall.seconds))
    assert payload is not None
    for index in seats or range(len(hall.electorate.electors)):
        hall.seats[index].ballots.settled(ballot, payload, b"", at(hall.seconds))
    hall.deliver()
    return payload


def test_every_elector_is_asked_and_hears_every_answer() -> None:
    hall = Hall(4)
    ballot = hall.open()
    assert [len(seat.jobs) for seat in hall.seats] == [1, 1, 1, 1]
    for voter in range(4):
        hall.cast(voter, "Yes.", 900_000)
    for seat in hall.seats:
        application = seat.settling.instances[ballot]
        assert application.missing() == []
        assert application.answered[2][0].confidence == 900
        assert seat.settling.ready[ballot]
        assert seat.blamed == []


def test_an_answer_is_on_disk_before_it_is_said() -> None:
    hall = Hall(4)
    hall.open()
    seat = hall.seats[1]
    seat.ballots.cast(_cast(hall.id, "yes"), at(0))
    kinds = [type(effect).__name__ for effect in seat.effects]
    assert kinds.index("Persist") < kinds.index("Send")
    assert seat.effects[kinds.index("Persist")].sync  # type: ignore[union-attr]


def _cast(ballot: bytes, said: object) -> Any:
    from protocols.voting.ballot_commands import CastAnswer

    return CastAnswer(ballot, encode(said))


def test_an_answer_that_reaches_one_elector_reaches_all() -> None:
    hall = Hall(4)
    ballot = hall.open()
    answer = sign_answer(hall.seats[3].keyring, 1, ballot, choice("no"))
    receive(hall.seats[1], hall.seats[3].peer, messages.Vote(ballot, 3, answer), 0)
    hall.deliver()
    assert all(3 in seat.settling.instances[ballot].answered for seat in hall.seats[:3])


def test_a_voter_answers_once_whatever_its_agents_say_later() -> None:
    hall = Hall(4)
    hall.open()
    hall.cast(1, "yes")
    hall.cast(1, "no")
    assert len(hall.seats[1].of(AnswerCast)) == 1
    assert hall.seats[1].blamed == []


def test_a_voter_without_an_answer_abstains_at_once_and_says_why() -> None:
    hall = Hall(4)
    hall.open()
    hall.cast(1, None)
    hall.cast(2, float("nan"))
    assert hall.seats[1].of(AnswerCast)[0].reason == "failed"
    assert "not finite" in hall.seats[2].of(AnswerCast)[0].reason
    assert hall.seats[0].settling.instances[hall.id].tally().counts == ()


def test_a_voter_that_has_no_answer_at_its_close_abstains() -> None:
    hall = Hall(4)
    ballot = hall.open()
    hall.at(9.9)
    assert not hall.seats[1].of(AnswerCast)
    hall.at(10)
    assert hall.seats[1].of(AnswerCast)[0].reason == "no answer before the close"
    assert all(seat.settling.ready[ballot] for seat in hall.seats)


def test_a_settled_ballot_is_told_to_who_asked_and_shown_to_who_is_behind() -> None:
    hall = Hall(4, guests=1)
    ballot = hall.open(by=4)
    for voter in range(4):
        hall.cast(voter, "yes")
    settle(hall, range(3))
    (decided,) = hall.seats[4].of(BallotDecided)
    assert (decided.requests, decided.ballot) == ((7,), ballot)
    assert not hall.seats[3].of(BallotDecided)
    hall.at(1.5)
    assert hall.seats[3].of(BallotDecided), "it said its answer again, and was shown the end"


def test_a_certificate_that_proves_nothing_is_blamed() -> None:
    hall = Hall(4, guests=1)
    ballot = hall.open(by=4)
    liar = hall.seats[2].peer
    receive(hall.seats[4], liar, messages.Decided(ballot, b"junk"), 0)
    hall.deliver()
    assert hall.seats[4].blamed == [(liar, "a certificate that does not verify")]
    assert not hall.seats[4].of(BallotDecided)


def test_two_answers_of_one_voter_are_evidence_and_both_are_passed_on() -> None:
    hall = Hall(4)
    ballot = hall.open()
    liar = hall.seats[3]
    for to, said in ((1, "yes"), (2, "no")):
        answer = sign_answer(liar.keyring, 1, ballot, choice(said))
        receive(hall.seats[to], liar.peer, messages.Vote(ballot, 3, answer), 0)
    hall.deliver()
    for seat in hall.seats[:3]:
        assert [event.voter for event in seat.of(VoterContradicted)] == [liar.peer]
        assert seat.blamed == [(liar.peer, "signed two answers to one ballot")]


def test_who_passes_on_a_forged_answer_is_blamed_itself() -> None:
    hall = Hall(4)
    ballot = hall.open()
    forged = sign_answer(hall.seats[2].keyring, 1, ballot, choice("no"))
    receive(hall.seats[0], hall.seats[2].peer, messages.Vote(ballot, 3, forged), 0)
    hall.deliver()
    assert [peer for peer, _ in hall.seats[0].blamed] == [hall.seats[2].peer]


def test_an_answer_before_its_question_is_kept_and_the_question_asked_for() -> None:
    hall = Hall(4)
    hall.seats[2].is_cut_off = True
    ballot = hall.open()
    hall.seats[2].is_cut_off = False
    assert ballot not in hall.seats[2].settling.instances
    hall.cast(1, "yes")
    assert hall.seats[2].settling.instances[ballot].answered.keys() == {1}


def test_answers_before_their_question_have_a_limit() -> None:
    hall = Hall(4)
    seat, link = hall.seats[0], hall.seats[1]
    answer = sign_answer(link.keyring, 1, b"x" * 32, choice("no"))
    for number in range(EARLY_LIMIT + 10):
        vote = messages.Vote(number.to_bytes(32, "big"), 1, answer)
        seat.ballots.on_vote(link.peer, vote, at(0))
    assert len(seat.ballots._talk._early) == EARLY_LIMIT  # noqa: SLF001


def test_a_question_that_its_opener_did_not_sign_is_blamed() -> None:
    hall = Hall(4)
    hall.open()
    (asked,) = {
        id(send.message): send.message
        for _, send in hall.sent
        if isinstance(send.message, messages.Question)
    }.values()
    seat = Seat(1, hall.electorate)
    bent = [
        msgspec.structs.replace(asked, question=b"\x80"),
        msgspec.structs.replace(asked, options=(normalised("a"), normalised("b"))),
        msgspec.structs.replace(asked, signature=b"s" * 64),
        msgspec.structs.replace(asked, request=asked.request + b"\x00"),
    ]
    for message in bent:
        seat.ballots.on_question(hall.seats[3].peer, message, at(0))
    seat.take()
    assert len(seat.blamed) == len(bent)
    assert seat.jobs == []


def test_a_question_of_another_epoch_is_not_answered() -> None:
    hall = Hall(4)
    hall.seats[2].electorate = hall.electorate._replace(epoch=2)
    hall.open()
    assert [len(seat.jobs) for seat in hall.seats] == [1, 1, 0, 1]


def test_a_dead_elector_is_not_waited_for() -> None:
    hall = Hall(4)
    ballot = hall.open()
    for voter in range(3):
        hall.cast(voter, "yes")
    assert not hall.seats[0].settling.ready[ballot]
    hall.down(3)
    assert hall.seats[0].settling.ready[ballot]


def test_without_a_quorum_nothing_is_asked() -> None:
    hall = Hall(4)
    hall.down(3)
    hall.down(2)
    with pytest.raises(Refused, match="2 of 4 electors are alive, and 3 are needed"):
        hall.open()


def test_a_quorum_that_cannot_be_reached_any_more_ends_the_waiting_at_once() -> None:
    hall = Hall(4)
    hall.open()
    hall.cast(0, "yes")
    hall.down(2)
    assert not hall.seats[0].of(BallotEnded)
    hall.down(3)
    (ended,) = hall.seats[0].of(BallotEnded)
    assert ended.requests == (7,)
    assert "electors are dead" in ended.reason


def test_a_ballot_ends_at_its_deadline_and_is_answered_no_more() -> None:
    hall = Hall(4)
    ballot = hall.open(deadline_ms=20_000)
    hall.at(20)
    (ended,) = hall.seats[0].of(BallotEnded)
    assert "deadline" in ended.reason
    assert all(ballot not in seat.settling.instances for seat in hall.seats)
    asked = next(s.message for _, s in hall.sent if isinstance(s.message, messages.Question))
    jobs = len(hall.seats[1].jobs)
    receive(hall.seats[1], hall.seats[0].peer, asked, 21)
    hall.deliver()
    assert len(hall.seats[1].jobs) == jobs


def test_what_is_unanswered_is_said_again() -> None:
    hall = Hall(4)
    hall.seats[3].is_cut_off = True
    ballot = hall.open()
    hall.cast(1, "yes")
    hall.seats[3].is_cut_off = False
    hall.at(1.1)
    assert hall.seats[3].settling.instances[ballot].answered.keys() == {1}
    assert len(hall.seats[3].jobs) == 1


# Limits and refusals.


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "plurality"},
        {"rule": "median"},
        {"folding": "loud"},
        {"options": ("yes",)},
        {"options": ("yes", "Yes!")},
        {"voters": 5},
        {"close_ms": 0},
        {"deadline_ms": 5},
        {"skill": ""},
        {"skill": "x" * 200},
    ],
)
def test_a_ballot_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    hall = Hall(4)
    with pytest.raises(Refused, match="InvalidBallot"):
        hall.open(**changes)
    assert hall.seats[0].take() == []


def test_an_opener_has_so_many_ballots_open_and_no_more() -> None:
    hall = Hall(1)
    ballots = hall.seats[0].ballots
    command = OpenBallot(1, "review", "1", b"\x80")
    for _ in range(PER_OPENER_LIMIT):
        ballots.open(command, at(0))
    with pytest.raises(Refused, match="Busy"):
        ballots.open(command, at(0))
    hall.seats[0].take()
    assert PER_OPENER_LIMIT < OPEN_LIMIT


def test_a_forgotten_ballot_is_not_answered_again() -> None:
    hall = Hall(1)
    seat = hall.seats[0]
    for number in range(REMEMBERED_LIMIT + 1):
        command = OpenBallot(number, "review", "1", b"\x80", close_ms=1, deadline_ms=1)
        seat.ballots.open(command, at(number))
        seat.ballots.wake(at(number + 0.5))
    seat.take()
    first = next(record for record in seat.records if isinstance(record, messages.BallotRecord))
    jobs = len(seat.jobs)
    seat.ballots.on_question(seat.peer, first.asked, at(9999))
    seat.take()
    assert len(seat.jobs) == jobs
    again = Seat(0, hall.electorate, boot=2)
    again.ballots.restore(list(seat.ballots.snapshot()), at(0))
    again.ballots.on_question(seat.peer, first.asked, at(9999))
    again.take()
    assert again.jobs == [], "nor after a restart"


# Restart.


@pytest.mark.parametrize("compacted", [False, True])
def test_a_restarted_elector_says_what_it_said_and_asks_what_it_had_not_answered(
    compacted: bool,
) -> None:
    hall = Hall(4)
    ballot = hall.open()
    hall.cast(1, "yes")
    for index, asks in ((1, 0), (2, 1)):
        old = hall.seats[index]
        records = list(old.ballots.snapshot()) if compacted else old.records
        new = Seat(index, hall.electorate, boot=2)
        new.ballots.restore(records, at(3))
        new.take()
        assert len(new.jobs) == asks
        known = new.settling.instances[ballot]
        assert known.closes == old.settling.instances[ballot].closes
        new.ballots.cast(_cast(ballot, "no"), at(3))
        new.ballots.wake(at(3.5))
        new.take()
        answers = new.settling.instances[ballot].answered[index]
        assert [answer.choice for answer in answers] == [choice("yes" if index == 1 else "no")]


def test_a_restarted_elector_remembers_what_was_settled() -> None:
    hall = Hall(4)
    ballot = hall.open()
    for voter in range(4):
        hall.cast(voter, "yes")
    payload = settle(hall)
    assert decode_set(payload) is not None
    new = Seat(1, hall.electorate, boot=2)
    new.ballots.restore(hall.seats[1].records, at(3))
    new.ballots.on_want(hall.seats[2].peer, messages.Want(ballot), at(3))
    (send,) = new.take()
    assert send.message == messages.Decided(ballot, payload)
    assert new.jobs == []


def test_an_opened_ballot_is_told() -> None:
    hall = Hall(4)
    ballot = hall.open()
    (opened,) = hall.seats[0].of(BallotOpened)
    assert (opened.request, opened.ballot, opened.rule) == (7, ballot, "majority")


def test_who_asks_and_is_no_elector_rests_until_it_asks_again() -> None:
    chamber = Chamber(4, guests=1)
    guest = chamber.electors[4]
    for elector in chamber.electors[:4]:
        elector.is_dead = True
    chamber.open(by=4, close_ms=1_000)
    later = at(5)
    guest.machine.wake(later)
    due = guest.machine.deadline()
    assert due is not None
    assert due > later.monotonic_ns, "its close is over, and not its business"
