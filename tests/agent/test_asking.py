"""What an agent asks and how it is, as its worker finds out."""

import threading

import pytest

from mesh.agent import Agent, Bid, Offer
from mesh.agent.asking import Asking
from mesh.agent.loop import LoopHost
from mesh.local.messages import Health, LocalMessage, Price, SkillPrice


class Heard:
    """What the peer is told."""

    def __init__(self, agent: Agent) -> None:
        @agent.skill(slots=3)
        def work() -> None: ...

        self.messages: list[LocalMessage] = []
        self._came = threading.Semaphore(0)
        loop = LoopHost(agent.loop)
        threading.Thread(target=loop.run, daemon=True).start()
        self.asking = Asking(agent, loop, self._take, lambda skill: 2)

    def _take(self, message: LocalMessage) -> None:
        self.messages.append(message)
        self._came.release()

    def next(self) -> LocalMessage:
        assert self._came.acquire(timeout=10)
        return self.messages[-1]

    def next_price(self) -> Price:
        told = self.next()
        assert isinstance(told, Price)
        return told


@pytest.fixture
def agent() -> Agent:
    return Agent("asked")


def test_a_price_is_told_again_and_again_and_says_how_long_it_holds(agent: Agent) -> None:
    offers: list[Offer] = []

    @agent.bid(every=0.05, timeout=0.5)
    def price(offer: Offer) -> Bid:
        offers.append(offer)
        return Bid(seconds=0.25, cost=2, confidence=0.9)

    heard = Heard(agent)
    heard.asking.start()
    asked = [SkillPrice(name="work", duration_us=250_000, cost=2_000_000, confidence=900_000)]
    assert heard.next() == Price(agent="asked", prices=asked, valid_ms=2_550)
    heard.next()
    assert offers[0] == Offer("work", "1", slots=3, running=2)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_handler_that_raises_has_no_price(agent: Agent, is_async: bool) -> None:
    def price(offer: Offer) -> Bid:
        raise RuntimeError("no list of prices")

    async def later(offer: Offer) -> Bid:
        return price(offer)

    agent.bid(every=0.05)(later if is_async else price)
    heard = Heard(agent)
    heard.asking.start()
    told = heard.next()
    assert isinstance(told, Price)
    assert told.prices == []
    assert told.fault == "work@1: its handler raised RuntimeError: no list of prices"


def test_a_handler_that_hangs_is_not_asked_again_before_it_ends(agent: Agent) -> None:
    let_go = threading.Event()
    calls: list[Offer] = []

    @agent.bid(every=0.05, timeout=0.05)
    def price(offer: Offer) -> None:
        calls.append(offer)
        let_go.wait(10)

    heard = Heard(agent)
    heard.asking.start()
    assert "did not answer in 0.05 s" in heard.next_price().fault
    assert "an earlier call of its handler has not ended" in heard.next_price().fault
    assert len(calls) == 1
    let_go.set()
    while not (told := heard.next_price()).prices:
        continue
    assert told.prices == [SkillPrice(name="work")], "None asks for nothing"


def test_health_is_told_where_it_changes(agent: Agent) -> None:
    answers = [None, True, "", "down", "down", False, "up to a point"]
    given = iter(answers)

    @agent.health
    def backend() -> object:
        return next(given, None)

    heard = Heard(agent)
    for _ in answers:
        heard.asking.look()
    reasons = [m.sick for m in heard.messages if isinstance(m, Health)]
    assert reasons == ["", "down", "its health handler says so", "up to a point"]


def test_a_coroutine_that_does_not_answer_in_time_is_cancelled_and_its_agent_sick(
    agent: Agent,
) -> None:
    import asyncio

    ended = threading.Event()

    @agent.health(timeout=0.05)
    async def backend() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    heard = Heard(agent)
    heard.asking.look()
    assert heard.messages == [Health(agent="asked", sick="its handler did not answer in 0.05 s")]
    assert ended.wait(10)


@pytest.mark.parametrize("answer", [1.5, object()])
def test_what_is_no_answer_is_a_sickness(agent: Agent, answer: object) -> None:
    agent.health(lambda: answer)
    heard = Heard(agent)
    heard.asking.look()
    assert "a health handler returns None, True, False or a reason" in str(heard.messages[0])


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"seconds": -1}, "numbers from 0"),
        ({"cost": float("inf")}, "numbers from 0"),
        ({"seconds": float("nan")}, "numbers from 0"),
        ({"confidence": 1.1}, "not between 0 and 1"),
    ],
)
def test_a_bid_that_makes_no_sense_is_refused(fields: dict[str, float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Bid(**fields)


def test_an_agent_has_one_handler_of_each_kind(agent: Agent) -> None:
    agent.bid(lambda offer: None)
    agent.health(lambda: None)
    with pytest.raises(ValueError, match="has a bid handler already"):
        agent.bid(lambda offer: None)
    with pytest.raises(ValueError, match="has a health handler already"):
        agent.health(lambda: None)
    with pytest.raises(ValueError, match="every is between"):
        Agent("hasty").bid(every=0.001)(lambda offer: None)
