"""A quorum is lost for good: others take over on the root's word, after a block that it names."""

import random

import pytest

from protocols.effects import Emit, Persist, Send
from protocols.errors import Refused
from protocols.voting.ballot_commands import ElectorateHeard, ElectorUp, ProposeElectorate
from protocols.voting.ballot_messages import RollShown
from protocols.voting.balloting import ElectorateRecord
from protocols.voting.blocks import Block, decode_block
from protocols.voting.log_commands import (
    ElectorateSettled,
    FollowElectorate,
    LogElectorUp,
    PutInOrder,
)
from protocols.voting.roll import RecoveryRoll, Root, make_recovery, open_bundle
from protocols.wire import encode
from tests.protocols.voting.chamber import MESH, signer
from tests.protocols.voting.office import (
    KEYRINGS,
    ROOT,
    Clerk,
    Office,
    bundle_of,
    get,
    put,
)
from tests.protocols.voting.test_electorate import NOW, epoch, machine


def recovery_of(places: list[int], by: Clerk, number: int = 17) -> bytes:
    """A list that takes over where somebody's log ends."""
    peers = tuple(KEYRINGS[place].peer for place in places)
    return make_recovery(ROOT, number, peers, by.machine.height, by.machine.head)


def filled(office: Office, heights: int, by: int = 0) -> None:
    first = office.clerks[by].machine.height
    for height in range(first, first + heights):
        office.clerks[by].put(10_000 + height, put("a", str(height).encode()))
        office.run(1)


def told(office: Office, places: list[int], bundle: bytes) -> None:
    for place in places:
        clerk = office.clerks[place]
        clerk.do(clerk.machine.submit, FollowElectorate(bundle))


def back(office: Office, place: int) -> None:
    office.clerks[place].is_up = True
    for clerk in office.clerks:
        if clerk.is_up:
            clerk.do(clerk.machine.submit, LogElectorUp(KEYRINGS[place].peer))


def value(office: Office, place: int) -> bytes | None:
    """What a linearisable read gives."""
    clerk = office.clerks[place]
    clerk.put(77_777 + len(clerk.done), get("a"))
    asked = 77_777 + len(clerk.done)
    office.run(10, lambda: asked in clerk.done)
    (read,) = clerk.done[asked].results
    assert isinstance(read.values[0][1], bytes | None)
    return read.values[0][1]


@pytest.mark.parametrize("heights", [0, 5, 70])
def test_the_survivors_go_on_where_the_log_ended_and_have_all_of_it(heights: int) -> None:
    office = Office(4)
    filled(office, heights)
    office.down(2)
    office.down(3)
    with pytest.raises(Refused, match="NoQuorum"):
        office.clerks[0].put(1, put("a", b"late"))
    told(office, [0, 1], recovery_of([0, 1], office.clerks[0]))
    assert value(office, 0) == (str(heights - 1).encode() if heights else None)
    office.clerks[1].put(2, put("a", b"after"))
    office.run(3)
    assert value(office, 0) == b"after"


def test_a_restarted_elector_that_is_told_the_same_list_keeps_what_it_has_signed() -> None:
    office = Office(4)
    filled(office, 2)
    office.passes = lambda sender, receiver: False
    clerk = office.clerks[0]
    while not clerk.machine.own_marks():
        clerk.put(5, put("a", b"x"))
        office.run(2)
    before = clerk.machine.own_marks()
    clerk.restart()
    told(office, [0], bundle_of([0, 1, 2, 3]))
    assert clerk.machine.own_marks() == before


def test_it_is_told_once_and_survives_restarts_whole_and_compacted() -> None:
    office = Office(4)
    filled(office, 5)
    office.down(2)
    office.down(3)
    recovery = recovery_of([0, 1], office.clerks[0])
    told(office, [0, 1, 0], recovery)
    for is_compacted in (False, True, False):
        for clerk in office.clerks[:2]:
            events = [each for each in clerk.events if isinstance(each, ElectorateSettled)]
            assert events == [ElectorateSettled(recovery)]
            clerk.restart(is_compacted)
        office.run(2)
        assert value(office, 1) == b"4"


