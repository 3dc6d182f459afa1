"""Electors that are started again, on the disk that they had and on older copies of it."""

import functools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.voting import ballot_commands as commands
from protocols.voting.ballot_messages import BallotRecord, Vote
from protocols.voting.ballot_return import BARS_LIMIT
from protocols.voting.requests import ballot_id
from protocols.voting.settlement_messages import MarkSaid, Proposal
from protocols.voting.standing_messages import BarRecord, Enquiry, Seen, SeenMark
from protocols.wire import encode
from tests.protocols.voting.chamber import Chamber, Elector, bundle_of, signer

SIGNED = (Vote, MarkSaid, Proposal)


def heal(chamber: Chamber) -> None:
    for elector in chamber.electors:
        elector.lies = None


def sent_by(chamber: Chamber, index: int) -> list[Any]:
    """What an elector sends from now on."""
    sent: list[Any] = []

    def note(to: bytes, message: msgspec.Struct) -> list[msgspec.Struct]:
        sent.append(message)
        return [message]

    chamber.electors[index].lies = note
    return sent


def is_waiting(chamber: Chamber, index: int) -> bool:
    return chamber.electors[index].machine.standing[0]


def opened(chamber: Chamber) -> bytes:
    """The ballot that everybody has been asked in."""
    records = (each for elector in chamber.electors for each in elector.records)
    return ballot_id(next(r.asked.request for r in records if isinstance(r, BallotRecord)))


def cast(chamber: Chamber, index: int, said: str) -> None:
    answer = commands.CastAnswer(opened(chamber), encode(said))
    chamber.submit(chamber.electors[index], answer)


def in_the_middle(n: int = 4) -> tuple[Chamber, list[msgspec.Struct]]:
    """All but the last two have answered; and a copy of the second's disk from before that."""
    chamber = Chamber(n)
    for elector in chamber.electors:
        elector.answer = Ellipsis
    chamber.open()
    chamber.run(0.1)
    copy = list(chamber.electors[1].records)
    for index in range(n - 2):
        cast(chamber, index, "yes")
    chamber.run(0.1)
    return chamber, copy


def test_an_elector_signs_nothing_before_a_quorum_has_told_what_it_has_seen_of_it() -> None:
    chamber, _ = in_the_middle()
    for index in (0, 2, 3):
        chamber.kill(index, is_known=False)
    new = chamber.restart(1)
    assert is_waiting(chamber, 1)
    new.signed.clear()
    chamber.run(60.0)
    assert not any(len(place) == 3 for place in new.signed), "it marks nothing, alone"
    assert chamber.by_peer[new.keyring.peer].machine.standing[0]


def test_it_goes_on_as_soon_as_a_quorum_has_told_whoever_else_is_dead() -> None:
    chamber, _ = in_the_middle()
    chamber.kill(3, is_known=False)
    chamber.restart(1)
    began = chamber.ticks
    chamber.run(0.021)
    assert not is_waiting(chamber, 1)
    assert chamber.ticks - began <= 3
    cast(chamber, 2, "yes")
    chamber.run(20.0)
    assert [len(elector.decided) for elector in chamber.electors] == [1, 1, 1, 0]
    assert not chamber.electors[1].of(commands.DiskFoundOld)


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("others_first", [True, False])
def test_an_older_copy_signs_nothing_anew_though_the_electors_have_changed(
    epoch: int, others_first: bool
) -> None:
    chamber, copy = in_the_middle()
    # In the first case its index is another one afterwards.
    later = bundle_of((1, 0, 2, 3) if epoch == 1 else (3, 1, 2, 0), 2)
    for elector in chamber.electors:
        chamber.submit(elector, commands.AdoptElectorate(later))
    if epoch == 2:
        chamber.open()
        chamber.run(0.1)
        newest = chamber.electors[0].of(commands.BallotOpened)[-1]
        for index in (0, 1):
            said = commands.CastAnswer(newest.ballot, encode("yes"))
            chamber.submit(chamber.electors[index], said)
        chamber.run(0.1)
    new = chamber.restart(1, copy=copy)
    assert new.machine.electorate is not None
    assert new.machine.electorate.epoch == 1
    new.answer = "no"
    if others_first:
        chamber.run(2.0)
    chamber.submit(new, commands.AdoptElectorate(later))
    chamber.run(90.0)
    assert all(not elector.blamed and not suspects(elector) for elector in chamber.electors)


