"""The built-in agent, for trying and measuring a mesh that has no agents yet."""

import os
import time

import trio

from mesh.agent import Agent

agent = Agent("probe", loop="trio")


@agent.skill(inline=True, slots=64)
def echo(**value: object) -> dict[str, object]:
    """Returns its input."""
    return value


@agent.skill(inline=True, slots=256)
async def sleep(seconds: float = 1.0) -> float:
    """Waits for so many seconds, and returns how many."""
    await trio.sleep(seconds)
    return seconds


@agent.skill(inline=True, slots=16, retries=0)
def fail(message: str = "the probe fails on purpose") -> None:
    """Raises an error with this message."""
    raise RuntimeError(message)


@agent.skill(slots=2)
def hang(seconds: float = 3600.0) -> float:
    """Keeps a thread of its worker busy, deaf to cancellation."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(0.01)
    return seconds


@agent.skill(slots=1)
def crash() -> None:
    """Ends its worker process at once."""
    os._exit(70)
