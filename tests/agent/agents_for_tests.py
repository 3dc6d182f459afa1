"""Skills that workers of the tests run."""

import asyncio
import dataclasses
import os
import threading
import time
from typing import Any

from mesh.agent import Agent, Context, NoRetry, Result, TaskFailed

agent = Agent("tester")
attempts: dict[str, int] = {}


@dataclasses.dataclass
class Pair:
    left: int
    right: int


@agent.skill(slots=2)
def plain(n: int) -> int:
    return n + 1


@agent.skill(slots=4)
async def pair(n: int) -> Pair:
    await asyncio.sleep(0)
    return Pair(n, -n)


@agent.skill(retries=0)
def broken(text: str) -> None:
    raise ValueError(text)


@agent.skill(retries=3)
def hopeless() -> None:
    raise NoRetry("never")


@agent.skill(retries=3)
async def flaky(key: str) -> int:
    attempts[key] = attempts.get(key, 0) + 1
    if attempts[key] < 3:
        raise OSError("not yet")
    return attempts[key]


@agent.skill
def liar() -> int:
    return "not a number"  # type: ignore[return-value]  # on purpose


@agent.skill
def confident() -> Result[str]:
    return Result("yes", confidence=0.75)


@agent.skill(slots=1)
async def depth(ctx: Context, levels: int) -> int:
    """With one slot only, this needs parking at every level."""
    return 0 if not levels else 1 + await ctx.call("depth", levels=levels - 1)


@agent.skill(slots=1)
def depth_sync(ctx: Context, levels: int) -> int:
    return 0 if not levels else 1 + ctx.call_sync("depth_sync", levels=levels - 1)


@agent.skill
async def fan_out(ctx: Context, count: int) -> list[int]:
    return await ctx.map("plain", [{"n": i} for i in range(count)])


@agent.skill
def fan_out_sync(ctx: Context, count: int) -> list[int]:
    return ctx.map_sync(plain, ({"n": i} for i in range(count)))


@agent.skill
async def gathers(ctx: Context) -> dict[str, Any]:
    handle = await ctx.submit("plain", n=1)
    results = await ctx.gather(
        handle, ctx.call("broken", text="no"), ctx.call("plain", n=5), allow_partial=True
    )
    return {"results": list(results), "missing": [gap.index for gap in results.missing]}


@agent.skill(retries=0)
async def gathers_all(ctx: Context) -> list[Any]:
    return list(await ctx.gather(ctx.call("plain", n=1), ctx.call("broken", text="no")))


@agent.skill
async def waits(ctx: Context) -> str:
    ctx.progress(0.5, "half way")
    ctx.log("waiting", size=3)
    await asyncio.sleep(30)
    return "never"


@agent.skill
def waits_politely(ctx: Context) -> str:
    while not ctx.cancelled:
        time.sleep(0.005)
    return "stopped"


@agent.skill
def deaf() -> None:
    threading.Event().wait(30)


@agent.skill
def knows(ctx: Context) -> dict[str, Any]:
    left = ctx.time_left
    return {
        "task": ctx.task,
        "attempt": ctx.attempt,
        "key": ctx.idempotency_key,
        "token": ctx.fencing_token,
        "timed": left is not None and 0 < left <= 20,
    }


@agent.skill
async def naps(ctx: Context) -> str:
    await ctx.sleep(0.01)
    return "rested"


@agent.skill
def naps_sync(ctx: Context) -> str:
    ctx.sleep_sync(0.01)
    return "rested"


@agent.skill
async def catches(ctx: Context) -> str:
    try:
        await ctx.options(retries=0).call("broken", text="boom")
    except TaskFailed as error:
        return error.kind
    return "nothing"


@agent.skill(retries=0)
def dies() -> None:
    os._exit(9)