def test_one_of_the_lost_that_comes_back_follows_and_decides_no_more() -> None:
    office = Office(4)
    filled(office, 5)
    office.down(2)
    office.down(3)
    told(office, [0, 1], recovery_of([0, 1], office.clerks[0]))
    back(office, 2)
    told(office, [2], recovery_of([0, 1], office.clerks[2]))
    with pytest.raises(Refused, match="NotAnElector"):
        office.clerks[2].put(1, put("a", b"x"))


def split(office: Office) -> None:
    """Elector 0 misses the last three of eight blocks; then 1 and 2 are lost."""
    filled(office, 5)
    office.passes = lambda sender, receiver: 0 not in (sender.place, receiver.place)
    filled(office, 3, by=3)
    office.passes = lambda sender, receiver: True
    office.under_way.clear()
    assert (office.clerks[0].machine.height, office.clerks[3].machine.height) == (5, 8)
    office.down(1)
    office.down(2)


def test_a_survivor_that_is_behind_catches_up_to_where_the_others_take_over() -> None:
    office = Office(4, guests=1)
    split(office)
    recovery = recovery_of([0, 3, 4], office.clerks[3])
    office.n = 5
    told(office, [0, 3, 4], recovery)
    office.run(10)
    assert value(office, 0) == b"7"
    assert value(office, 4) == b"7"
    office.same()


@pytest.mark.parametrize("is_compacted", [False, True])
def test_what_goes_beyond_the_block_is_forgotten_and_everybody_agrees_again(
    is_compacted: bool,
) -> None:
    office = Office(4, guests=1)
    split(office)
    recovery = recovery_of([0, 3, 4], office.clerks[0])
    office.blocks = {height: block for height, block in office.blocks.items() if height <= 5}
    office.n = 5
    told(office, [0, 3], recovery)
    assert office.clerks[3].machine.height == 0, "its own log is another one"
    office.clerks[3].restart(is_compacted)
    told(office, [4], recovery)
    office.run(15)
    assert value(office, 3) == b"4"
    office.clerks[3].restart(is_compacted)
    office.run(3)
    office.same()
    # So does one of the lost, should it come back; it decides no more.
    back(office, 1)
    told(office, [1], recovery)
    assert office.clerks[1].machine.height == 0


def test_after_it_the_electorate_changes_through_the_log_again() -> None:
    office = Office(4, guests=1)
    filled(office, 70)
    office.down(2)
    office.down(3)
    told(office, [0, 1], recovery_of([0, 1], office.clerks[0]))
    office.run(3)
    later = bundle_of([0, 1, 4], epoch=18)
    told(office, [0, 1, 4], later)
    office.n = 5
    office.run(10)
    assert value(office, 4) == b"69"
    assert office.clerks[4].machine.electorate is not None
    assert office.clerks[4].machine.electorate.epoch == 18
    back(office, 2)  # it has heard of neither: whoever settles heights shows it the blocks
    told(office, [2], later)
    assert office.clerks[2].machine.electorate is not None


def test_nobody_can_put_a_recovery_into_a_block() -> None:
    office = Office(4)
    filled(office, 3)
    clerk = office.clerks[1]
    recovery = recovery_of([1], clerk)
    block = decode_block(office.blocks[3])
    assert block is not None
    roll, wall_ms = clerk.machine.electorate, clerk.now().wall_ns // 1_000_000
    assert roll is not None
    for bundle, is_good in ((recovery, False), (bundle_of([1], epoch=17), True)):
        made = encode(Block(4, clerk.machine.head, block.time_ms + 1, b"", (), bundle))
        assert clerk.machine.accepts(1, made, b"", 0, clerk.now()) is is_good
    assert wall_ms > block.time_ms


def test_what_those_before_still_say_at_the_height_is_neither_heard_nor_blamed() -> None:
    office = Office(4)
    filled(office, 3)
    told(office, [0], recovery_of([0, 1], office.clerks[0]))
    office.clerks[3].put(1, put("a", b"of those before"))
    office.run(1)
    assert office.clerks[0].machine.height == 3
    assert office.clerks[0].blamed == []
    told(office, [1], recovery_of([0, 1], office.clerks[0]))
    office.run(5)
    assert all(clerk.blamed == [] for clerk in office.clerks)