def test_an_older_copy_asks_the_new_electors_too_when_they_take_over() -> None:
    chamber = Chamber(4, guests=3)
    for elector in chamber.electors:
        elector.answer = Ellipsis
    chamber.open()
    chamber.run(0.1)
    copy = list(chamber.electors[1].records)
    later = bundle_of((4, 1, 5, 6), 2)
    for index in (1, 4, 5, 6):
        chamber.submit(chamber.electors[index], commands.AdoptElectorate(later))
    chamber.open(4)
    chamber.run(0.1)
    ballot = chamber.electors[4].of(commands.BallotOpened)[-1].ballot
    chamber.submit(chamber.electors[1], commands.CastAnswer(ballot, encode("yes")))
    chamber.run(0.1)
    # The electors of before have not heard of the change, and readmit it.
    new = chamber.restart(1, copy=copy)
    chamber.run(0.5)
    assert not is_waiting(chamber, 1)
    new.answer = "no"
    chamber.submit(new, commands.AdoptElectorate(later))
    chamber.run(9.0)
    assert new.of(commands.DiskFoundOld)
    assert all(not suspects(elector) for elector in chamber.electors)


def suspects(elector: Elector) -> list[Any]:
    return elector.machine.suspects()


def test_an_elector_alone_waits_for_nobody() -> None:
    chamber = Chamber(1)
    chamber.open()
    chamber.run(1.0)
    chamber.restart(0)
    assert not is_waiting(chamber, 0)
    chamber.open()
    chamber.run(1.0)
    assert len(chamber.electors[0].decided) == 2


@pytest.mark.parametrize(("n", "dead"), [(4, 0), (4, 1), (3, 0), (2, 0), (7, 2)])
def test_all_that_start_again_at_once_go_on_at_once(n: int, dead: int) -> None:
    chamber, _ = in_the_middle(n)
    for index in range(n - dead, n):
        chamber.kill(index)
    for index in range(n - dead):
        chamber.restart(index)
    for index in range(n - dead, n):
        chamber.kill(index)
    chamber.run(1.1)
    assert not any(is_waiting(chamber, index) for index in range(n - dead))
    for index in range(n - dead):
        cast(chamber, index, "yes")
    chamber.run(20.0)
    assert all(elector.decided for elector in chamber.electors[: n - dead])
    assert not any(elector.of(commands.DiskFoundOld) for elector in chamber.electors)


@pytest.mark.parametrize("is_answer_known", [True, False])
def test_on_an_older_copy_it_leaves_the_ballots_of_before_to_the_others(
    is_answer_known: bool,
) -> None:
    chamber, copy = in_the_middle()
    new = chamber.restart(1, copy=copy if is_answer_known else copy[:1])
    sent = sent_by(chamber, 1)
    new.answer = "no"
    chamber.run(0.1)
    assert [event.where for event in new.of(commands.DiskFoundOld)] == ["ballots"]
    assert [event.bar for event in new.of(commands.ElectorReadmitted)] == [int(is_answer_known)]
    assert not is_waiting(chamber, 1)
    for index in (2, 3):
        cast(chamber, index, "yes")
    chamber.run(20.0)
    assert [len(elector.decided) for elector in chamber.electors] == [1, 1, 1, 1]
    assert not any(isinstance(message, MarkSaid | Proposal) for message in sent)
    answers = {m.answer.choice for m in sent if isinstance(m, Vote) and m.elector == 1}
    assert len(answers) <= 1, "what it says of itself is what it had said"

    for elector in chamber.electors:
        elector.answer = "yes"
    chamber.open(by=3)
    chamber.run(20.0)
    assert [len(elector.decided) for elector in chamber.electors] == [2, 2, 2, 2]
    assert any(isinstance(message, MarkSaid) for message in sent), "it signs in what is new"


