from collections.abc import Callable

import msgspec
import pytest
import trio

from mesh.core.commands import LinkOpened
from mesh.runtime import transport
from mesh.runtime.clock import SystemClock
from mesh.runtime.door import HELLOS_PER_KEY_LIMIT, Accepted, TurnedAway, decode_answer
from mesh.runtime.monitor import LinkEvent
from mesh.runtime.sockets import CurveKeys, new_curve_keys
from mesh.runtime.zap import GUESTS_LIMIT, TURNED_AWAY_LIMIT, TURNED_AWAY_NS, Guests
from protocols.credentials import CLOCK_TOLERANCE_S, Credential
from protocols.gossip.commands import Contact
from protocols.machine import SECOND_NS, Now
from protocols.trust import Revoked
from protocols.wire import Signed, encode_frame
from tests.runtime.strangers import bent, hello, knocker, stranger
from tests.runtime.transport_rig import Authority, Neighbour, eventually, pack

PEER = bytes([9]) * 32


def one(seed: int = 2, authority: Authority | None = None) -> Neighbour:
    return Neighbour(authority or Authority(), seed, dict[bytes, Contact]())


MAKE: dict[str, Callable[[Authority, CurveKeys], bytes]] = {
    "malformed: no credential": lambda own, keys: b"",
    "malformed: not a credential": lambda own, keys: b"\xc1garbage",
    "other-mesh": lambda own, keys: Authority(seed=50).chain(PEER, keys.public),
    "wrong-curve-key": lambda own, keys: own.chain(PEER, new_curve_keys().public),
    "bad-signature": lambda own, keys: bent(own.chain(PEER, keys.public)),
}


@pytest.mark.parametrize("reason", MAKE)
async def test_a_wrong_credential_is_refused_with_its_reason_and_no_more_is_heard(
    reason: str,
) -> None:
    anna, keys = one(), new_curve_keys()
    async with anna.up():
        async with knocker(keys, anna) as knocking:
            knocking.send(hello(MAKE[reason](anna.authority, keys)))
            answer = await knocking.answer()
            assert isinstance(answer, TurnedAway)
            assert f"{answer.kind}: {answer.reason}".startswith(reason)
            # Not even a good credential is looked at for a while.
            knocking.send(hello(anna.authority.chain(PEER, keys.public)))
            knocking.send(encode_frame(1, 1, (pack("let me in"),)))
            assert await knocking.is_left_unanswered()
            assert anna.transport.counters().door.ignored == 2
        async with stranger(keys, anna) as again:
            assert await again.handshake() is LinkEvent.DENIED
        async with stranger(keys, anna, anna.house) as at_the_house:
            assert await at_the_house.handshake() is LinkEvent.DENIED
        assert anna.core.heard == []


async def test_whose_credential_has_ended_is_refused_and_heard_again_at_once() -> None:
    """It knocks as long as it runs, and somebody may be about to have it readmitted."""
    anna, keys = one(), new_curve_keys()
    ended = hello(anna.authority.chain(PEER, keys.public, ends_in_s=-1000))
    async with anna.up(), knocker(keys, anna) as knocking:
        for _ in range(HELLOS_PER_KEY_LIMIT - 1):
            knocking.send(ended)
            answer = await knocking.answer()
            assert isinstance(answer, TurnedAway)
            assert answer.kind == "expired"
        async with stranger(keys, anna, anna.house) as at_the_house:
            assert await at_the_house.handshake() is LinkEvent.DENIED
        knocking.send(hello(anna.authority.chain(PEER, keys.public)))
        assert isinstance(await knocking.answer(), Accepted)
        knocking.send(ended)
        assert await knocking.is_left_unanswered(), "its rate is bounded as everybody's"


