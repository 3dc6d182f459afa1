"""An agent that knows tides: the one that tides_api.py calls."""

from dataclasses import dataclass

from mesh import Agent, NoRetry

agent = Agent("tides")
METRES = {"Brest": 4.5, "Dover": 6.1}


@dataclass
class Tide:
    """High water at a place."""

    place: str
    metres: float


@agent.skill(timeout=5, slots=4)
def tide(place: str) -> Tide:
    """How high the water comes."""
    if place not in METRES:
        raise NoRetry(f"no gauge at {place}")
    return Tide(place, METRES[place])