@pytest.mark.parametrize("seed", range(4))
def test_in_storms_whoever_is_left_agrees(seed: int) -> None:
    draw = random.Random(seed)
    office = Office(7, guests=2)
    for number in range(40):
        office.passes = lambda sender, receiver: draw.random() < 0.8
        office.clerks[draw.randrange(7)].put(number, put("a", str(number).encode()))
        office.run(draw.random() * 2)
        if draw.random() < 0.2:
            office.clerks[draw.randrange(7)].restart(draw.random() < 0.5)
    lost = draw.sample(range(7), 4)
    for place in lost:
        office.down(place)
    left = [place for place in range(7) if place not in lost]
    best = max((office.clerks[place] for place in left), key=lambda each: each.machine.height)
    recovery = recovery_of([*left, 7, 8], best)
    ends = best.machine.height
    office.blocks = {height: block for height, block in office.blocks.items() if height <= ends}
    office.n = 9
    for place in draw.sample([*left, 7, 8], 5):
        told(office, [place], recovery)
        office.run(draw.random() * 2)
        office.clerks[place].restart(draw.random() < 0.5)
    office.passes = lambda sender, receiver: True
    office.run(30)
    office.clerks[7].put(5_000, put("a", b"after"))
    office.run(10)
    assert {value(office, place) for place in [*left, 7, 8]} == {b"after"}
    assert all(not office.clerks[place].blamed for place in [*left, 7, 8])


def ballots_of(n: int) -> bytes:
    peers = tuple(signer(index).peer for index in range(n))
    root = type(signer(0))(b"\x07" * 32, MESH)
    return make_recovery(Root(MESH, root), 17, peers, 0, bytes(32))


def test_ballots_follow_at_once_and_everybody_passes_it_on() -> None:
    recovery = ballots_of(2)
    for index in range(4):
        made = machine(index)
        effects = made.receive(signer(1).peer, signer(1).peer, RollShown(recovery), NOW)
        assert epoch(made) == 17
        assert Persist(ElectorateRecord(recovery), sync=True) in effects
        assert Emit(ElectorateHeard(recovery)) in effects
        shown = {each.to for each in effects if isinstance(each, Send)}
        assert shown == {signer(place).peer for place in range(5) if place != index}


def test_one_that_is_asked_for_it_takes_it_and_tells_the_log() -> None:
    for index in (0, 4):
        made = machine(index)
        effects = made.submit(ProposeElectorate(ballots_of(2)), NOW)
        assert epoch(made) == 17
        assert Emit(ElectorateHeard(ballots_of(2))) in effects
        with pytest.raises(Refused, match="StaleElectorate"):
            made.submit(ProposeElectorate(ballots_of(2)), NOW)


def test_whoever_comes_later_is_told_by_those_that_took_over() -> None:
    made = machine(0)
    made.submit(ProposeElectorate(ballots_of(2)), NOW)
    effects = made.submit(ElectorUp(signer(5).peer), NOW)
    assert Send(signer(5).peer, RollShown(ballots_of(2))) in effects


def test_a_recovery_proves_itself_and_no_bit_of_it_can_be_another() -> None:
    recovery = ballots_of(2)
    found = open_bundle(recovery, MESH, signer(0))
    assert isinstance(found, RecoveryRoll)
    assert (found.epoch, found.height, found.head) == (17, 0, bytes(32))
    for place in range(len(recovery)):
        bent = bytearray(recovery)
        bent[place] ^= 1
        assert open_bundle(bytes(bent), MESH, signer(0)) is None


def test_an_order_of_before_is_not_answered_twice() -> None:
    office = Office(4)
    filled(office, 3)
    office.passes = lambda sender, receiver: False
    clerk = office.clerks[0]
    clerk.do(clerk.machine.submit, PutInOrder(1, (put("a", b"under way"),)))
    office.run(2)
    office.passes = lambda sender, receiver: True
    office.under_way.clear()
    office.down(2)
    office.down(3)
    told(office, [0, 1], recovery_of([0, 1], clerk))
    office.run(5)
    assert clerk.done[1].results[0].is_done, "it is settled by those of now"
    assert value(office, 1) == b"under way"