def test_that_it_is_on_an_older_copy_outlasts_another_start() -> None:
    chamber, copy = in_the_middle()
    chamber.restart(1, copy=copy)
    chamber.run(0.021)
    assert chamber.electors[1].of(commands.ElectorReadmitted)
    sent: list[Any] = []
    for compacted in (False, True):
        again = chamber.restart(1, compacted=compacted)
        sent = sent_by(chamber, 1)
        again.answer = "no"
        chamber.run(1.1)
        assert not is_waiting(chamber, 1)
        assert not again.of(commands.DiskFoundOld), "it knows"
        assert again.machine.standing[2] == 1
    for index in (2, 3):
        cast(chamber, index, "yes")
    chamber.run(20.0)
    assert not any(isinstance(message, MarkSaid | Proposal) for message in sent)


def test_found_old_and_started_again_before_it_was_readmitted_it_is_still_barred() -> None:
    chamber, copy = in_the_middle()
    new = chamber.restart(1, copy=copy)
    for index in (2, 3):
        chamber.electors[index].lies = lambda to, message: []
    chamber.run(0.1)
    assert new.of(commands.DiskFoundOld)
    assert new.machine.standing[:2] == (True, True)
    again = chamber.restart(1)
    heal(chamber)
    chamber.run(1.1)
    assert again.of(commands.ElectorReadmitted)
    assert again.machine.standing == (False, False, 1)


def test_ballots_that_are_over_tell_of_an_older_copy_though_all_have_started_again() -> None:
    chamber = Chamber(4)
    chamber.open()
    chamber.run(1.0)
    copy = list(chamber.electors[1].records)
    chamber.open()
    chamber.run(1.0)
    for index in (0, 2, 3):
        chamber.restart(index, compacted=True)
    new = chamber.restart(1, copy=copy)
    chamber.run(1.1)
    assert [event.where for event in new.of(commands.DiskFoundOld)] == ["ballots"]
    assert not is_waiting(chamber, 1)
    # Somebody asks it anew what was settled long ago.
    old = next(r for r in reversed(chamber.electors[0].records) if isinstance(r, BallotRecord))
    sent = sent_by(chamber, 1)
    opener = chamber.electors[0].keyring.peer
    new.machine.receive(opener, opener, old.asked, chamber.now)
    chamber.run(0.1)
    assert not any(isinstance(message, SIGNED) for message in sent)


def test_what_it_said_before_it_was_left_is_no_news_however_often_it_is_shown() -> None:
    chamber = Chamber(4)
    for _ in range(3):
        chamber.open()
        chamber.run(1.0)
    new = chamber.restart(1)
    chamber.run(1.0)
    assert not new.of(commands.DiskFoundOld)
    assert not is_waiting(chamber, 1)


def test_nobody_can_make_up_what_another_has_said() -> None:
    chamber, _ = in_the_middle()

    def lies(to: bytes, message: msgspec.Struct) -> list[msgspec.Struct]:
        if not isinstance(message, Seen):
            return [message]
        bent = [
            msgspec.structs.replace(
                seen,
                answers=tuple(
                    msgspec.structs.replace(answer, choice=b"x" * 32) for answer in seen.answers
                ),
                marks=(SeenMark(9, "finalise", b"d" * 32, b"s" * 64),),
            )
            for seen in message.ballots
        ]
        return [msgspec.structs.replace(message, ballots=tuple(bent))]

    for index in (0, 2, 3):
        chamber.electors[index].lies = lies
    new = chamber.restart(1)
    chamber.run(0.1)
    assert not new.of(commands.DiskFoundOld)
    assert not is_waiting(chamber, 1)