async def test_the_house_is_closed_to_who_did_not_come_through_the_door() -> None:
    anna, keys = one(), new_curve_keys()
    async with anna.up():
        async with stranger(keys, anna, anna.house) as burglar:
            assert await burglar.handshake() is LinkEvent.DENIED
        async with knocker(keys, anna) as guest:
            guest.send(hello(anna.authority.chain(PEER, keys.public)))
            answer = await guest.answer()
            assert isinstance(answer, Accepted)
            assert answer.house == anna.house
            assert anna.authority.verify(answer.credential).subject == anna.id
        async with stranger(keys, anna, anna.house) as inside:
            assert await inside.handshake() is LinkEvent.READY
            inside.send(encode_frame(1, 1, (pack("hello"),)))
            await anna.core.until(lambda: bool(anna.core.heard))
            assert anna.core.heard == [(PEER, pack("hello"))]


async def test_without_the_servers_key_nobody_even_reaches_the_door() -> None:
    anna = one()
    async with anna.up():
        bert = one(3)
        bert.door = anna.door  # and bert's key is not anna's
        async with stranger(new_curve_keys(), bert) as lost:
            assert await lost.handshake() is LinkEvent.LOST


async def test_releases_without_a_common_version_say_so() -> None:
    anna, keys = one(), new_curve_keys()
    async with anna.up(), knocker(keys, anna) as newer:
        newer.send(hello(anna.authority.chain(PEER, keys.public), oldest=2, newest=9))
        answer = await newer.answer()
        assert isinstance(answer, TurnedAway)
        assert answer.kind == "no-common-version"
        assert "2 to 9" in answer.reason


async def test_a_newer_release_that_knows_the_old_version_is_welcome() -> None:
    anna, keys = one(), new_curve_keys()
    async with anna.up(), knocker(keys, anna) as newer:
        newer.send(hello(anna.authority.chain(PEER, keys.public), oldest=1, newest=9))
        answer = await newer.answer()
        assert isinstance(answer, Accepted)
        assert answer.version == 1


async def test_a_revoked_peer_is_cut_off_and_stays_out() -> None:
    authority, contacts = Authority(), dict[bytes, Contact]()
    anna, bert = Neighbour(authority, 2, contacts), Neighbour(authority, 3, contacts)
    async with anna.up(), bert.up():
        anna.say(bert, pack(1))
        bert.say(anna, pack(1))
        await anna.core.until(lambda: bool(anna.core.heard))
        await bert.core.until(lambda: bool(bert.core.heard))
        anna.transport.revoke(bert.id)
        bert.say(anna, pack(2))
        anna.say(bert, pack(2))
        await eventually(lambda: anna.transport.counters().house.dropped == 1)
        assert anna.core.said_by(bert.id) == [pack(1)]
        await eventually(lambda: not anna.transport.links.up())
        async with knocker(bert.keys, anna) as knocking:
            knocking.send(hello(bert.credential))
            answer = await knocking.answer()
            assert isinstance(answer, TurnedAway)
            assert answer.kind == "revoked"
        assert bert.core.said_by(anna.id) == [pack(1)]


async def test_an_open_link_is_not_listened_to_while_its_credential_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "SWEEP_EVERY_S", 0.01)
    authority, contacts = Authority(), dict[bytes, Contact]()
    anna, bert = Neighbour(authority, 2, contacts), Neighbour(authority, 3, contacts)
    bert.credential = authority.chain(bert.id, bert.keys.public, ends_in_s=60)
    anna.clock = later = LaterClock()
    async with anna.up(), bert.up():
        bert.say(anna, pack(1))
        await anna.core.until(lambda: anna.core.said_by(bert.id) == [pack(1)])
        later.by_s = 60 + CLOCK_TOLERANCE_S + 1

        def is_deaf() -> bool:
            bert.say(anna, pack(2))
            return anna.transport.counters().house.dropped > 0

        await eventually(is_deaf)
        anna.transport.renewed(bert.id, authority.chain(bert.id, bert.keys.public))
        bert.say(anna, pack(3))
        await anna.core.until(lambda: pack(3) in anna.core.said_by(bert.id))
        assert anna.transport.counters().door.accepted == 1, "by the very link that was there"


