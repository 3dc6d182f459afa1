import msgspec
import pytest

from protocols.effects import Persist, Send
from protocols.errors import Refused, StorageCorrupt
from protocols.gossip.commands import Advertise, Contact, Join, Leave, SetLoad
from protocols.gossip.events import LoadChanged, MemberDown, MemberUp
from protocols.gossip.messages import (
    SKILLS_PER_PEER_LIMIT,
    Ack,
    Digest,
    MemberVersion,
    Nack,
    Ping,
    PingRequest,
    SkillAdvert,
)
from protocols.gossip.parameters import INCARNATION_LIMIT, MEMBERS_LIMIT, GossipParameters
from protocols.gossip.records import AcquaintanceLost, AcquaintanceMade, IncarnationsReserved
from protocols.wire import Signed
from tests.protocols.gossip.one import ME, One, blames, events, record, sent
from tests.protocols.gossip.support import peer_id

SKILL = SkillAdvert("echo", "1", bytes(16))


def test_a_new_member_is_up() -> None:
    one = One()
    effects = one.hear(1, record(1))
    assert [event.name for event in events(effects, MemberUp)] == ["peer-1"]
    assert one.gossip.alive() == (peer_id(1),)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, False),
        ({"skills": (SKILL,)}, True),
        ({"door": "tcp://elsewhere:1"}, True),
        ({"boot": 2}, True),
    ],
)
def test_a_live_member_is_up_again_only_when_its_description_changed(
    changes: dict[str, object], told: bool
) -> None:
    one = One(members=1)
    effects = one.hear(1, record(1, incarnation=2, **changes))
    assert bool(events(effects, MemberUp)) == told


@pytest.mark.parametrize("incarnation", [1, 4])
def test_an_old_record_changes_nothing(incarnation: int) -> None:
    one = One()
    one.hear(1, record(1, incarnation=5))
    assert one.hear(1, record(1, incarnation=incarnation, door="tcp://old:1")) == ()
    assert one.gossip.record_of(peer_id(1)) == record(1, incarnation=5)


def test_all_peers_settle_on_the_same_of_two_records_of_one_incarnation() -> None:
    first, second = record(1, boot=1), record(1, boot=2)
    orders = [(first, second), (second, first)]
    held = []
    for order in orders:
        one = One()
        for each in order:
            one.hear(1, each)
        held.append(one.gossip.record_of(peer_id(1)))
    assert held[0] == held[1]


def test_a_member_that_leaves_is_down_and_stays_so_at_that_incarnation() -> None:
    one = One(members=2)
    effects = one.hear(1, record(1, incarnation=2, leaving=True))
    assert [(e.peer, e.reason) for e in events(effects, MemberDown)] == [(peer_id(1), "left")]
    one.hear(1, record(1, incarnation=2), link=2)
    assert one.state(1) == "left"
    assert events(one.hear(1, record(1, incarnation=3)), MemberUp)
    assert one.state(1) == "alive"


def test_a_left_member_is_forgotten_in_time() -> None:
    one = One(members=2, parameters=GossipParameters(forget_after_ns=3_000_000_000))
    one.hear(1, record(1, incarnation=2, leaving=True))
    one.run(2)
    assert one.state(1) == "left"
    one.run(3)
    assert one.state(1) is None


def test_a_record_signed_by_another_is_blamed_on_its_relay() -> None:
    one = One(members=2)
    effects = one.hear(2, record(3), link=1)
    assert blames(effects) == [(peer_id(1), "gossip-record-of-another")]
    assert one.state(3) is None


@pytest.mark.parametrize("incarnation", [0, INCARNATION_LIMIT])
def test_an_incarnation_out_of_bounds_is_blamed_on_its_author(incarnation: int) -> None:
    one = One(members=2)
    effects = one.hear(1, record(1, incarnation=incarnation), link=2)
    assert blames(effects) == [(peer_id(1), "gossip-incarnation-out-of-bounds")]


@pytest.mark.slow
def test_members_are_bounded_and_the_lost_make_room() -> None:
    one = One()
    for number in range(1, MEMBERS_LIMIT + 1):
        one.hear(number, record(number))
    assert len(one.gossip.alive()) == MEMBERS_LIMIT
    one.hear(5000, record(5000))
    assert one.state(5000) is None
    one.hear(7, record(7, incarnation=2, leaving=True))
    one.hear(5000, record(5000))
    assert one.state(5000) == "alive"
    assert one.state(7) is None


# What a peer says of itself


