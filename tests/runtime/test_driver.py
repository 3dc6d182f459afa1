import sqlite3

import msgspec
import pytest
import trio
import trio.testing

from mesh.core.outward import Accuse, Outward
from mesh.runtime.clock import SystemClock
from mesh.runtime.driver import CATCH_UP_S, LATE_NS, Driver, JournalFailed
from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS, Now
from protocols.wire import encode_frame
from tests.runtime.transport_rig import MemoryJournal, NotingCore, Say, pack

PEER = bytes(32)


class Fact(msgspec.Struct, frozen=True):
    number: int


class NotingHost:
    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.events: list[msgspec.Struct] = []
        self.follow_up: Fact | None = None
        self.journal_at_event: list[int] = []

    def notify(self, event: msgspec.Struct) -> None:
        self.events.append(event)
        if self.follow_up is not None:
            command, self.follow_up = self.follow_up, None
            self.driver.submit(command)

    def execute(self, job: msgspec.Struct) -> None:
        self.events.append(job)

    def accuse(self, accusation: Accuse) -> None:
        self.events.append(accusation)


class Rig:
    def __init__(self) -> None:
        self.core = NotingCore()
        self.journal = MemoryJournal()
        self.driver = Driver(self.core, self.journal, SystemClock())
        self.host = NotingHost(self.driver)
        self.driver.attach(self.host)
        self.sent: list[tuple[bytes, tuple[bytes, ...]]] = []
        self.driver.carry_with(lambda peer, messages: self.sent.append((peer, messages)))


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_what_is_submitted_in_one_turn_shares_one_commit(
    rig: Rig, nursery: trio.Nursery
) -> None:
    nursery.start_soon(rig.driver.run)
    await settle()
    for number in range(5):
        rig.driver.submit(Fact(number))
    await settle()
    assert [len(group) for group in rig.journal.groups] == [5]
    assert rig.host.events == [Fact(number) for number in range(5)]


async def test_nothing_leaves_before_its_record_is_written(rig: Rig) -> None:
    rig.driver.submit(Say(PEER, (b"\x01",)))
    assert rig.sent == []
    rig.driver.flush()
    assert rig.sent == [(PEER, (b"\x01",))]
    assert len(rig.journal.groups) == 1


async def test_a_host_may_submit_while_it_is_told_something(rig: Rig) -> None:
    rig.host.follow_up = Fact(2)
    rig.driver.submit(Fact(1))
    rig.driver.flush()
    assert rig.host.events == [Fact(1), Fact(2)]
    assert [len(group) for group in rig.journal.groups] == [1, 1]


async def test_hosts_that_answer_each_other_for_ever_leave_others_their_turn(
    rig: Rig, nursery: trio.Nursery
) -> None:
    class Echo(NotingHost):
        def notify(self, event: msgspec.Struct) -> None:
            self.events.append(event)
            self.driver.submit(event)

    echo = Echo(rig.driver)
    rig.driver.attach(echo)
    rig.driver.submit(Fact(1))
    nursery.start_soon(rig.driver.run)
    for _ in range(10):
        await trio.lowlevel.checkpoint()
    assert 10 < len(echo.events) < 10_000
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), OSError(28, "full")])
async def test_a_failing_journal_stops_the_peer_and_acknowledges_nothing(
    rig: Rig, error: Exception
) -> None:
    rig.journal.failure = error
    rig.driver.submit(Say(PEER, (b"\x01",)))
    rig.driver.submit(Fact(1))
    with pytest.raises(JournalFailed, match="Check the disk"):
        await rig.driver.run()
    assert rig.sent == []
    assert rig.host.events == []
    rig.journal.failure = None
    with pytest.raises(JournalFailed):
        rig.driver.submit(Fact(2))
    with pytest.raises(JournalFailed):
        rig.driver.receive(PEER, b"")
    with pytest.raises(JournalFailed):
        rig.driver.flush()
    assert rig.sent == []


async def test_a_refused_command_is_the_callers_to_handle(rig: Rig) -> None:
    class Refusing(NotingCore):
        def submit(self, command: msgspec.Struct, now: Now) -> None:
            raise Refused("Nope", "not today")

    driver = Driver(Refusing(), rig.journal, SystemClock())
    with pytest.raises(Refused):
        driver.submit(Fact(1))
    driver.flush()
    assert rig.journal.groups == []


async def test_the_core_is_woken_at_its_deadline(rig: Rig, nursery: trio.Nursery) -> None:
    now = SystemClock().now().monotonic_ns
    rig.core.due = due = now + 10 * MILLISECOND_NS
    nursery.start_soon(rig.driver.run)
    await rig.core.until(lambda: bool(rig.core.wakes))
    assert rig.core.wakes[0] >= due
    assert len(rig.core.wakes) == 1


async def test_a_deadline_that_moves_forward_is_noticed(rig: Rig, nursery: trio.Nursery) -> None:
    rig.core.due = SystemClock().now().monotonic_ns + 3_600_000 * MILLISECOND_NS
    nursery.start_soon(rig.driver.run)
    await settle()
    rig.core.due = SystemClock().now().monotonic_ns
    rig.driver.receive(PEER, b"")
    rig.driver.flush()
    await rig.core.until(lambda: bool(rig.core.wakes))


async def test_after_a_pause_what_came_in_meanwhile_is_heard_before_timers_go_off(
    rig: Rig, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    frame = encode_frame(1, 1, (pack("I am here"),))

    async def sockets_hand_over() -> None:
        await trio.sleep(CATCH_UP_S / 2)
        rig.driver.receive(PEER, frame)

    rig.core.due = SystemClock().now().monotonic_ns - 2 * LATE_NS
    nursery.start_soon(sockets_hand_over)
    nursery.start_soon(rig.driver.run)
    await rig.core.until(lambda: bool(rig.core.wakes))
    assert rig.core.heard == [(PEER, pack("I am here"))]


async def test_accusations_reach_every_host(rig: Rig) -> None:
    accusation: Outward = Accuse(PEER, "it lied", ())
    second = NotingHost(rig.driver)
    rig.driver.attach(second)
    rig.core.release(accusation)
    rig.driver.receive(PEER, b"")
    rig.driver.flush()
    assert rig.host.events == second.events == [accusation]
