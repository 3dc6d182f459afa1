"""Electorates follow each other: the root signs, the log settles, and everybody hears of it."""

import pytest

from protocols.effects import Blame, Emit, Persist, Send
from protocols.errors import Refused
from protocols.identity import Ed25519Keyring
from protocols.machine import SECOND_NS
from protocols.voting.ballot_commands import (
    AdoptElectorate,
    ElectorateChanged,
    ElectorateHeard,
    ElectorUp,
    ProposeElectorate,
)
from protocols.voting.ballot_messages import RollShown
from protocols.voting.balloting import Balloting, ElectorateRecord
from protocols.voting.log_commands import ElectorateSettled, FollowElectorate
from protocols.voting.roll import Root, make_recovery
from tests.protocols.voting.chamber import MESH, Chamber, bundle, signer
from tests.protocols.voting.office import Office, bundle_of, get, put

NOW = Chamber(1).now
UNSIGNED = bundle(5, 2)[:-1] + bytes([bundle(5, 2)[-1] ^ 1])


def machine(index: int, n: int = 4) -> Balloting:
    """One that knows n electors and sees all of them, and one more peer."""
    made = Balloting(signer(index), MESH, 1)
    made.submit(AdoptElectorate(bundle(n)), NOW)
    for other in range(n + 1):
        if other != index:
            made.submit(ElectorUp(signer(other).peer), NOW)
    return made


def epoch(made: Balloting) -> int:
    assert made.electorate is not None
    return made.electorate.epoch


def test_an_elector_that_is_shown_a_later_list_waits_for_its_log() -> None:
    made = machine(0)
    effects = made.receive(signer(1).peer, signer(1).peer, RollShown(bundle(5, 2)), NOW)
    assert effects == (Emit(ElectorateHeard(bundle(5, 2))),)
    assert epoch(made) == 1
    effects = made.submit(AdoptElectorate(bundle(5, 2)), NOW)
    assert epoch(made) == 2
    assert Persist(ElectorateRecord(bundle(5, 2)), sync=True) in effects
    assert any(isinstance(each, Emit) and each.event == ElectorateChanged(
        2, tuple(signer(place).peer for place in range(5))) for each in effects)  # fmt: skip


def test_a_peer_that_is_no_elector_takes_the_word_of_the_root() -> None:
    made = Balloting(signer(4), MESH, 1)
    made.submit(AdoptElectorate(bundle(4)), NOW)
    effects = made.receive(signer(1).peer, signer(1).peer, RollShown(bundle(5, 2)), NOW)
    assert epoch(made) == 2
    assert Emit(ElectorateHeard(bundle(5, 2))) in effects, "its log has to get there"


def test_an_older_list_or_the_same_again_changes_nothing() -> None:
    made = machine(0)
    made.submit(AdoptElectorate(bundle(5, 3)), NOW)
    for known in (bundle(5, 3), bundle(4, 2), bundle(3, 3)):
        assert made.receive(signer(1).peer, signer(1).peer, RollShown(known), NOW) == ()
        assert made.submit(AdoptElectorate(known), NOW) == ()


def test_a_list_that_the_root_did_not_sign_is_blamed_on_whoever_shows_it() -> None:
    made = machine(0)
    (effect,) = made.receive(signer(1).peer, signer(1).peer, RollShown(UNSIGNED), NOW)
    assert isinstance(effect, Blame)
    assert effect.peer == signer(1).peer
    for command in (ProposeElectorate(UNSIGNED), AdoptElectorate(UNSIGNED)):
        with pytest.raises(Refused, match="NoElectorate"):
            made.submit(command, NOW)
    assert epoch(made) == 1


@pytest.mark.parametrize("index", [0, 4])
def test_a_later_list_is_proposed_to_all_electors(index: int) -> None:
    made = machine(index)
    effects = made.submit(ProposeElectorate(bundle(5, 2)), NOW)
    told = {each.to for each in effects if isinstance(each, Send)}
    assert told == {signer(place).peer for place in range(4) if place != index}
    assert (Emit(ElectorateHeard(bundle(5, 2))) in effects) == (index < 4)
    assert epoch(made) == 1, "it is proposed, and not settled"


