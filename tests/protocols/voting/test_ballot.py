"""One elector's judgement: what it proposes, and which sets it would settle."""

import pytest

from protocols.voting.answers import Answered, SignedAnswer, decode_set, encode_set, sign_answer
from protocols.voting.ballot import CONTRADICTED, KNOWN, NEW, WRONG
from tests.protocols.voting.voters import Booth, at, choice, keyrings

ALL_YES: dict[int, object] = dict.fromkeys(range(4), "yes")


def heard(n: int = 4, voters: int = 4, rule: str = "majority") -> Booth:
    booth = Booth(n, rule)
    for voter in range(voters):
        assert booth.hear(voter, "yes", 1.0) == NEW
    return booth


# Answers.


def test_a_first_answer_stands_and_another_contradicts_it() -> None:
    booth = Booth(4)
    assert booth.hear(1, "yes") == NEW
    assert booth.hear(1, "yes") == KNOWN
    assert booth.hear(1, "no") == CONTRADICTED
    assert booth.hear(1, "maybe") == KNOWN, "two suffice as evidence"
    assert len(booth.ballot.answered[1]) == 2
    assert booth.ballot.answered[1][0].choice == choice("yes")
    booth.ballot.check()


def test_a_contradicted_voter_has_answered_and_counts_for_nothing() -> None:
    booth = heard()
    booth.hear(3, "no")
    tally = booth.ballot.tally()
    assert (tally.answered, dict(tally.counts)) == (4, {choice("yes"): 3})


def test_confidence_is_part_of_what_is_signed_and_weighs_nothing() -> None:
    booth = Booth(4)
    sure = booth.answer(1, "yes", 900)
    assert booth.ballot.hear(1, sure, at(0)) == NEW
    doubted = SignedAnswer(sure.choice, 100, sure.signature)
    assert booth.ballot.hear(2, doubted, at(0)) == WRONG
    booth.hear(2, "no")
    counts = booth.ballot.tally().counts
    assert dict(counts) == {choice("yes"): 1, choice("no"): 1}


@pytest.mark.parametrize("voter", [-1, 4, 31])
def test_who_is_no_voter_is_not_heard(voter: int) -> None:
    booth = Booth(4)
    assert booth.ballot.hear(voter, booth.answer(0, "yes"), at(0)) == WRONG


def test_an_answer_counts_in_its_own_ballot_and_epoch_only() -> None:
    booth, keyring = Booth(4), keyrings(4)[1]
    elsewhere = sign_answer(keyring, 1, b"x" * 32, choice("yes"))
    earlier = sign_answer(keyring, 0, booth.id, choice("yes"))
    another = booth.answer(2, "yes")
    for stranger in (elsewhere, earlier, another):
        assert booth.ballot.hear(1, stranger, at(0)) == WRONG
    assert booth.ballot.answered == {}


def test_a_choice_has_the_length_that_its_rule_wants() -> None:
    booth = Booth(4)
    assert booth.hear(1, 3.5) == WRONG
    assert Booth(4, "median").hear(1, 3.5) == NEW
    assert Booth(4, "median").hear(1, "yes") == WRONG


# Proposing.


def test_nothing_is_proposed_while_a_voter_may_still_answer() -> None:
    booth = heard(voters=3)
    assert booth.ballot.propose(1, b"", at(2)) is None


def test_all_answers_are_proposed_at_once() -> None:
    booth = heard()
    payload = booth.ballot.propose(1, b"", at(1))
    assert payload is not None
    answers = decode_set(payload)
    assert answers is not None
    assert [one.elector for one in answers] == [0, 1, 2, 3]


def test_the_dead_are_not_waited_for() -> None:
    booth = heard(voters=3)
    booth.down.add(3)
    assert booth.ballot.propose(1, b"", at(2)) is not None


def test_at_the_close_what_there_is_is_proposed_if_enough() -> None:
    assert heard(voters=3).ballot.propose(1, b"", at(10)) is not None
    assert heard(voters=2).ballot.propose(1, b"", at(10)) is None


def test_a_ballot_that_nothing_can_win_any_more_is_not_waited_for() -> None:
    booth = heard(n=7, voters=4, rule="unanimous")
    booth.hear(4, "no")
    assert booth.ballot.propose(1, b"", at(2)) is not None


def test_a_ballot_cannot_settle_once_too_many_are_dead() -> None:
    booth = heard(voters=1)
    booth.down |= {2}
    assert booth.ballot.can_settle()
    booth.down |= {3}
    assert not booth.ballot.can_settle()


# Accepting.


