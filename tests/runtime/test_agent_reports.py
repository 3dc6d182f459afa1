"""What a peer makes of the prices that its workers ask."""

from typing import Any

import msgspec
import trio
import trio.testing

from mesh.local.messages import Price, SkillPrice
from mesh.runtime.agent_reports import AgentReports
from mesh.runtime.hosted_skills import HostedSkills
from mesh.runtime.worker_jobs import WorkerLink
from protocols.auction.commands import SetPrice
from protocols.errors import Refused


class Peer:
    """Takes commands and events."""

    def __init__(self) -> None:
        self.told: list[msgspec.Struct] = []
        self.events: list[dict[str, Any]] = []
        self.is_full = False
        self.reports = AgentReports(self, HostedSkills(), self.events.append, lambda: None)

    def submit(self, command: msgspec.Struct) -> object:
        if self.is_full:
            raise Refused("TooManyPrices", "1024 skills have a price already")
        self.told.append(command)
        return None

    def flush(self) -> None: ...

    def hears(self, worker: WorkerLink, *, fault: str = "", **price: Any) -> None:
        prices = [SkillPrice(name="s", **price)]
        self.reports.heard(worker, Price(agent="a", prices=prices, valid_ms=3000, fault=fault))


def worker() -> WorkerLink:
    return WorkerLink.__new__(WorkerLink)


async def test_a_price_is_told_once_and_taken_back_when_nothing_more_is_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    peer, one = Peer(), worker()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.reports.run)
        for _ in range(3):
            peer.hears(one, cost=5)
        assert peer.told == [SetPrice("s", "1", cost=5)]
        await trio.sleep(10)
        assert peer.told[1:] == [SetPrice("s", "1")]
        assert [event["event"] for event in peer.events] == ["agent.bid-failed"]
        peer.hears(one, cost=5)
        assert peer.told[2:] == [SetPrice("s", "1", cost=5)]
        assert [event["event"] for event in peer.events][1:] == ["agent.bid-restored"]
        nursery.cancel_scope.cancel()


async def test_a_fault_is_told_once_and_takes_the_price_back() -> None:
    peer, one = Peer(), worker()
    peer.hears(one, cost=5)
    peer.hears(one, fault="it raised")
    peer.hears(one, fault="it raised again")
    assert peer.told[1:] == [SetPrice("s", "1")]
    (event,) = peer.events
    assert event == {"event": "agent.bid-failed", "agent": "a", "reason": "it raised"}


async def test_several_workers_offer_a_skill_at_the_least_favourable_of_their_prices() -> None:
    peer, one, two = Peer(), worker(), worker()
    peer.hears(one, duration_us=9, cost=1, confidence=900_000)
    peer.hears(two, duration_us=3, cost=5, confidence=990_000)
    assert peer.told[-1] == SetPrice("s", "1", 9, 5, 900_000)
    peer.reports.left(one)
    assert peer.told[-1] == SetPrice("s", "1", 3, 5, 990_000)
    peer.reports.left(two)
    assert peer.told[-1] == SetPrice("s", "1")


async def test_a_price_that_the_auction_does_not_take_is_an_event() -> None:
    peer = Peer()
    peer.is_full = True
    peer.hears(worker(), cost=5)
    assert [event["event"] for event in peer.events] == ["agent.bid-refused"]
