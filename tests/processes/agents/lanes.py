"""Skills with few slots, to see who gets them."""

import time

from mesh import Agent, Context

agent = Agent("lanes")


@agent.skill(slots=1)
def hold(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@agent.skill(slots=1)
def step(seconds: float) -> float:
    """Takes a while, like its namesake, at slots of its own."""
    time.sleep(seconds)
    return seconds


@agent.skill(slots=1)
def block(seconds: float) -> float:
    """Never ends: a peer with a line of it counts each for a second, for it knows no better."""
    time.sleep(seconds)
    return seconds


@agent.skill(slots=4, retries=2)
def fails(ctx: Context) -> None:
    raise ConnectionError(f"attempt {ctx.attempt}")
