"""What an agent says of its work before it has it: its price, and whether it can work at all."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from mesh.local.messages import SkillPrice

MILLION = 1_000_000
EVERY_S = 1.0
EVERY_LEAST_S, EVERY_MOST_S = 0.05, 3600.0
TIMEOUT_S = 0.5
HEALTH_TIMEOUT_S = 2.0
REASON_LIMIT = 512


class Bid(msgspec.Struct, frozen=True):
    """What one task of a skill is offered for.

    Attributes:
        seconds: how long it will take here; 0 leaves that to what the peer has measured.
        cost: in the mesh's unit of account, one of which weighs as much as a second.
        confidence: how likely the task is to succeed here, from 0 to 1.
    """

    seconds: float = 0.0
    cost: float = 0.0
    confidence: float = 1.0

    def __post_init__(self) -> None:
        """Refuses what is no price.

        Raises:
            ValueError: a number is out of its range.
        """
        if not (0 <= self.seconds < float("inf") and 0 <= self.cost < float("inf")):
            raise ValueError("seconds and cost of a Bid are numbers from 0")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence {self.confidence} is not between 0 and 1")


class Offer(NamedTuple):
    """What an `@agent.bid` handler is asked to price.

    Attributes:
        skill: the skill's name.
        version: its version.
        slots: how many of its tasks this worker runs at once.
        running: how many it runs or holds now.
    """

    skill: str
    version: str
    slots: int
    running: int


class Handler(NamedTuple):
    """A handler that is asked again and again, and how."""

    function: Callable[..., Any]
    every: float
    timeout: float


def asked(what: str, function: Callable[..., Any], every: float, timeout: float) -> Handler:
    """A handler of this kind.

    Raises:
        ValueError: a time makes no sense.
    """
    if not EVERY_LEAST_S <= every <= EVERY_MOST_S:
        raise ValueError(f"{what}: every is between {EVERY_LEAST_S} and {EVERY_MOST_S:g} seconds")
    if not 0 < timeout <= EVERY_MOST_S:
        raise ValueError(f"{what}: timeout is above 0, and at most {EVERY_MOST_S:g} seconds")
    return Handler(function, every, timeout)


def price_of(offer: Offer, bid: object) -> SkillPrice:
    """A handler's answer as the peer is told it; None asks for nothing of its own.

    Raises:
        TypeError: it is neither None nor a `Bid`.
    """
    if bid is None:
        return SkillPrice(name=offer.skill, version=offer.version)
    if not isinstance(bid, Bid):
        raise TypeError(f"a bid handler returns a Bid or None, not {type(bid).__name__}")
    return SkillPrice(
        name=offer.skill,
        version=offer.version,
        duration_us=min(round(bid.seconds * MILLION), 2**62),
        cost=min(round(bid.cost * MILLION), 2**62),
        confidence=round(bid.confidence * MILLION),
    )


def sickness_of(answer: object) -> str:
    """Why an agent cannot work, "" where it can, by what its health handler returned.

    Raises:
        TypeError: the answer is neither None, a truth value nor text.
    """
    if answer is None or answer is True or answer == "":
        return ""
    if answer is False:
        return "its health handler says so"
    if isinstance(answer, str):
        return answer[:REASON_LIMIT]
    raise TypeError(
        f"a health handler returns None, True, False or a reason, not {type(answer).__name__}"
    )