def test_what_is_told_to_an_earlier_life_or_by_a_stranger_counts_for_nothing() -> None:
    chamber, _ = in_the_middle()
    for index in (0, 2, 3):
        chamber.kill(index)
    new = chamber.restart(1)
    for number in range(2):
        for sender in (0, 2, 3):
            peer = signer(sender).peer
            new.machine.receive(peer, peer, Seen(number, (), ()), chamber.now)
    assert is_waiting(chamber, 1)
    stranger, right = signer(9).peer, chamber.now.wall_ns
    for _ in range(5):
        new.machine.receive(stranger, stranger, Seen(right, (), ()), chamber.now)
    assert is_waiting(chamber, 1)
    assert not new.machine.receive(stranger, stranger, Enquiry(1), chamber.now)


def test_what_it_leaves_alone_has_a_limit_and_what_began_before_this_start_is_in_it() -> None:
    chamber, copy = in_the_middle()
    of_before = [BarRecord(number.to_bytes(32, "big"), 7) for number in range(BARS_LIMIT)]
    new = chamber.restart(1, copy=[*copy, *of_before])
    chamber.run(0.1)
    new.machine.check()
    assert new.of(commands.ElectorReadmitted)
    assert new.machine.standing == (False, False, 1)
    kept = [each for each in new.machine.snapshot() if isinstance(each, BarRecord)]
    assert len(kept) == BARS_LIMIT
    assert kept[-1].opener == chamber.electors[0].keyring.peer
    again = chamber.restart(1)
    chamber.run(1.1)
    assert [each for each in again.machine.snapshot() if isinstance(each, BarRecord)] == kept


def test_nobody_tells_twice() -> None:
    chamber, _ = in_the_middle()
    new = chamber.restart(1)
    number, liar = chamber.now.wall_ns, signer(3).peer
    for _ in range(3):
        new.machine.receive(liar, liar, Seen(number, (), ()), chamber.now)
    assert is_waiting(chamber, 1), "one is no quorum, however often it tells"


def test_an_enquiry_is_answered_so_often_and_no_oftener() -> None:
    chamber, _ = in_the_middle()
    machine, asks = chamber.electors[0].machine, chamber.electors[1].keyring.peer
    told = [machine.receive(asks, asks, Enquiry(n), chamber.now) for n in range(9)]
    assert sum(map(len, told)) == 1


def survives(seed: int, n: int) -> None:
    """One elector starts on older copies at any time, others on their own disks."""
    rng, chamber = random.Random(seed), Chamber(n)
    victim = rng.randrange(n)
    others = [index for index in range(n) if index != victim]
    copies = [list(chamber.electors[victim].records)]
    away: list[int] = []

    def passes(index: int, to: bytes, message: msgspec.Struct) -> list[msgspec.Struct]:
        return [] if {index, chamber.by_peer[to].index} & {*away} else [message]

    for index, elector in enumerate(chamber.electors):
        elector.lies = functools.partial(passes, index)
    for _ in range(rng.randrange(3, 9)):
        away[:] = [rng.choice(others)] if rng.random() < 0.3 else []
        for elector in chamber.electors:
            elector.answer = rng.choice(("yes", "yes", "no", None))
            elector.delay_ns = rng.randrange(100_000_000)
        if chamber.electors[victim].machine.bundle:
            chamber.open(by=rng.randrange(n), close_ms=2_000, deadline_ms=20_000)
        chamber.run(rng.choice((0.01, 0.02, 0.03, 0.05, 0.1, 3.0)))
        copies.append(list(chamber.electors[victim].records))
        what = rng.randrange(4)
        if what == 0:
            chamber.restart(victim, copy=rng.choice(copies))
        elif what == 1:
            chamber.restart(rng.choice(others), compacted=rng.random() < 0.5)
        chamber.run(rng.choice((0.01, 0.05, 1.5)))
    away.clear()
    chamber.run(60.0)
    assert not any(is_waiting(chamber, index) for index in range(n))
    before = [len(elector.decided) for elector in chamber.electors]
    chamber.open(by=others[0])
    chamber.run(30.0)
    assert all(len(chamber.electors[each].decided) > before[each] for each in others)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.sampled_from([4, 5, 6, 7]))
def test_no_elector_signs_against_itself_on_whatever_copies_it_is_started(
    seed: int, n: int
) -> None:
    survives(seed, n)
