"""Whatever comes in on either port, the peer goes on serving the others."""

import os
import socket as os_socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio

from mesh.runtime import door, house
from mesh.runtime.door import Accepted, decode_answer
from mesh.runtime.monitor import LinkEvent
from mesh.runtime.sockets import Address, new_curve_keys
from protocols.gossip.commands import Contact
from protocols.wire import FRAME_LIMIT, encode_frame
from tests.runtime.strangers import Stranger, hello, knocker, stranger
from tests.runtime.transport_rig import Authority, Neighbour, eventually, pack

MALLORY = bytes([13]) * 32
ARRAY_OF_A_MILLION = b"\xdd\x00\x0f\x42\x40"


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Neighbour, Neighbour]]:
    authority, contacts = Authority(), dict[bytes, Contact]()
    anna, bert = Neighbour(authority, 2, contacts), Neighbour(authority, 3, contacts)
    async with anna.up(), bert.up():
        yield anna, bert


async def still_serves(anna: Neighbour, bert: Neighbour) -> None:
    before = len(anna.core.said_by(bert.id))
    bert.say(anna, pack("still here?"))
    await anna.core.until(lambda: len(anna.core.said_by(bert.id)) > before)


@asynccontextmanager
async def admitted(anna: Neighbour) -> AsyncIterator[Stranger]:
    keys = new_curve_keys()
    async with knocker(keys, anna) as knocking:
        knocking.send(hello(anna.authority.chain(MALLORY, keys.public)))
        assert isinstance(await knocking.answer(), Accepted)
    async with stranger(keys, anna, anna.house) as inside:
        assert await inside.handshake() is LinkEvent.READY
        yield inside


AT_THE_DOOR = {
    "nothing": b"",
    "garbage": bytes(range(256)),
    "half a hello": hello(b"x" * 100)[:50],
    "a million elements": ARRAY_OF_A_MILLION + b"\xc0" * 4000,
    "deep": b"\x91" * 4000,
    "a wrong type": pack(["door.hello", "one", 1, [], b""]),
    "too many features": pack(["door.hello", 1, 1, ["f"] * 17, b""]),
    "too long a credential": pack(["door.hello", 1, 1, [], bytes(2049)]),
    "a frame": encode_frame(1, 1, (pack(1),)),
}


@pytest.mark.parametrize("what", AT_THE_DOOR)
async def test_what_is_no_hello_is_counted_and_not_answered(what: str) -> None:
    async with pair() as (anna, bert):
        async with knocker(new_curve_keys(), anna) as knocking:
            knocking.send(AT_THE_DOOR[what])
            await eventually(lambda: anna.transport.counters().door.unreadable == 1)
            assert await knocking.is_left_unanswered(0.02)
        await still_serves(anna, bert)


async def test_an_oversized_message_closes_the_strangers_connection_at_the_door() -> None:
    async with pair() as (anna, bert):
        async with knocker(new_curve_keys(), anna) as knocking:
            knocking.send(bytes(door.SOCKET_MESSAGE_LIMIT + 1))
            assert await knocking.next_event() is LinkEvent.LOST
        await still_serves(anna, bert)


async def test_a_hello_in_parts_is_not_taken() -> None:
    async with pair() as (anna, bert):
        keys = new_curve_keys()
        async with knocker(keys, anna) as knocking:
            knocking.send(hello(anna.authority.chain(MALLORY, keys.public)), b"more", b"and more")
            await eventually(lambda: anna.transport.counters().door.unreadable == 1)
            assert await knocking.is_left_unanswered(0.02)
        await still_serves(anna, bert)


IN_THE_HOUSE = {
    "nothing": b"",
    "garbage": os.urandom(500),
    "half a frame": encode_frame(1, 1, (pack("x" * 100),))[:60],
    "a million elements": pack([1, 1]).replace(b"\x92", b"\x93", 1)
    + ARRAY_OF_A_MILLION
    + b"\xc0" * 1_000_000,
    "a million elements, missing": b"\x93\x01\x01" + ARRAY_OF_A_MILLION,
    "a negative epoch": pack([-1, 1, []]),
    "an endless number": pack([2**63, 1, []]),
    "deep": b"\x91" * 100_000,
}


@pytest.mark.parametrize("what", IN_THE_HOUSE)
async def test_a_neighbours_garbage_harms_nobody_else(what: str) -> None:
    async with pair() as (anna, bert), admitted(anna) as mallory:
        mallory.send(IN_THE_HOUSE[what])
        await anna.core.until(lambda: anna.core.malformed == 1)
        await still_serves(anna, bert)
        mallory.send(encode_frame(1, 1, (pack("and now in order"),)))
        await anna.core.until(lambda: bool(anna.core.said_by(MALLORY)))


async def test_an_oversized_frame_closes_the_link_it_came_by() -> None:
    async with pair() as (anna, bert), admitted(anna) as mallory:
        mallory.send(bytes(house.SOCKET_MESSAGE_LIMIT + 1))
        assert await mallory.next_event() is LinkEvent.LOST
        assert FRAME_LIMIT < house.SOCKET_MESSAGE_LIMIT
        await still_serves(anna, bert)
        assert anna.core.malformed == 0


async def test_a_frame_in_many_parts_is_dropped_whole() -> None:
    async with pair() as (anna, bert), admitted(anna) as mallory:
        mallory.send(*[encode_frame(1, 1, (pack(1),))] * 2000)
        await eventually(lambda: anna.transport.counters().house.dropped == 1)
        assert anna.core.said_by(MALLORY) == []
        await still_serves(anna, bert)


async def test_what_is_not_zeromq_at_all_harms_nobody() -> None:
    async with pair() as (anna, bert):
        for port in (anna.door, anna.house):
            address = Address.parse(port)
            for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), os.urandom(5000), b""):
                with os_socket.create_connection(address) as raw:
                    raw.sendall(noise)
        await still_serves(anna, bert)


async def test_a_flood_from_one_neighbour_does_not_keep_others_from_being_heard() -> None:
    async def flood(mallory: Stranger) -> None:
        for sequence in range(1, 1_000_000):
            if mallory.has_room():
                mallory.send(encode_frame(1, sequence, (pack(sequence),)))
            await trio.lowlevel.checkpoint()

    async with (
        pair() as (anna, bert),
        admitted(anna) as mallory,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(flood, mallory)
        for _ in range(5):
            await still_serves(anna, bert)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("data", [b"", b"\xc1", pack(["door.accepted"]), pack(["door.else", 1])])
def test_a_door_that_talks_nonsense_is_not_understood(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_answer(data)