def test_the_first_incarnation_is_reserved_on_disk_in_the_same_step() -> None:
    one = One()
    effects = one.submit(Advertise("peer-0", "tcp://peer:0", (SKILL,)))
    assert not [effect for effect in effects if isinstance(effect, Persist)]
    blocks = [r.last for r in one.gossip.snapshot() if isinstance(r, IncarnationsReserved)]
    assert blocks == [64]
    persisted: list[Persist] = []
    for number in range(64):
        effects = one.submit(Advertise(f"name-{number}", "tcp://peer:0", ()))
        persisted += [effect for effect in effects if isinstance(effect, Persist)]
    assert persisted == [Persist(IncarnationsReserved(128), sync=True)]


def test_a_restarted_peer_begins_above_the_block_on_its_disk() -> None:
    again = One(boot=2, disk=One().gossip.snapshot())
    assert again.incarnation == 65


def test_saying_the_same_again_says_nothing() -> None:
    one = One(members=1)
    before = one.incarnation
    one.submit(Advertise("peer-0", "tcp://peer:0", ()))
    assert one.incarnation == before


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (Advertise("x" * 129, "tcp://a:1", ()), "TooLarge"),
        (Advertise("x", "d" * 257, ()), "TooLarge"),
        (Advertise("x", "tcp://a:1", (SkillAdvert("s" * 129, "1", bytes(16)),)), "TooLarge"),
        (Advertise("x", "tcp://a:1", (SkillAdvert("s", "v" * 33, bytes(16)),)), "TooLarge"),
        (Advertise("x", "d", (SKILL,) * (SKILLS_PER_PEER_LIMIT + 1)), "TooLarge"),
        (
            Advertise("x", "d", (SkillAdvert("s" * 128, "1", bytes(16)),) * SKILLS_PER_PEER_LIMIT),
            "TooLarge",
        ),
    ],
)
def test_a_description_too_large_to_sign_is_refused(command: Advertise, kind: str) -> None:
    one = One()
    before = one.gossip.myself()
    with pytest.raises(Refused, match=kind):
        one.submit(command)
    assert one.gossip.myself() == before


def test_a_leaving_peer_says_goodbye_to_all_and_then_rests() -> None:
    one = One(members=3)
    effects = one.submit(Leave())
    assert any(not isinstance(effect, Send) for effect in effects)
    one.run(30)
    assert one.gossip.deadline() is None
    assert one.submit(Leave()) == ()
    with pytest.raises(Refused, match="Left"):
        one.submit(Join(()))
    assert sent(one.plain(1, Ping(9, 0)), Ack, to=1) == [Ack(9, 0, one.wall_ms)]


def test_a_join_waits_for_the_first_description() -> None:
    one = One(advertised=False)
    contact = Contact(peer_id(1), "tcp://peer:1", bytes(32))
    assert one.submit(Join((contact,))) == ()
    assert one.gossip.deadline() is None
    effects = one.submit(Advertise("peer-0", "tcp://peer:0", ()))
    assert len(sent(effects, Digest, to=1)) == 1
    assert len(sent(effects, Signed, to=1)) == 1


def test_a_contact_that_does_not_answer_is_tried_again_ever_more_slowly() -> None:
    one = One()
    contact = Contact(peer_id(1), "tcp://peer:1", bytes(32))
    one.submit(Join((contact,)))
    assert len(sent(one.run(4), Digest, to=1)) == 4
    assert len(sent(one.run(80), Digest, to=1)) in (10, 11)
    one.hear(1, record(1))
    assert len(sent(one.run(0.5), Digest, to=1)) == 0


def test_the_door_of_a_contact_is_known_before_it_is_a_member() -> None:
    one = One()
    one.submit(Join((Contact(peer_id(1), "tcp://peer:1", bytes(32)),)))
    known = one.gossip.contact(peer_id(1))
    assert known is not None
    assert (known.door, known.curve) == ("tcp://peer:1", bytes(32))
    assert one.gossip.contact(peer_id(2)) is None


# What is on disk


def test_members_are_remembered_on_disk_once_and_again_at_a_new_door() -> None:
    one = One()
    assert [type(e.record) for e in one.hear(1, record(1)) if isinstance(e, Persist)] == [
        AcquaintanceMade
    ]
    assert not [e for e in one.hear(1, record(1, 2)) if isinstance(e, Persist)]
    moved = one.hear(1, record(1, 3, door="tcp://moved:1"))
    assert len([e for e in moved if isinstance(e, Persist)]) == 1
    gone = one.hear(1, record(1, 4, leaving=True))
    assert [e.record for e in gone if isinstance(e, Persist)] == [AcquaintanceLost(peer_id(1))]


