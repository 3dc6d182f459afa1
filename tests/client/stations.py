"""An agent whose values are of a type of its own."""

import datetime
from dataclasses import dataclass

from mesh import Agent

agent = Agent("stations", loop="trio")
older = Agent("older")


@dataclass
class Tide:
    place: str
    metres: float
    at: datetime.datetime | None = None


@agent.skill(inline=True)
def tide(place: str) -> Tide:
    return Tide(place, 4.5)


@older.skill(name="tide")
def older_tide(place: str) -> list[float]:
    """What another process takes the skill for."""
    return [len(place)]
