"""Skills that behave well, badly and worse; all leave marks in files where that is asked."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

from mesh import Agent, Context

agent = Agent("crew")
helper = Agent("helper")


@agent.skill(slots=8)
def add(a: int, b: int = 1) -> int:
    return a + b


@agent.skill(slots=8)
def thread_name() -> str:
    return threading.current_thread().name


@agent.skill(slots=64)
async def wait(seconds: float, value: int = 0) -> int:
    await asyncio.sleep(seconds)
    return value


@agent.skill(slots=4)
def size(blob: str) -> int:
    return len(blob)


@agent.skill(slots=4)
def blob(length: int) -> str:
    return "x" * length


@agent.skill(slots=4)
def count(items: list[int]) -> int:
    return len(items)


@agent.skill(retries=0, slots=4)
def raises(message: str) -> None:
    raise ValueError(message)


@agent.skill(retries=2, slots=1)
def flaky(ctx: Context, good_attempt: int) -> int:
    """Raises until its attempt has this number."""
    if ctx.attempt < good_attempt:
        raise ConnectionError(f"attempt {ctx.attempt}")
    return ctx.attempt


@agent.skill(retries=0, slots=2)
def wrong_output(path: str) -> int:
    mark(path, "ran")
    return "not a number"  # type: ignore[return-value]  # the very point


@agent.skill(slots=2)
def deaf(path: str, seconds: float = 600.0) -> None:
    """Sleeps in its thread, and hears nothing."""
    mark(path, "began")
    time.sleep(seconds)


@agent.skill(retries=0, slots=1)
def spin(path: str) -> None:
    """Burns a core, and hears nothing."""
    mark(path, f"began {os.getpid()}")
    while True:
        sum(range(10_000))


@agent.skill(retries=1, slots=1)
def exits(status: int = 70) -> None:
    os._exit(status)


@agent.skill(retries=2, slots=1)
def dies_first(ctx: Context) -> int:
    """Ends its process at the first attempt."""
    if ctx.attempt == 1:
        os._exit(71)
    return ctx.attempt


@agent.skill(slots=8)
async def cancellable(path: str, seconds: float = 600.0) -> None:
    """Says when it is told to stop."""
    mark(path, "began")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        mark(path, "cancelled")
        raise
    mark(path, "ended")


@agent.skill(slots=4)
def polite(ctx: Context, path: str) -> str:
    """A plain handler that looks whether it is to stop."""
    mark(path, "began")
    while not ctx.cancelled:
        time.sleep(0.005)
    mark(path, "cancelled")
    return "stopped"


@agent.skill(slots=16)
def mark_index(path: str, index: int, seconds: float = 0.0, gate: str = "") -> int:
    """Gives its index back, after a while, or when a file is there."""
    if seconds:
        time.sleep(seconds)
    while gate and not Path(gate).exists():
        time.sleep(0.005)
    return index


@agent.skill(slots=4)
def hold(ctx: Context, path: str, gate: str) -> int:
    """Runs until a file is there; gives the number of its attempt."""
    mark(path, f"began {os.getpid()}")
    while not Path(gate).exists() and not ctx.cancelled:
        time.sleep(0.005)
    return ctx.attempt


@agent.skill(slots=1)
async def nested(ctx: Context, depth: int) -> int:
    """Calls itself so many times, one in the other."""
    if depth == 0:
        return 0
    below: int = await ctx.call("nested", depth=depth - 1)
    return below + 1


@agent.skill(slots=1)
def nested_plain(ctx: Context, depth: int) -> int:
    """The same from a thread."""
    if depth == 0:
        return 0
    below: int = ctx.call_sync("nested_plain", depth=depth - 1)
    return below + 1


@agent.skill(slots=1, retries=0)
async def gathers(ctx: Context, partial: bool) -> list[Any]:
    """One child of three fails."""
    return list(
        await ctx.gather(
            ctx.call("add", a=1),
            ctx.call("raises", message="a child fails"),
            ctx.call("add", a=3),
            allow_partial=partial,
        )
    )


@agent.skill(slots=1)
async def maps(ctx: Context, count: int) -> int:
    """The sum of many children."""
    values = await ctx.map("add", [{"a": i, "b": 0} for i in range(count)])
    return sum(values)


@agent.skill(slots=1)
async def parent(ctx: Context, path: str) -> None:
    """Awaits a child that says when it is told to stop."""
    await ctx.call("cancellable", path=path)


@agent.skill(slots=4)
async def story(ctx: Context) -> dict[str, Any]:
    """What a handler knows of its task."""
    ctx.progress(0.5, "half of it")
    ctx.log("said", colour="green")
    return {"task": ctx.task, "attempt": ctx.attempt, "skill": ctx.skill, "left": ctx.time_left}


@helper.skill(slots=2)
def help_out(name: str) -> str:
    return f"helped {name}"


def mark(path: str, word: str) -> None:
    """A line in a file, whole."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(word + "\n")
