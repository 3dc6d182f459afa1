"""Handlers that await anything but their context are refused, whatever they make of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

from mesh.agent import Agent, Context, MeshError, Refused, TaskFailed
from mesh.testing import ForeignAwait, LocalMesh


async def sleep_under_asyncio(ctx: Context) -> None:
    await asyncio.sleep(1)


async def spawn_a_task(ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))


async def limit_the_time(ctx: Context) -> None:
    async with asyncio.timeout(1):
        await ctx.sleep(0.1)


async def use_a_thread(ctx: Context) -> None:
    await asyncio.to_thread(sum, [1])


async def sleep_under_trio(ctx: Context) -> None:
    await trio.sleep(1)


async def sleep_under_anyio(ctx: Context) -> None:
    await anyio.sleep(1)


async def hide_it(ctx: Context) -> None:
    try:
        await asyncio.sleep(1)
    except MeshError:
        await ctx.sleep(1)


class Strange:
    def __await__(self) -> Any:
        yield "a trap of nobody's"


async def await_something_strange(ctx: Context) -> None:
    await Strange()


@pytest.mark.parametrize(
    "handler",
    [
        sleep_under_asyncio, spawn_a_task, limit_the_time, use_a_thread, sleep_under_trio,
        sleep_under_anyio, hide_it, await_something_strange,
    ],
)  # fmt: skip
def test_a_foreign_await_ends_the_test_and_says_what_to_do(
    handler: Callable[[Context], Any],
) -> None:
    agent = Agent("stranger")
    agent.skill(handler)
    with (
        pytest.raises(ForeignAwait, match=rf"skill {handler.__name__} .*ctx\.sleep.*replay"),
        LocalMesh(peers=1, agents=agent, seed=1) as mesh,
    ):
        mesh.client.call(handler.__name__)


def test_letting_others_go_first_is_no_foreign_await() -> None:
    agent = Agent("polite")

    @agent.skill
    async def polite(n: int) -> int:
        await asyncio.sleep(0)
        return n

    with LocalMesh(peers=1, agents=agent, seed=1) as mesh:
        assert mesh.client.call("polite", n=3) == 3


def test_a_lock_that_nobody_holds_is_no_foreign_await() -> None:
    agent = Agent("locked")
    lock = asyncio.Lock()

    @agent.skill
    async def locked() -> bool:
        async with lock:
            return lock.locked()

    with LocalMesh(peers=1, agents=agent, seed=1) as mesh:
        assert mesh.client.call("locked")


def test_asyncio_is_itself_again_between_two_steps() -> None:
    agent = Agent("plain")

    @agent.skill
    async def waits(ctx: Context) -> None:
        await ctx.sleep(1)

    with LocalMesh(peers=1, agents=agent, seed=1) as mesh:
        mesh.client.submit("waits")
        mesh.run(0.5)
        assert asyncio.run(asyncio.sleep(0, "free")) == "free"


def test_a_plain_handler_may_run_a_loop_of_its_own() -> None:
    agent = Agent("plain")

    @agent.skill
    def runs_a_loop() -> str:
        return asyncio.run(asyncio.sleep(0, "its own"))

    @agent.skill
    def runs_a_loop_in_its_thread(ctx: Context) -> str:
        ctx.sleep_sync(1)
        return asyncio.run(asyncio.sleep(0, "its own"))

    @agent.skill(retries=0)
    def has_none() -> None:
        asyncio.get_running_loop()

    with LocalMesh(peers=1, agents=agent, seed=1) as mesh:
        assert mesh.client.call("runs_a_loop") == "its own"
        assert mesh.client.call("runs_a_loop_in_its_thread") == "its own"
        with pytest.raises(TaskFailed, match="no running event loop"):
            mesh.client.call("has_none")


def test_an_inline_plain_handler_cannot_wait_here_either() -> None:
    agent = Agent("inline")

    @agent.skill(inline=True, retries=0)
    def asks(ctx: Context) -> None:
        ctx.call_sync("asks")

    with LocalMesh(peers=1, agents=agent, seed=1) as mesh:
        error = mesh.client.submit("asks").outcome().error
        assert not isinstance(error, Refused)
        assert error is not None
        assert "make it async" in error.message
