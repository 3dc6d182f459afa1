"""Trio handlers, in a worker and inline."""

import trio

from mesh import Agent

agent = Agent("trio-crew", loop="trio")


@agent.skill(slots=8)
async def trio_wait(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@agent.skill(slots=64, inline=True)
async def inline_wait(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@agent.skill(slots=64, inline=True)
def inline_double(value: int) -> int:
    return value * 2
