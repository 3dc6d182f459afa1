"""Whole ballots: asked, answered, settled, certified; with the dead, the silent and liars."""

from collections.abc import Iterable

import msgspec
import pytest

from protocols.effects import Send
from protocols.quorum import tolerated
from protocols.voting import settlement_messages as settling
from protocols.voting.answers import sign_answer
from protocols.voting.ballot_commands import BallotOpened, ElectorUp
from protocols.voting.ballot_messages import RollShown, Vote
from protocols.voting.balloting import Balloting
from protocols.voting.normalising import normalised
from protocols.voting.settlements import Settlements
from tests.protocols.voting.chamber import MESH, TICK_NS, Chamber, Elector, signer
from tests.protocols.voting.voters import choice


def same(chamber: Chamber, count: int) -> tuple[str, bytes]:
    """What all have in common: status and choice, from as many certificates as there are."""
    found = chamber.decisions()
    assert len(found) == count
    assert len({decision.answers for decision in found}) == 1, "agreement"
    return found[0].tally.status, found[0].tally.choice


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_all_electors_come_to_one_decision_that_verifies(n: int) -> None:
    chamber = Chamber(n)
    chamber.open()
    chamber.run()
    assert same(chamber, n) == ("certified", choice("yes"))
    (decision,) = {d.ballot: d for d in chamber.decisions()}.values()
    assert decision.texts[choice("yes")] == normalised("yes")
    assert all(elector.blamed == [] for elector in chamber.electors)


@pytest.mark.parametrize("n", [4, 7, 10])
def test_a_ballot_takes_four_delays_after_the_last_vote(n: int) -> None:
    chamber = Chamber(n)
    chamber.open()
    last_follower(chamber).delay_ns = 50 * TICK_NS
    chamber.run()
    # The question arrives after one delay, and the last vote leaves 50 ticks later.
    assert [elector.decided_at for elector in chamber.electors] == [51 + 4] * n


@pytest.mark.parametrize("n", [4, 7])
def test_a_ballot_takes_three_delays_after_the_close_where_a_voter_is_silent(n: int) -> None:
    chamber = Chamber(n)
    chamber.open(close_ms=1_000)
    # Not the leader, whose silence costs a view besides.
    silent = last_follower(chamber)
    silent.answer, silent.lies = ..., lambda to, message: ()
    chamber.run(60)
    # The others first saw it one delay after its opener, so their own close is later by one.
    close = 1_000_000_000 / TICK_NS + 1
    others = [elector for elector in chamber.electors if elector is not silent]
    assert all(elector.decided_at <= close + 3 for elector in others)
    assert same(chamber, n) == ("certified", choice("yes"))


def last_follower(chamber: Chamber) -> Elector:
    """Who leads last, and is not elector 0, which opened the ballot."""
    machine = chamber.electors[0].machine
    (opened,) = chamber.electors[0].of(BallotOpened)
    assert machine.electorate is not None
    order = [index for index in machine.electorate.order(opened.ballot) if index]
    return chamber.electors[order[-1]]


@pytest.mark.parametrize("n", [4, 5, 7, 10])
def test_f_dead_electors_are_not_waited_for(n: int) -> None:
    chamber = Chamber(n)
    for index in range(tolerated(n)):
        chamber.kill(n - 1 - index)
    chamber.open()
    chamber.run(2)
    status, won = same(chamber, n - tolerated(n))
    assert (status, won) == ("certified", choice("yes"))


@pytest.mark.parametrize("n", [4, 7])
def test_f_silent_electors_cost_the_close_and_no_more(n: int) -> None:
    chamber = Chamber(n)
    for index in range(tolerated(n)):
        chamber.kill(n - 1 - index, is_known=False)
    chamber.open(close_ms=1_000)
    chamber.run(20)
    assert same(chamber, n - tolerated(n))[1] == choice("yes")


@pytest.mark.parametrize("n", [4, 5, 7])
def test_f_voters_that_answer_otherwise_are_dissent(n: int) -> None:
    chamber = Chamber(n)
    for index in range(tolerated(n)):
        chamber.electors[index].answer = "no"
    chamber.open()
    chamber.run()
    assert same(chamber, n) == ("certified", choice("yes"))


