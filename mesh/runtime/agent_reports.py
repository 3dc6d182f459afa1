"""What workers say of their agents beside their jobs: what they ask, and whether they can work.

A price holds for as long as its worker said, so that one that says nothing more does
not bind the peer for ever. Where several workers price one skill, its slots are offered
at the least favourable of what they ask, for nobody knows which of them will serve.
"""

from collections.abc import Callable
from typing import Any

import trio

from mesh.local.messages import Health, Price, SkillPrice
from mesh.runtime.hosted_skills import HostedSkills, Key
from mesh.runtime.local_requests import Driver
from mesh.runtime.worker_jobs import WorkerLink
from protocols.auction.commands import SetPrice
from protocols.errors import Refused

PRICES_LIMIT = 256
"""Skills that one message may price; more are not looked at."""
VALID_LEAST_MS, VALID_MOST_MS = 100, 2 * 3600 * 1000
REASON_LIMIT = 512
LOOK_S = 1.0


class _Priced:
    """What one agent of one worker asks."""

    def __init__(self) -> None:
        self.prices: dict[Key, SkillPrice] = {}
        self.holds_until = 0.0
        self.fault = ""


class AgentReports:
    """The prices and the health of one peer's agents.

    Args:
        driver: takes `SetPrice`.
        skills: is told which agents cannot work.
        show: takes events.
        declare: tells the core what there is to run, where that has changed.
    """

    def __init__(
        self,
        driver: Driver,
        skills: HostedSkills[WorkerLink],
        show: Callable[[dict[str, Any]], None],
        declare: Callable[[], None],
    ) -> None:
        self._driver = driver
        self._skills = skills
        self._show = show
        self._declare = declare
        self._priced: dict[tuple[WorkerLink, str], _Priced] = {}
        self._told: dict[Key, SetPrice] = {}

    def heard(self, worker: WorkerLink, message: Price | Health) -> None:
        """A worker says something of an agent."""
        if isinstance(message, Price):
            self._price(worker, message)
        else:
            self._health(worker, message)

    def left(self, worker: WorkerLink) -> None:
        """A worker is gone, and nothing that it asked holds."""
        gone = [key for key in self._priced if key[0] is worker]
        for key in gone:
            del self._priced[key]
        if gone:
            self._tell()

    async def run(self) -> None:
        """Lets prices run out, until cancelled."""
        while True:
            await trio.sleep(LOOK_S)
            now = trio.current_time()
            for (_, agent), priced in self._priced.items():
                if priced.prices and now >= priced.holds_until:
                    priced.prices = {}
                    self._failed(agent, priced, "its worker has said nothing more")
            self._tell()

    def _health(self, worker: WorkerLink, message: Health) -> None:
        reason = message.sick[:REASON_LIMIT]
        before = self._skills.ail(worker, worker.process, message.agent, reason)
        if bool(reason) != bool(before):
            word = "agent.sick" if reason else "agent.well"
            event: dict[str, Any] = {"event": word, "agent": message.agent}
            self._show({**event, "reason": reason} if reason else event)
        self._declare()

    def _price(self, worker: WorkerLink, message: Price) -> None:
        priced = self._priced.setdefault((worker, message.agent), _Priced())
        valid_ms = min(max(message.valid_ms, VALID_LEAST_MS), VALID_MOST_MS)
        priced.holds_until = trio.current_time() + valid_ms / 1000
        prices = message.prices[:PRICES_LIMIT] if not message.fault else []
        priced.prices = {(price.name, price.version): price for price in prices}
        if message.fault:
            self._failed(message.agent, priced, message.fault[:REASON_LIMIT])
        elif priced.fault:
            priced.fault = ""
            self._show({"event": "agent.bid-restored", "agent": message.agent})
        self._tell()

    def _failed(self, agent: str, priced: _Priced, reason: str) -> None:
        """Told once for each time that an agent has no price, whatever the reasons."""
        if not priced.fault:
            self._show({"event": "agent.bid-failed", "agent": agent, "reason": reason})
        priced.fault = reason

    def _tell(self) -> None:
        """Tells the auction of every price that is not what it was told last."""
        asked: dict[Key, SetPrice] = {}
        for priced in self._priced.values():
            for key, price in priced.prices.items():
                asked[key] = _dearer(asked.get(key), _command(price))
        for key in [key for key in self._told if key not in asked]:
            del self._told[key]
            self._driver.submit(SetPrice(*key))
        for key, command in asked.items():
            if self._told.get(key) != command:
                try:
                    self._driver.submit(command)
                except Refused as refused:
                    event = {"event": "agent.bid-refused", "skill": key[0], "version": key[1]}
                    self._show({**event, "reason": refused.message})
                self._told[key] = command


def _command(price: SkillPrice) -> SetPrice:
    return SetPrice(price.name, price.version, price.duration_us, price.cost, price.confidence)


def _dearer(one: SetPrice | None, other: SetPrice) -> SetPrice:
    if one is None:
        return other
    return SetPrice(
        one.skill,
        one.version,
        max(one.duration_us, other.duration_us),
        max(one.cost, other.cost),
        min(one.confidence, other.confidence),
    )
