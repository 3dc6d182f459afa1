"""What type checkers make of calls by function; never run, but checked with everything else."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import msgspec

from mesh import Agent, AsyncClient, Client, Context, Result
from mesh.client import Handle, Refused, TaskFailed
from mesh.client.async_client import AsyncHandle

agent = Agent("librarian")


class Passage(msgspec.Struct):
    text: str


@agent.skill(version="2", slots=4)
async def retrieve(ctx: Context, query: str, limit: int = 5) -> list[Passage]:
    return [Passage(query)] * limit


@agent.skill
def length(text: str) -> int:
    return len(text)


@agent.skill
async def guess(ctx: Context) -> Result[float]:
    return Result(0.5, confidence=0.1)


@agent.skill
def certain(text: str) -> Result[bytes]:
    return Result(text.encode(), confidence=1)


def of_a_client(client: Client) -> None:
    assert_type(client.call(retrieve, query="tides"), list[Passage])
    assert_type(client.call(length, text="tides"), int)
    assert_type(client.call(guess), float)
    assert_type(client.call(certain, text=""), bytes)
    assert_type(client.call("length@1", anything=1), Any)
    assert_type(client.submit(retrieve, query="tides", limit=1), Handle[list[Passage]])
    assert_type(client.submit(retrieve, query="tides").result(timeout=3), list[Passage])
    assert_type(client.options(retries=0).call(length, text=""), int)
    assert_type(client.map(length, [{"text": ""}]), Iterator[int])
    assert_type(client.map(certain, [{"text": ""}]), Iterator[bytes])
    assert_type(client.map("length", [{"text": ""}]), Iterator[Any])
    assert_type(client.map(length, [{"text": ""}], return_exceptions=True), Iterator[Any])


async def of_an_async_client(client: AsyncClient) -> None:
    assert_type(await client.call(retrieve, query="tides"), list[Passage])
    assert_type(await client.call(length, text="tides"), int)
    assert_type(await client.call(certain, text=""), bytes)
    assert_type(await client.submit(guess), AsyncHandle[float])
    assert_type(await (await client.submit(guess)), float)
    assert_type(client.map(retrieve, [{"query": ""}]), AsyncIterator[list[Passage]])
    async for index, outcome in client.map_unordered(length, [{"text": ""}]):
        assert_type(index, int)
        assert_type(outcome.error, TaskFailed | Refused | None)
