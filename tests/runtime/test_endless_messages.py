"""Messages that never end: ZeroMQ keeps their parts until the last, which never comes."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

import pytest
import trio
import zmq

from mesh.runtime import dialling, steward
from mesh.runtime.clock import SystemClock
from mesh.runtime.dialling import Connection, Watch
from mesh.runtime.house import SOCKET_MESSAGE_LIMIT
from mesh.runtime.monitor import LinkEvent
from mesh.runtime.sockets import Address, Socket, Sockets, new_curve_keys, until_readable
from mesh.runtime.steward import Steward
from mesh.runtime.taps import Tap
from mesh.runtime.zap import DOOR_DOMAIN, Guests, ZapHandler
from protocols.wire import encode_frame
from tests.runtime.strangers import Stranger, knocker
from tests.runtime.test_hostile_bytes import MALLORY, admitted, pair, still_serves
from tests.runtime.transport_rig import HOST, PATIENCE_S, Neighbour, pack

ENDLESS_BYTES = 100 * 1024 * 1024
VERY_MANY = 100_000


async def say(mallory: Stranger, anna: Neighbour, text: str) -> None:
    mallory.send(encode_frame(1, len(anna.core.said_by(MALLORY)) + 1, (pack(text),)))
    await anna.core.until(lambda: pack(text) in anna.core.said_by(MALLORY))


async def test_a_neighbours_message_without_an_end_ends_its_connection() -> None:
    async with pair() as (anna, bert), admitted(anna) as mallory:
        await say(mallory, anna, "first in order")
        mallory.begin_without_end(ENDLESS_BYTES)
        assert await mallory.next_event() is LinkEvent.LOST
        assert anna.transport.counters().house.ended == 1
        await still_serves(anna, bert)
        assert anna.transport.counters().house.ended == 1


async def test_it_needs_no_message_before_it() -> None:
    async with pair() as (anna, bert), admitted(anna) as mallory:
        mallory.begin_without_end(ENDLESS_BYTES)
        assert await mallory.next_event() is LinkEvent.LOST
        await still_serves(anna, bert)


@pytest.mark.parametrize("where", ["door", "house"])
async def test_a_message_of_very_many_parts_ends_its_connection(where: str) -> None:
    async with pair() as (anna, bert):
        at = knocker(new_curve_keys(), anna) if where == "door" else admitted(anna)
        async with at as mallory:
            mallory.send(*[b"\xc0"] * VERY_MANY)
            assert await mallory.next_event() is LinkEvent.LOST
        await still_serves(anna, bert)
        assert anna.core.said_by(MALLORY) == []


async def test_a_message_of_two_parts_ends_its_connection_to_the_house() -> None:
    async with pair() as (anna, bert), admitted(anna) as mallory:
        mallory.send(b"\xc0", b"\xc0")
        assert await mallory.next_event() is LinkEvent.LOST
        assert anna.transport.counters().house.ended == 1
        await still_serves(anna, bert)


async def test_many_large_frames_in_a_row_are_nobodys_fault() -> None:
    text = "x" * (SOCKET_MESSAGE_LIMIT - 200)
    async with pair() as (anna, bert), admitted(anna) as mallory:
        for sequence in range(1, 61):
            mallory.send(encode_frame(1, sequence, (pack(text),)))
        await anna.core.until(lambda: len(anna.core.said_by(MALLORY)) == 60)
        await trio.sleep(2 * steward.LOOK_EVERY_S)
        await say(mallory, anna, "still here")
        assert anna.transport.counters().house.ended == 0
        await still_serves(anna, bert)


@asynccontextmanager
async def kept(
    frame_limit: int, rouse: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[Steward, Socket, Stranger]]:
    """A bound socket with a steward, that nobody receives from, and one connection to it."""
    ours, theirs = Sockets(new_curve_keys()), Sockets(new_curve_keys())
    zap = ZapHandler(ours, Guests(SystemClock().now))
    bound = ours.server(DOOR_DOMAIN, SOCKET_MESSAGE_LIMIT, 1000)
    watching = Steward(ours, bound, frame_limit, rouse)
    port = ours.bind(bound, "test", HOST, 0)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(zap.run)
            nursery.start_soon(watching.run, port)
            with closing(Stranger(theirs, ours.keys.public, str(Address(HOST, port)))) as visitor:
                assert await visitor.handshake() is LinkEvent.READY
                yield watching, bound, visitor
            nursery.cancel_scope.cancel()
    finally:
        await theirs.terminate()
        await ours.terminate()


async def test_a_house_that_does_not_get_round_to_it_blames_nobody() -> None:
    async with kept(1000) as (watching, bound, visitor):
        for _ in range(20):
            visitor.send(bytes(1000))
        await trio.sleep(2 * steward.LOOK_EVERY_S)
        assert watching.ended == 0
        for _ in range(20):
            await until_readable(bound)
            bound.recv(zmq.NOBLOCK)
            watching.heard.add(bound.recv(zmq.NOBLOCK, copy=False).get(zmq.SRCFD))
        watching.batch_ended(is_dry=True)
        await trio.sleep(2 * steward.LOOK_EVERY_S)
        assert watching.ended == 0


async def test_unfinished_messages_are_bounded_together_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steward, "UNFINISHED_TOTAL_LIMIT", 10_000)
    roused = trio.Event()
    async with kept(1_000_000, roused.set) as (watching, _, visitor):
        # ZeroMQ takes it, and nobody says to have heard it: as unfinished as can be.
        visitor.send(bytes(20_000))
        with trio.fail_after(PATIENCE_S):
            while not watching.ended:
                await roused.wait()
                watching.batch_ended(is_dry=True)
                await trio.lowlevel.checkpoint()
        assert await visitor.next_event() is LinkEvent.LOST


async def test_a_house_that_talks_back_loses_the_link() -> None:
    ours, theirs = Sockets(new_curve_keys()), Sockets(new_curve_keys())
    zap = ZapHandler(theirs, Guests(SystemClock().now))
    liar = theirs.server(DOOR_DOMAIN, SOCKET_MESSAGE_LIMIT, 1000)
    port = theirs.bind(liar, "test", HOST, 0)
    watch = Watch()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(zap.run)
            nursery.start_soon(watch.run)
            link = Connection(ours, theirs.keys.public, dialling.SOCKET_BUFFER_LIMIT, watch)
            await link.open(Address(HOST, port))
            link.socket.send(b"hello", zmq.NOBLOCK)
            await until_readable(liar)
            liar.send(liar.recv(zmq.NOBLOCK), zmq.SNDMORE)
            for _ in range(VERY_MANY // 10):
                liar.send(bytes(3000), zmq.SNDMORE)
            liar.send(b"")
            with trio.fail_after(5):
                assert await link.monitor.next() is LinkEvent.LOST
            link.close()
            assert watch.connections == {}
            nursery.cancel_scope.cancel()
    finally:
        await ours.terminate()
        await theirs.terminate()


def test_a_tap_on_nothing_is_an_error() -> None:
    with pytest.raises(OSError, match="descriptor"):
        Tap(10**6)
