import trio

from mesh.agent.parking import Parking
from mesh.local.messages import LocalMessage, Park


class Peer:
    """Notes what it is told; the test resumes."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.slots: list[bool] = []
        self.parking = Parking(7, self.take, self.slots.append)

    def take(self, message: LocalMessage) -> None:
        assert isinstance(message, Park)
        self.told.append(message.waiting)


async def test_a_waiting_job_parks_and_goes_on_when_resumed() -> None:
    peer = Peer()
    peer.parking.begin_wait()
    assert peer.told == [True]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.parking.end_wait)
        await trio.testing.wait_all_tasks_blocked()
        assert peer.told == [True, False]
        assert peer.parking.state == "returning"
        peer.parking.resume()
    assert peer.parking.state == "running"
    assert peer.slots == [True, False]


async def test_only_the_last_of_several_waits_asks_for_the_slot() -> None:
    peer = Peer()
    peer.parking.begin_wait()
    peer.parking.begin_wait()
    await peer.parking.end_wait()
    assert peer.told == [True]
    assert peer.parking.state == "parked"


async def test_a_wait_that_begins_while_returning_parks_again_after_resume() -> None:
    peer = Peer()
    peer.parking.begin_wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.parking.end_wait)
        await trio.testing.wait_all_tasks_blocked()
        peer.parking.begin_wait()
        peer.parking.resume()
    assert peer.told == [True, False, True]
    assert peer.slots == [True, False, True]


def test_a_resume_that_nobody_asked_for_changes_nothing() -> None:
    peer = Peer()
    peer.parking.resume()
    assert peer.parking.state == "running"
    assert peer.slots == []
