import socket as os_socket
from functools import partial

import pytest
import trio
import zmq

from mesh.core.commands import LinkClosed, LinkOpened
from mesh.runtime.dialling import Connection
from mesh.runtime.links import QUEUE_BYTES_LIMIT, QUEUE_MESSAGES_LIMIT, STALE_AFTER_NS, Outbox
from mesh.runtime.sockets import (
    Address,
    Sockets,
    curve_keys_from_secret,
    events,
    new_curve_keys,
    nobody_listens,
)
from protocols.errors import ConfigurationError
from protocols.gossip.commands import Contact
from protocols.machine import MILLISECOND_NS
from tests.runtime.transport_rig import HOST, Authority, Neighbour, eventually, pack


def neighbours(count: int) -> list[Neighbour]:
    authority, contacts = Authority(), dict[bytes, Contact]()
    return [Neighbour(authority, 2 + index, contacts) for index in range(count)]


async def test_a_message_reaches_its_peer_and_the_answer_comes_back() -> None:
    anna, bert = neighbours(2)
    async with anna.up(), bert.up():
        bert.core.answer = lambda peer, message: message
        anna.say(bert, pack("hello"))
        await anna.core.until(lambda: bool(anna.core.heard))
        assert bert.core.heard == [(anna.id, pack("hello"))]
        assert anna.core.heard == [(bert.id, pack("hello"))]
        assert isinstance(anna.core.link_events[0], LinkOpened)
        assert len(anna.journal.groups) == 1


async def test_a_peer_that_is_gone_right_after_the_handshake_is_dialled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anna, bert = neighbours(2)
    open_ = Connection.open
    broken: list[Address] = []

    async def open_and_lose(connection: Connection, address: Address) -> None:
        await open_(connection, address)
        if not broken:
            broken.append(address)
            connection.socket.disconnect(str(address))
            await eventually(lambda: not events(connection.socket) & zmq.POLLOUT)

    monkeypatch.setattr(Connection, "open", open_and_lose)
    async with anna.up(), bert.up():
        anna.say(bert, pack("hello"))
        await bert.core.until(lambda: (anna.id, pack("hello")) in bert.core.heard)
    assert broken


async def test_three_peers_talk_to_each_other_and_each_frame_is_its_senders() -> None:
    all_three = neighbours(3)
    anna, bert, carl = all_three
    async with anna.up(), bert.up(), carl.up():
        for speaker in all_three:
            for listener in all_three:
                if listener is not speaker:
                    speaker.say(listener, pack(speaker.id))
        for listener in all_three:
            await listener.core.until(partial(lambda core: len(core.heard) == 2, listener.core))
            assert all(message == pack(peer) for peer, message in listener.core.heard)


async def test_messages_keep_their_order_also_those_that_waited_for_the_link() -> None:
    anna, bert = neighbours(2)
    async with anna.up(), bert.up():
        for number in range(3000):
            anna.say(bert, pack(number))
            if number % 500 == 0:
                await trio.sleep(0.002)
        await bert.core.until(lambda: len(bert.core.heard) == 3000)
        assert bert.core.said_by(anna.id) == [pack(number) for number in range(3000)]
        assert anna.transport.counters().links.opened == 1
        assert len(bert.core.epochs[anna.id]) == 1


async def test_more_than_a_socket_holds_arrives_all_the_same() -> None:
    anna, bert = neighbours(2)
    async with anna.up(), bert.up():
        anna.say(bert, pack("first"))
        await bert.core.until(lambda: bool(bert.core.heard))
        large = pack(bytes(60_000))
        for _ in range(100):  # 6 MB, below the limit of the queue
            anna.say(bert, large)
        await bert.core.until(lambda: len(bert.core.heard) == 101)
        assert anna.transport.counters().links.dropped == 0


async def test_a_restarted_peer_is_reached_again_under_a_new_epoch() -> None:
    anna, bert = neighbours(2)
    again = Neighbour(bert.authority, 3, anna.contacts, bert.keys)
    async with anna.up():
        async with bert.up():
            anna.say(bert, pack(1))
            await bert.core.until(lambda: bool(bert.core.heard))
            port = Address.parse(bert.door).port
        await anna.core.until(lambda: LinkClosed(bert.id, refused=True) in anna.core.link_events)
        async with again.up(port):
            anna.say(bert, pack(2))
            await again.core.until(lambda: bool(again.core.heard))
        opened = [event for event in anna.core.link_events if isinstance(event, LinkOpened)]
        assert len(opened) == 2
        assert opened[0].epoch != opened[1].epoch
        assert again.core.epochs[anna.id] == [opened[1].epoch]