def test_a_full_set_is_accepted_before_the_close() -> None:
    booth = Booth(4)
    assert booth.accepts(booth.payload(ALL_YES), 0.5) is True


def test_too_few_answers_are_refused_even_after_the_close() -> None:
    booth = Booth(4)
    assert booth.accepts(booth.payload({0: "yes", 1: "yes"}), 60, nullified=9) is False


def test_a_set_without_a_live_voter_waits_for_the_close() -> None:
    booth = Booth(4)
    some = booth.payload({0: "yes", 1: "yes", 2: "yes"})
    assert booth.accepts(some, 2) is None
    assert booth.accepts(some, 10) is True


def test_a_set_without_a_dead_voter_is_accepted_at_once() -> None:
    booth = Booth(4)
    booth.down.add(3)
    assert booth.accepts(booth.payload({0: "yes", 1: "yes", 2: "yes"}), 2) is True


def test_a_set_that_omits_an_answer_known_in_time_is_refused() -> None:
    booth = Booth(4)
    booth.hear(3, "no", 5.0)
    some = booth.payload({0: "yes", 1: "yes", 2: "yes"})
    assert booth.accepts(some, 10) is False


def test_an_answer_heard_just_before_the_close_may_be_missing() -> None:
    booth = Booth(4)
    booth.hear(3, "no", 9.7)
    assert booth.accepts(booth.payload({0: "yes", 1: "yes", 2: "yes"}), 11) is True


def test_the_predicate_is_dropped_after_some_nullified_views() -> None:
    booth = Booth(4)
    booth.hear(3, "no", 5.0)
    some = booth.payload({0: "yes", 1: "yes", 2: "yes"})
    assert booth.accepts(some, 11, nullified=2) is False
    assert booth.accepts(some, 11, nullified=3) is True


def test_an_answer_of_a_voter_that_died_since_may_not_be_omitted() -> None:
    booth = Booth(4)
    booth.hear(3, "no", 1.0)
    booth.down.add(3)
    some = booth.payload({0: "yes", 1: "yes", 2: "yes"})
    assert booth.accepts(some, 5.0) is False


def test_a_second_answer_may_not_replace_the_first() -> None:
    booth = Booth(4)
    booth.hear(3, "no", 1.0)
    assert booth.accepts(booth.payload(ALL_YES), 5.0) is False
    assert booth.accepts(booth.payload(ALL_YES), 1.1) is True, "heard at about the same time"


def test_two_answers_that_contradict_each_other_satisfy_what_was_heard() -> None:
    booth = Booth(4)
    booth.hear(3, "no", 1.0)
    both = tuple(sorted((booth.answer(3, "perhaps"), booth.answer(3, "yes"))))
    entries = [Answered(v, (booth.answer(v, "yes"),)) for v in range(3)]
    assert booth.accepts(encode_set([*entries, Answered(3, both)]), 5.0) is True


def test_a_lost_ballot_needs_no_close() -> None:
    booth = Booth(7, "unanimous")
    said: dict[int, object] = {0: "no", **dict.fromkeys(range(1, 5), "yes")}
    assert booth.accepts(booth.payload(said), 1) is True
    assert Booth(7).accepts(booth.payload(said), 1) is False, "signed for another ballot"


def test_sets_that_are_not_in_their_one_form_are_refused() -> None:
    booth = Booth(4)
    entries = [Answered(v, (booth.answer(v, "yes"),)) for v in range(4)]
    good = encode_set(entries)
    one, other = sorted((booth.answer(3, "no"), booth.answer(3, "yes")))
    bent = [
        good + b"\x00",
        b"\xdc\x00\x04" + good[1:],
        encode_set(entries[::-1]),
        encode_set([*entries[:3], entries[2]]),
        encode_set([*entries[:3], Answered(3, (other, one))]),
        encode_set([*entries[:3], Answered(3, (one, one))]),
        encode_set([*entries[:3], Answered(3, ())]),
        encode_set([*entries[:3], Answered(4, (one,))]),
        b"",
        b"\xc0",
    ]
    assert booth.accepts(good, 1) is True
    for payload in bent:
        assert booth.accepts(payload, 60, nullified=9) is False


def test_hearing_a_set_tells_what_was_new() -> None:
    booth = heard(voters=2)
    answers = decode_set(booth.payload({**ALL_YES, 1: "no"}))
    assert answers is not None
    news = booth.ballot.hear_all(answers, at(2))
    assert [(voter, what) for voter, _, what in news] == [
        (1, CONTRADICTED),
        (2, NEW),
        (3, NEW),
    ]