def test_a_voter_that_says_two_things_counts_for_nothing_and_is_found_out() -> None:
    chamber = Chamber(4)
    liar = chamber.electors[3]

    def twice(to: bytes, message: msgspec.Struct) -> Iterable[msgspec.Struct]:
        if isinstance(message, Vote) and message.elector == 3:
            yes = sign_answer(liar.keyring, 1, message.ballot, choice("no"))
            if to == chamber.electors[1].keyring.peer:
                return (msgspec.structs.replace(message, answer=yes, text=b""),)
        return (message,)

    liar.lies = twice
    chamber.open()
    chamber.run()
    assert same(chamber, 4)[1] == choice("yes")
    honest = chamber.electors[:3]
    assert any("two answers" in offence for e in honest for _, offence in e.blamed)
    assert all(peer == liar.keyring.peer for e in honest for peer, _ in e.blamed)


@pytest.mark.parametrize("silent", range(4))
def test_any_elector_that_settles_nothing_may_be_the_leader(silent: int) -> None:
    chamber = Chamber(4)
    mute = (settling.MarkSaid, settling.Proposal, settling.ProofShown)
    chamber.electors[silent].lies = lambda to, m: () if isinstance(m, mute) else (m,)
    chamber.open()
    chamber.run(30)
    assert same(chamber, 4) == ("certified", choice("yes"))


@pytest.mark.parametrize("liar", range(4))
def test_a_leader_that_leaves_out_a_dissenting_vote_is_not_followed(liar: int) -> None:
    chamber = Chamber(4)
    dissenter = (liar + 1) % 4
    chamber.electors[dissenter].answer = "no"
    dissenting = chamber.electors[dissenter].keyring.peer
    # The liar never hears the dissenter, or says so.
    machine = chamber.electors[liar].machine
    receive = machine.receive

    def deaf(link: bytes, author: bytes, message: msgspec.Struct, now: object) -> object:
        if isinstance(message, Vote) and message.elector == dissenter:
            return ()
        return receive(link, author, message, now)  # type: ignore[arg-type]

    machine.receive = deaf  # type: ignore[method-assign, assignment]
    chamber.open(close_ms=1_000)
    chamber.run(30)
    found = chamber.decisions()
    assert len(found) == 4
    for decision in found:
        assert dissenting == decision.electors[dissenter]
        assert dissenter in {answered.elector for answered in decision.answers}


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("after", range(1, 7))
def test_a_restart_in_the_middle_signs_nothing_against_itself(after: int, compacted: bool) -> None:
    chamber = Chamber(4)
    chamber.open()
    chamber.run(after * TICK_NS / 1_000_000_000)
    chamber.restart(1, compacted)
    chamber.electors[1].answer = "something else"
    chamber.run()
    assert same(chamber, 4) == ("certified", choice("yes"))
    assert all(elector.blamed == [] for elector in chamber.electors)


@pytest.mark.parametrize("after", range(1, 7))
def test_all_restarted_at_once_settle_all_the_same(after: int) -> None:
    chamber = Chamber(4)
    chamber.open()
    chamber.run(after * TICK_NS / 1_000_000_000)
    for index in range(4):
        chamber.restart(index)
    chamber.run()
    assert same(chamber, 4) == ("certified", choice("yes"))
    assert all(elector.blamed == [] for elector in chamber.electors)


def test_a_guest_that_asks_is_told() -> None:
    chamber = Chamber(4, guests=1)
    chamber.open(by=4)
    chamber.run()
    assert same(chamber, 5) == ("certified", choice("yes"))
    assert chamber.electors[4].decided[0].requests == (7,)


def test_a_peer_that_comes_later_learns_who_the_electors_are() -> None:
    chamber = Chamber(4, guests=1)
    guest = Balloting(signer(4), MESH, 1)
    for elector in chamber.electors[:4]:
        for effect in elector.machine.submit(ElectorUp(signer(4).peer), chamber.now):
            assert isinstance(effect, Send)
            assert effect.to == signer(4).peer
            peer = elector.keyring.peer
            guest.receive(peer, peer, effect.message, chamber.now)
    assert guest.electorate == chamber.electors[0].machine.electorate
    liar = chamber.electors[1].keyring.peer
    guest.receive(liar, liar, RollShown(b"no roll"), chamber.now)
    assert guest.bundle == chamber.electors[0].machine.bundle


def test_settlements_are_forgotten_with_their_ballots() -> None:
    chamber = Chamber(4)
    chamber.open()
    chamber.run()
    settlements: Settlements = chamber.electors[0].machine._settlements  # noqa: SLF001
    assert settlements.deadline() is None
    assert list(settlements.snapshot()) == []
