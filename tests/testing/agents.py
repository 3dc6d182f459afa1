"""Agents of the tests: written as for a real mesh."""

import asyncio
import threading
from typing import Any

import trio

from mesh.agent import Agent, Context, NoRetry, TaskFailed

worker = Agent("worker")
diary: list[str] = []
"""What handlers note for tests; see the fixture that empties it."""


@worker.skill(slots=2)
def double(n: int) -> int:
    return 2 * n


@worker.skill(slots=2)
async def slow_double(ctx: Context, n: int, seconds: float = 1) -> int:
    diary.append(f"begin {n}")
    try:
        await ctx.sleep(seconds)
    except asyncio.CancelledError:
        diary.append(f"cancelled {n}")
        raise
    finally:
        diary.append(f"finally {n}")
    return 2 * n


@worker.skill
async def total(ctx: Context, numbers: list[int]) -> int:
    doubled: list[int] = await ctx.map(slow_double, [{"n": n} for n in numbers])
    return sum(doubled)


@worker.skill
async def depth(ctx: Context, levels: int) -> int:
    """One slot at every level: only parking lets this end."""
    below: int = await ctx.call("depth", levels=levels - 1) if levels else -1
    return below + 1


@worker.skill
def depth_sync(ctx: Context, levels: int) -> int:
    below: int = ctx.call_sync("depth_sync", levels=levels - 1) if levels else -1
    return below + 1


@worker.skill(retries=3)
async def flaky(ctx: Context) -> int:
    diary.append(f"attempt {ctx.attempt}")
    if ctx.attempt < 3:
        raise OSError("not yet")
    return ctx.attempt


@worker.skill(retries=3)
async def hopeless() -> None:
    raise NoRetry("never")


@worker.skill(retries=0)
def broken(text: str) -> None:
    raise ValueError(text)


@worker.skill
async def gathers(ctx: Context) -> dict[str, Any]:
    results = await ctx.gather(
        ctx.call(double, n=1), ctx.call(broken, text="no"), slow_double(ctx, 5), allow_partial=True
    )
    return {"results": list(results), "missing": [gap.index for gap in results.missing]}


@worker.skill
async def catches(ctx: Context) -> str:
    try:
        await ctx.call(broken, text="boom")
    except TaskFailed as error:
        return error.kind
    return "nothing"


@worker.skill(timeout=3600, retries=0)
async def hangs(ctx: Context) -> None:
    ctx.progress(0.5, "half way")
    ctx.log("hanging", size=3)
    while True:
        await ctx.sleep(600)


@worker.skill
async def knows(ctx: Context) -> dict[str, Any]:
    left = ctx.time_left
    await ctx.sleep(2)
    return {"before": left, "after": ctx.time_left}


@worker.skill
def polls(ctx: Context) -> str:
    diary.append("polls")
    while not ctx.cancelled:
        pass
    diary.append("stopped")
    return "stopped"


@worker.skill
def sleeps_in_a_thread(ctx: Context) -> str:
    try:
        ctx.sleep_sync(100)
    except Exception as error:
        diary.append(type(error).__name__)
        raise
    finally:
        diary.append(threading.current_thread().name)
    return "slept"


@worker.skill(retries=0)
async def deaf(ctx: Context) -> str:
    while True:
        try:
            await ctx.sleep(10)
        except asyncio.CancelledError:
            diary.append("not listening")


three = Agent("three", loop="trio")


@three.skill(retries=0)
async def waits_under_trio(ctx: Context) -> None:
    try:
        await ctx.sleep(100)
    except trio.Cancelled:
        diary.append("trio.Cancelled")
        raise


everybody = [worker, three]