async def test_whose_credential_had_ended_is_heard_again_once_it_hangs_up_with_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its link looks good to itself, and nobody listens at the other end."""
    monkeypatch.setattr(transport, "SWEEP_EVERY_S", 0.01)
    authority, contacts = Authority(), dict[bytes, Contact]()
    anna, bert = Neighbour(authority, 2, contacts), Neighbour(authority, 3, contacts)
    bert.credential = authority.chain(bert.id, bert.keys.public, ends_in_s=60)
    anna.clock = later = LaterClock()
    async with anna.up(), bert.up():
        bert.say(anna, pack(1))
        await anna.core.until(lambda: anna.core.said_by(bert.id) == [pack(1)])
        later.by_s = 60 + CLOCK_TOLERANCE_S + 1

        def is_deaf() -> bool:
            bert.say(anna, pack(2))
            return anna.transport.counters().house.dropped > 0

        await eventually(is_deaf)
        bert.credential = authority.chain(bert.id, bert.keys.public)
        bert.transport.hang_up()
        bert.say(anna, pack(3))
        await anna.core.until(lambda: pack(3) in anna.core.said_by(bert.id))
        assert anna.transport.counters().door.accepted == 2


@pytest.mark.parametrize("first", ["the one", "the other"])
async def test_links_of_a_credential_whose_issuer_is_revoked_are_opened_anew(first: str) -> None:
    """Its holder has a newer one already, and the other end has not heard of that."""
    authority, contacts = Authority(), dict[bytes, Contact]()
    anna, bert = Neighbour(authority, 2, contacts), Neighbour(authority, 3, contacts)
    old = bert.credential = authority.chain(bert.id, bert.keys.public)
    verify = anna.verify

    def refuse_old(encoded: bytes) -> Credential:
        if encoded == old:
            raise Revoked("issuer-revoked", "its issuer was revoked", statement)
        return verify(encoded)

    statement = Signed("gossip.revocation", bytes(32), b"said", bytes(64))
    async with anna.up(), bert.up():
        bert.say(anna, pack(1))
        await anna.core.until(lambda: anna.core.said_by(bert.id) == [pack(1)])
        bert.credential = authority.chain(bert.id, bert.keys.public, ends_in_s=600)
        anna.verify = bert.verify = refuse_old
        both = [anna, bert] if first == "the one" else [bert, anna]
        for each in both:
            each.transport.reconsider()
        bert.say(anna, pack(2))
        await anna.core.until(lambda: pack(2) in anna.core.said_by(bert.id))


async def test_a_door_that_turns_a_revoked_peer_away_shows_it_the_statement() -> None:
    authority, contacts = Authority(), dict[bytes, Contact]()
    anna, bert = Neighbour(authority, 2, contacts), Neighbour(authority, 3, contacts)
    statement = Signed("gossip.revocation", bytes(32), b"said", bytes(64))

    def refuse(encoded: bytes) -> Credential:
        raise Revoked("revoked", "the credential was revoked (stolen)", statement)

    heard: list[bytes] = []
    bert.hear = heard.append
    anna.verify = refuse
    async with anna.up(), bert.up():
        bert.transport.transmit(anna.id, (pack(1),))
        await eventually(lambda: bool(heard))
        assert "the credential was revoked" in bert.transport.links.last_failure(anna.id)
    assert msgspec.msgpack.decode(heard[0], type=Signed) == statement
    assert anna.core.heard == []


def test_an_older_door_shows_no_statement_and_an_older_peer_passes_over_it() -> None:
    old = msgspec.msgpack.encode(["door.refused", "revoked", "why"])
    assert decode_answer(old) == TurnedAway("revoked", "why", b"")
    new = msgspec.msgpack.encode(TurnedAway("revoked", "why", b"statement"))
    assert msgspec.msgpack.decode(new)[:3] == ["door.refused", "revoked", "why"]


async def test_a_door_of_another_peer_is_not_taken_for_the_one_dialled() -> None:
    authority, contacts = Authority(), dict[bytes, Contact]()
    anna, bert = Neighbour(authority, 2, contacts), Neighbour(authority, 3, contacts)
    async with anna.up(), bert.up():
        contacts[PEER] = Contact(PEER, bert.door, bert.keys.public)
        anna.transport.transmit(PEER, (pack(1),))
        await eventually(lambda: bool(anna.transport.links.last_failure(PEER)))
        assert "another peer's door" in anna.transport.links.last_failure(PEER)
        assert bert.core.heard == []
        assert not any(isinstance(event, LinkOpened) for event in anna.core.link_events)


async def test_one_key_cannot_keep_the_door_busy() -> None:
    anna, keys = one(), new_curve_keys()
    good = hello(anna.authority.chain(PEER, keys.public))
    async with anna.up(), knocker(keys, anna) as knocking:
        for _ in range(HELLOS_PER_KEY_LIMIT):
            knocking.send(good)
            assert isinstance(await knocking.answer(), Accepted)
        knocking.send(good)
        assert await knocking.is_left_unanswered()
        assert anna.transport.counters().door.ignored == 1


class StillClock:
    def __init__(self) -> None:
        self.time = Now(0, 0)

    def __call__(self) -> Now:
        return self.time


class LaterClock(SystemClock):
    """A clock whose wall time is ahead of this machine's."""

    def __init__(self) -> None:
        super().__init__()
        self.by_s = 0

    def now(self) -> Now:
        now = super().now()
        return Now(now.monotonic_ns, now.wall_ns + self.by_s * SECOND_NS)


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_a_full_house_takes_nobody_until_a_credential_has_ended() -> None:
    clock = StillClock()
    guests = Guests(clock)
    for number in range(GUESTS_LIMIT):
        assert guests.admit(key(number), key(number), not_after_ns=10 + number)
    assert not guests.admit(PEER, PEER, 10**9)
    assert guests.admit(key(0), key(0), 10**9), "who is in may come again"
    clock.time = Now(0, 12)
    assert guests.admit(PEER, PEER, 10**9)
    assert guests.peer_of(key(1).hex()) is None
    assert guests.peer_of(PEER.hex()) == PEER