async def test_a_peer_that_stops_is_refused_and_the_link_said_to_be_closed_before() -> None:
    anna, bert = neighbours(2)
    async with anna.up():
        async with bert.up():
            anna.say(bert, pack(1))
            await bert.core.until(lambda: bool(bert.core.heard))
        await anna.core.until(lambda: len(anna.core.link_events) >= 3)
        closed = [event for event in anna.core.link_events if isinstance(event, LinkClosed)]
        assert closed[0] == LinkClosed(bert.id, refused=False)
        assert closed[1] == LinkClosed(bert.id, refused=True)


async def test_a_peer_whose_door_is_not_known_costs_nothing() -> None:
    anna, bert = neighbours(2)
    async with anna.up():
        anna.say(bert, pack(1))
        await eventually(lambda: anna.transport.counters().links.failed > 0)
        assert anna.core.link_events == []


@pytest.mark.parametrize(
    "door",
    [
        "inproc://zeromq.zap.01",
        "ipc:///tmp/x",
        "tcp://127.0.0.1",
        "tcp://a b:1",
        "",
        "tcp://[::1:9",
    ],
)
async def test_an_address_that_is_not_tcp_is_never_dialled(door: str) -> None:
    anna, bert = neighbours(2)
    async with anna.up():
        anna.contacts[bert.id] = Contact(bert.id, door, bert.keys.public)
        anna.say(bert, pack(1))
        await eventually(lambda: bool(anna.transport.links.last_failure(bert.id)))
        assert anna.core.link_events == []


async def test_a_quiet_link_is_closed_and_opened_again_when_needed() -> None:
    authority, contacts = Authority(), dict[bytes, Contact]()
    anna = Neighbour(authority, 2, contacts, idle_after_ns=50 * MILLISECOND_NS)
    bert = Neighbour(authority, 3, contacts)
    async with anna.up(), bert.up():
        anna.say(bert, pack(1))
        await bert.core.until(lambda: bool(bert.core.heard))
        await eventually(lambda: not anna.transport.links.up())
        anna.say(bert, pack(2))
        await bert.core.until(lambda: len(bert.core.heard) == 2)
        assert [type(event) for event in anna.core.link_events] == [LinkOpened, LinkOpened]


async def test_stopping_sends_what_is_queued() -> None:
    anna, bert = neighbours(2)
    async with bert.up():
        async with anna.up():
            anna.say(bert, pack(0))
            await bert.core.until(lambda: bool(bert.core.heard))
            for number in range(500):
                anna.say(bert, pack(number))
            anna.driver.flush()
        await bert.core.until(lambda: len(bert.core.heard) == 501)


async def test_a_transport_that_never_ran_can_be_stopped() -> None:
    transport = neighbours(1)[0].open()
    transport.bind(HOST)
    with trio.fail_after(5):
        await transport.stop()


async def test_a_taken_port_is_named_with_what_to_try() -> None:
    transport = neighbours(1)[0].open()
    with os_socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} .*another port"):
            transport.bind(HOST, port)
    await transport.stop()


async def test_an_address_of_another_machine_cannot_be_bound() -> None:
    transport = neighbours(1)[0].open()
    with pytest.raises(ConfigurationError, match="one of this machine's"):
        transport.bind("203.0.113.7")
    await transport.stop()


async def test_only_a_refusal_says_that_nobody_listens() -> None:
    with os_socket.socket() as bound:
        bound.bind((HOST, 0))
        address = Address(HOST, bound.getsockname()[1])
        assert await nobody_listens(address)
        bound.listen()
        assert not await nobody_listens(address)


async def test_a_stored_secret_gives_its_public_key_back() -> None:
    keys = new_curve_keys()
    assert curve_keys_from_secret(keys.secret) == keys
    assert keys.secret.hex() not in repr(keys)
    await Sockets(keys).terminate()


def test_a_full_outbox_drops_the_oldest() -> None:
    outbox = Outbox()
    messages = tuple(pack(number) for number in range(QUEUE_MESSAGES_LIMIT + 3))
    assert outbox.put(messages, 0) == 3
    assert outbox.take()[0] == pack(3)


def test_an_outbox_is_bounded_in_bytes_too() -> None:
    outbox = Outbox()
    large = bytes(64 * 1024)
    count = QUEUE_BYTES_LIMIT // len(large)
    assert outbox.put((large,) * count, 0) == 0
    assert outbox.put((large,), 0) == 1


def test_what_grew_stale_is_dropped() -> None:
    outbox = Outbox()
    outbox.put((b"old",), 0)
    outbox.put((b"new",), STALE_AFTER_NS)
    assert outbox.drop_stale(STALE_AFTER_NS + 1) == 1
    assert outbox.take() == [b"new"]
