import socket as os_socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import zmq

from mesh.runtime import doorman
from mesh.runtime.doorman import Doorman
from mesh.runtime.sockets import Sockets, new_curve_keys
from protocols.gossip.commands import Contact
from tests.runtime.strangers import hello, knocker
from tests.runtime.transport_rig import HOST, Authority, Neighbour, eventually


@asynccontextmanager
async def watched_port(lifetime_s: float) -> AsyncIterator[tuple[Doorman, tuple[str, int]]]:
    sockets = Sockets(new_curve_keys())
    bound = sockets.plain(zmq.ROUTER)
    watching = Doorman(sockets, bound, lifetime_s)
    port = sockets.bind(bound, "test", HOST, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watching.run, port)
        yield watching, (HOST, port)
        nursery.cancel_scope.cancel()
    await sockets.terminate()


async def has_ended(connection: os_socket.socket) -> None:
    stream = trio.socket.from_stdlib_socket(connection)
    with trio.fail_after(5):
        while await stream.recv(4096):
            pass


async def test_who_stays_too_long_is_shown_out() -> None:
    async with watched_port(lifetime_s=0.05) as (watching, address):
        with os_socket.create_connection(address) as idler:
            await has_ended(idler)
        assert watching.ended == 1


async def test_who_says_too_much_is_shown_out_whatever_it_says() -> None:
    anna, keys = Neighbour(Authority(), 2, dict[bytes, Contact]()), new_curve_keys()
    async with anna.up(), knocker(keys, anna) as chatterbox:
        # Each message is small enough; together they are not.
        credential = anna.authority.chain(bytes(32), keys.public)
        for _ in range(300):
            if chatterbox.has_room():
                chatterbox.send(hello(credential), *[bytes(1000)] * 20)
        await eventually(lambda: anna.transport.counters().door.ended == 1)
        assert anna.core.heard == []


async def test_the_door_holds_so_many_and_the_oldest_makes_room() -> None:
    async with watched_port(lifetime_s=60) as (watching, address):
        crowd = []
        for _ in range(doorman.CONNECTIONS_LIMIT + 1):
            crowd.append(os_socket.create_connection(address))
            await trio.lowlevel.checkpoint()
        await has_ended(crowd[0])
        assert watching.ended == 1
        for visitor in crowd:
            visitor.close()


async def test_who_leaves_by_itself_is_not_counted() -> None:
    async with watched_port(lifetime_s=0.2) as (watching, address):
        with os_socket.create_connection(address):
            await trio.sleep(0.05)
        await trio.sleep(0.4)
        assert watching.ended == 0