def test_a_list_of_an_epoch_that_has_begun_is_not_proposed() -> None:
    made = machine(0)
    made.submit(AdoptElectorate(bundle(5, 2)), NOW)
    with pytest.raises(Refused, match="StaleElectorate"):
        made.submit(ProposeElectorate(bundle(3, 2)), NOW)
    with pytest.raises(Refused, match="NoElectorate"):
        Balloting(signer(0), MESH, 1).submit(ProposeElectorate(bundle(3, 2)), NOW)


def test_of_those_that_decided_before_one_honest_elector_at_least_tells_everybody() -> None:
    telling = []
    for index in range(4):
        effects = machine(index).submit(AdoptElectorate(bundle(5, 2)), NOW)
        told = {each.to for each in effects if isinstance(each, Send)}
        if told:
            assert told == {signer(place).peer for place in range(5) if place != index}
            telling.append(index)
    assert len(telling) == 2, "f + 1"


def test_what_the_log_settles_is_told_once_and_survives_a_restart() -> None:
    office = Office(4, guests=1)
    later = bundle_of([0, 1, 2, 3, 4], epoch=2)
    for clerk in office.clerks[:4]:
        clerk.do(clerk.machine.submit, FollowElectorate(later))
    office.run(5)
    for clerk in office.clerks[:4]:
        told = [each for each in clerk.events if isinstance(each, ElectorateSettled)]
        assert told == [ElectorateSettled(later)]
        clerk.restart()
        assert clerk.machine.electorate is not None
        assert clerk.machine.electorate.epoch == 2


@pytest.mark.parametrize("heights", [3, 40, 200])
def test_a_newcomer_that_hears_of_it_catches_up_by_itself(heights: int) -> None:
    office = Office(4, guests=1)
    for height in range(heights):
        office.clerks[0].put(height + 1, put("a", str(height).encode()))
        office.run(1)
    later = bundle_of([0, 1, 2, 3, 4], epoch=2)
    for clerk in office.clerks[:4]:
        clerk.do(clerk.machine.submit, FollowElectorate(later))
    office.run(5)
    office.n = 5
    newcomer = office.clerks[4]
    newcomer.do(newcomer.machine.submit, FollowElectorate(later))
    office.run(5)
    newcomer.put(9_999, get("a"))
    office.run(8)
    (read,) = newcomer.done[9_999].results
    assert read.values[0][1] == str(heights - 1).encode()


@pytest.mark.parametrize("places", [5, 3])
def test_a_ballot_that_is_open_while_its_electors_change_is_proven_by_its_own(
    places: int,
) -> None:
    chamber = Chamber(4, guests=1)
    for elector in chamber.electors:
        elector.delay_ns = SECOND_NS
    chamber.open(4)
    chamber.run(0.5)
    for elector in chamber.electors:
        assert not elector.decided
        chamber.submit(elector, AdoptElectorate(bundle(places, 2)))
        chamber.submit(elector, AdoptElectorate(bundle(4, 3)))
    chamber.run(60)
    for elector in chamber.electors:
        (decided,) = elector.decided
        assert elector.machine.read(decided.certificate).request.epoch == 1
        assert elector.blamed == []


def test_a_ballot_that_its_electors_left_behind_ends_soon_and_says_why() -> None:
    chamber = Chamber(4)
    chamber.open(0, close_ms=1_000, deadline_ms=3_600_000)
    chamber.kill(1, is_known=False)
    chamber.kill(2, is_known=False)
    chamber.run(10)
    for elector in (chamber.electors[0], chamber.electors[3]):
        chamber.submit(elector, AdoptElectorate(bundle(5, 2)))
    chamber.run(29)
    assert not chamber.electors[0].ended
    chamber.run(2)
    (ended,) = chamber.electors[0].ended
    assert "others are electors now" in ended.reason


def test_a_ballot_whose_electors_are_lost_ends_as_soon_as_others_take_over() -> None:
    chamber = Chamber(4)
    chamber.open(0, close_ms=60_000)
    chamber.run(0.001)
    root = Root(MESH, Ed25519Keyring(b"\x07" * 32, MESH))
    recovery = make_recovery(root, 17, (signer(0).peer,), 0, bytes(32))
    chamber.submit(chamber.electors[0], AdoptElectorate(recovery))
    chamber.run(0.001)
    (ended,) = chamber.electors[0].ended
    assert "ask again" in ended.reason
