"""A killed process is refused at once; a stopped one never is."""

import signal
import subprocess
import sys
from typing import Any

import pytest
import trio

from mesh.core.commands import LinkClosed
from mesh.runtime.driver import HUNG_EXIT_STATUS
from protocols.gossip.commands import Contact
from tests.runtime.lone_peer import lone_peer
from tests.runtime.transport_rig import Authority, Neighbour, eventually, pack

pytestmark = pytest.mark.processes


async def greet(anna: Neighbour, contact: Contact) -> None:
    anna.contacts[contact.peer] = contact
    anna.transport.transmit(contact.peer, (pack("hello"),))
    await anna.core.until(lambda: bool(anna.transport.links.up()))


def closings(anna: Neighbour) -> list[LinkClosed]:
    return [event for event in anna.core.link_events if isinstance(event, LinkClosed)]


async def test_a_killed_peer_is_refused_within_moments(record_property: Any) -> None:
    anna = Neighbour(Authority(), 2, {})
    async with anna.up():
        with lone_peer(7) as (contact, process):
            await greet(anna, contact)
            before = anna.clock.now().monotonic_ns
            process.kill()
            await anna.core.until(lambda: LinkClosed(contact.peer, True) in anna.core.link_events)
            took_ms = (anna.clock.now().monotonic_ns - before) / 1e6
            record_property("refused_after_ms", took_ms)
            assert closings(anna)[:2] == [
                LinkClosed(contact.peer, refused=False),
                LinkClosed(contact.peer, refused=True),
            ]


@pytest.mark.slow
async def test_a_stopped_peer_is_never_refused_when_it_is_dialled() -> None:
    anna = Neighbour(Authority(), 2, {})
    async with anna.up():
        with lone_peer(7) as (contact, process):
            process.send_signal(signal.SIGSTOP)
            anna.contacts[contact.peer] = contact
            anna.transport.transmit(contact.peer, (pack("hello"),))
            await eventually(lambda: anna.transport.counters().links.failed > 0)
            assert closings(anna) == []
            process.send_signal(signal.SIGCONT)
            anna.transport.transmit(contact.peer, (pack("hello"),))
            await anna.core.until(lambda: bool(anna.transport.links.up()))


@pytest.mark.slow
async def test_a_peer_stopped_while_linked_is_lost_but_not_refused() -> None:
    anna = Neighbour(Authority(), 2, {})
    async with anna.up():
        with lone_peer(7) as (contact, process):
            await greet(anna, contact)
            process.send_signal(signal.SIGSTOP)
            await anna.core.until(lambda: bool(closings(anna)), within_s=10)
            await eventually(lambda: anna.transport.counters().links.failed > 0)
            assert closings(anna) == [LinkClosed(contact.peer, refused=False)]
            process.send_signal(signal.SIGCONT)
            anna.transport.transmit(contact.peer, (pack("hello again"),))
            await anna.core.until(lambda: bool(anna.transport.links.up()))


@pytest.mark.slow
async def test_stopping_does_not_wait_for_a_peer_that_is_stopped() -> None:
    anna = Neighbour(Authority(), 2, {})
    with lone_peer(7) as (contact, process):
        async with anna.up():
            await greet(anna, contact)
            process.send_signal(signal.SIGSTOP)
            for _ in range(200):
                anna.transport.transmit(contact.peer, (pack(bytes(60_000)),))
            before = anna.clock.now().monotonic_ns
        took_s = (anna.clock.now().monotonic_ns - before) / 1e9
        assert took_s < 5, "a second for the queue, half a second for the sockets"


async def test_cancelling_instead_of_stopping_leaves_nothing_open() -> None:
    anna = Neighbour(Authority(), 2, {})
    with lone_peer(7) as (contact, _):
        transport = anna.open()
        anna.door = transport.bind("127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.run)
            nursery.start_soon(anna.driver.run)
            await greet(anna, contact)
            nursery.cancel_scope.cancel()


def test_a_disk_that_hangs_ends_the_process_with_a_message() -> None:
    code = "from mesh.runtime.driver import end_hung_process; end_hung_process('the disk hangs')"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == HUNG_EXIT_STATUS
    assert ended.stderr == "mesh: the disk hangs\n"
