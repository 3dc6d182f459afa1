"""Asks an agent's handlers for its price and its health, again and again.

Each agent with such a handler has a thread that asks. A plain handler runs in a
thread of its own, a coroutine on the worker's loop; one that has not answered in
its time is not waited for, and not asked again before it has ended.
"""

import inspect
import threading
from collections.abc import Callable
from typing import Any

from mesh.agent.agent import Agent
from mesh.agent.loop import LoopHost
from mesh.agent.pricing import REASON_LIMIT, Handler, Offer, price_of, sickness_of
from mesh.agent.redaction import redactor
from mesh.local.messages import Health, LocalMessage, Price, SkillPrice

GRACE_S = 2.0
"""A price holds so much longer than its handler's interval and time together."""


class NoAnswer(Exception):
    """A handler raised, or did not answer in time; says which."""


class _Call:
    """One call of a handler."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self.cancel: Callable[[], object] | None = None


class Bounded:
    """Calls one handler, and waits no longer than its time."""

    def __init__(self, handler: Handler, loop: LoopHost) -> None:
        self._handler = handler
        self._loop = loop
        self._is_async = inspect.iscoroutinefunction(handler.function)
        self._call: _Call | None = None

    def __call__(self, *arguments: Any) -> Any:
        """The handler's answer.

        Raises:
            NoAnswer: there is none.
        """
        if self._call is not None and not self._call.ended.is_set():
            raise NoAnswer("an earlier call of its handler has not ended")
        call = self._call = _Call()
        if self._is_async:
            self._loop.want()
            self._loop.post(self._spawn, call, arguments)
        else:
            threading.Thread(target=self._run, args=(call, arguments), daemon=True).start()
        if not call.ended.wait(self._handler.timeout):
            if self._is_async:
                self._loop.post(_cancel, call)
            raise NoAnswer(f"its handler did not answer in {self._handler.timeout:g} s")
        if call.error is not None:
            raise NoAnswer(f"its handler raised {type(call.error).__name__}: {call.error}")
        return call.value

    def _run(self, call: _Call, arguments: tuple[Any, ...]) -> None:
        try:
            call.value = self._handler.function(*arguments)
        except BaseException as error:  # noqa: BLE001  # whatever it raises is no answer
            call.error = error
        call.ended.set()

    def _spawn(self, call: _Call, arguments: tuple[Any, ...]) -> None:
        call.cancel = self._loop.spawn(self._await, call, arguments)

    async def _await(self, call: _Call, arguments: tuple[Any, ...]) -> None:
        try:
            call.value = await self._handler.function(*arguments)
        except Exception as error:  # noqa: BLE001  # whatever it raises is no answer
            call.error = error
        finally:
            call.ended.set()


def _cancel(call: _Call) -> None:
    if call.cancel is not None:
        call.cancel()


class Asking:
    """The price and the health of one agent, as its peer is told them.

    Args:
        agent: whose handlers are asked.
        loop: where coroutines run.
        send: takes messages to the peer.
        running: how many jobs of a skill this worker has.
    """

    def __init__(
        self,
        agent: Agent,
        loop: LoopHost,
        send: Callable[[LocalMessage], None],
        running: Callable[[tuple[str, str]], int],
    ) -> None:
        self._agent = agent
        self._send = send
        self._running = running
        self._bid = agent.bidding and Bounded(agent.bidding, loop)
        self._health = agent.checking and Bounded(agent.checking, loop)
        self._sick: str | None = None

    def look(self) -> None:
        """Asks for the health for the first time, before the peer knows of any skill."""
        if self._health is not None:
            self._look()

    def start(self) -> None:
        """Asks from now on."""
        for handler, ask in (
            (self._agent.bidding, self._price),
            (self._agent.checking, self._look),
        ):
            if handler is not None:
                name = f"{self._agent.name}-{ask.__name__.strip('_')}"
                threading.Thread(
                    target=_repeat, args=(ask, handler.every), name=name, daemon=True
                ).start()

    def _look(self) -> None:
        assert self._health is not None, "only an agent with a health handler is looked at"
        try:
            sick = redactor.clean(sickness_of(self._health()))
        except (NoAnswer, TypeError) as error:
            sick = redactor.clean(str(error))[:REASON_LIMIT]
        if sick != self._sick:
            self._sick = sick
            self._send(Health(agent=self._agent.name, sick=sick))

    def _price(self) -> None:
        handler = self._agent.bidding
        assert self._bid is not None and handler is not None, "only an agent that bids is asked"
        valid_ms = round((handler.every + handler.timeout + GRACE_S) * 1000)
        prices: list[SkillPrice] = []
        fault = ""
        for (name, version), skill in self._agent.skills.items():
            offer = Offer(name, version, skill.slots, self._running((name, version)))
            try:
                prices.append(price_of(offer, self._bid(offer)))
            except (NoAnswer, TypeError) as error:
                prices, fault = [], redactor.clean(f"{name}@{version}: {error}")[:REASON_LIMIT]
                break
        message = Price(agent=self._agent.name, prices=prices, valid_ms=valid_ms, fault=fault)
        self._send(message)


def _repeat(ask: Callable[[], None], every: float) -> None:
    pause = threading.Event()
    while True:
        ask()
        pause.wait(every)