def test_a_foreign_record_on_disk_stops_the_peer() -> None:
    one = One()
    with pytest.raises(StorageCorrupt):
        one.gossip.restore([Ping(1, 1)], one.now)
    damaged = Signed("gossip.member", peer_id(1), b"\xc1", bytes(64))
    with pytest.raises(StorageCorrupt):
        one.gossip.restore([AcquaintanceMade(damaged)], one.now)


# Digests


def digest(*versions: tuple[int, int, int], reply_wanted: bool = True) -> Digest:
    members = tuple(MemberVersion(peer_id(n), i, s) for n, i, s in versions)
    return Digest(members, reply_wanted)


def subjects(messages: list[Signed]) -> list[bytes]:
    return sorted(message.author for message in messages)


@pytest.mark.parametrize(
    ("versions", "lacking"),
    [
        ((), [ME, 2, 3]),
        (((ME, 1, 0), (2, 5, 0), (3, 5, 0)), []),
        (((ME, 1, 0), (2, 4, 0), (3, 5, 0)), [2]),
        (((ME, 1, 0), (2, 6, 0), (3, 5, 2)), []),
    ],
)
def test_the_answer_to_a_digest_is_what_the_other_lacks(
    versions: tuple[tuple[int, int, int], ...], lacking: list[int]
) -> None:
    one = One()
    for number in (1, 2, 3):
        one.hear(number, record(number, incarnation=5))
    one.run(0.3)
    effects = one.plain(1, digest(*versions, (1, 5, 0)))
    assert subjects(sent(effects, Signed, to=1)) == sorted(peer_id(n) for n in lacking)
    assert len(sent(effects, Digest, to=1)) == 1


def test_digests_that_come_too_fast_are_not_answered() -> None:
    one = One(members=2)
    assert one.plain(1, digest())
    assert sent(one.plain(1, digest()), Digest, to=1) == []


def test_a_peer_that_is_said_to_be_dead_refutes() -> None:
    one = One(members=2)
    before = one.incarnation
    one.plain(1, digest((ME, before, 2)))
    assert one.incarnation == before + 1


# Small messages


def test_load_is_told_only_when_it_changed_notably() -> None:
    one = One(members=1)
    told = []
    for load in (10, 20, 60, 100, 115, 0):
        effects = one.plain(1, Ping(1, load))
        told += [event.load for event in events(effects, LoadChanged)]
    assert told == [10, 60, 115, 0]


def test_ones_own_load_travels_on_acks() -> None:
    one = One(members=1)
    one.submit(SetLoad(42))
    assert sent(one.plain(1, Ping(7, 0)), Ack, to=1) == [Ack(7, 42, one.wall_ms)]


def test_how_far_a_members_wall_clock_is_off_is_known_from_its_acks() -> None:
    one = One(members=2)
    one.plain(1, Ack(1, 0, one.wall_ms + 1_500))
    one.plain(2, Ack(1, 0))
    one.plain(3, Ack(1, 0, 77))
    assert [member.clock_ms for member in one.gossip.members()] == [1_500, None]
    one.plain(1, Ack(2, 0, one.wall_ms - 20))
    assert one.gossip.members()[0].clock_ms == -20


def test_a_stranger_gets_an_ack_and_is_asked_who_it_is() -> None:
    one = One()
    effects = one.plain(1, Ping(7, 0))
    assert len(sent(effects, Ack, to=1)) == 1
    assert len(sent(effects, Digest, to=1)) == 1


def test_a_helper_pings_and_passes_the_ack_on() -> None:
    one = One(members=2)
    effects = one.plain(1, PingRequest(77, peer_id(2)))
    nonce = sent(effects, Ping, to=2)[0].nonce
    assert sent(one.plain(1, Ack(nonce, 0)), Ack, to=1) == []
    assert sent(one.plain(2, Ack(nonce, 0)), Ack, to=1) == [Ack(77, 0, one.wall_ms)]


def test_a_helper_says_when_the_target_did_not_answer_it() -> None:
    one = One(members=2)
    one.plain(1, PingRequest(77, peer_id(2)))
    assert sent(one.run(0.41), Nack, to=1) == [Nack(77)]


def test_a_helper_that_does_not_know_the_target_says_so_at_once() -> None:
    one = One(members=1)
    assert sent(one.plain(1, PingRequest(77, peer_id(9))), Nack, to=1) == [Nack(77)]
    assert one.plain(5, PingRequest(77, peer_id(1))) == ()


def test_what_gossip_does_not_know_is_blamed_and_changes_nothing() -> None:
    class Odd(msgspec.Struct, frozen=True):
        pass

    one = One(members=1)
    assert blames(one.plain(1, Odd())) == [(peer_id(1), "gossip-unexpected-message")]