def test_a_clock_that_jumped_ahead_and_back_leaves_nobody_outside() -> None:
    clock = StillClock()
    guests = Guests(clock)
    guests.admit(PEER, key(1), 10)
    clock.time = Now(1, 11)
    guests.dismiss_expired()
    assert guests.peer_of(key(1).hex()) is None
    clock.time = Now(2, 3)
    guests.dismiss_expired()
    assert guests.peer_of(key(1).hex()) == PEER


def test_an_expired_guest_that_was_revoked_stays_outside() -> None:
    clock = StillClock()
    guests = Guests(clock)
    guests.admit(PEER, key(1), 10)
    clock.time = Now(1, 11)
    guests.dismiss_expired()
    guests.revoke(PEER)
    clock.time = Now(2, 3)
    guests.dismiss_expired()
    assert guests.peer_of(key(1).hex()) is None


def test_a_peer_has_one_key_its_newest() -> None:
    guests = Guests(StillClock())
    guests.admit(PEER, key(1), 10)
    guests.admit(PEER, key(2), 10)
    assert guests.peer_of(key(1).hex()) is None
    assert guests.peer_of(key(2).hex()) == PEER


def test_a_key_is_turned_away_for_a_while_and_the_table_is_bounded() -> None:
    clock = StillClock()
    guests = Guests(clock)
    guests.turn_away("first")
    assert guests.is_turned_away("first")
    clock.time = Now(TURNED_AWAY_NS, 0)
    assert not guests.is_turned_away("first")
    for number in range(TURNED_AWAY_LIMIT + 1):
        guests.turn_away(str(number))
    assert not guests.is_turned_away("0")
    assert guests.is_turned_away("1")


async def test_two_keys_for_one_peer_do_not_meet() -> None:
    anna, old, new = one(), new_curve_keys(), new_curve_keys()
    async with anna.up():
        for keys in (old, new):
            async with knocker(keys, anna) as knocking:
                knocking.send(hello(anna.authority.chain(PEER, keys.public)))
                assert isinstance(await knocking.answer(), Accepted)
        async with stranger(old, anna, anna.house) as outdated:
            assert await outdated.handshake() is LinkEvent.DENIED
        with trio.fail_after(5):
            async with stranger(new, anna, anna.house) as inside:
                assert await inside.handshake() is LinkEvent.READY
