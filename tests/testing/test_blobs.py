"""Blobs of a simulated mesh: put, got elsewhere, and got when their holder is back."""

import pytest

from mesh import BlobRef
from mesh.agent import Agent, Context
from mesh.client import Refused
from mesh.testing import LocalMesh

library = Agent("library")


@library.skill(retries=0)
async def shout(ctx: Context, book: BlobRef) -> BlobRef:
    return await ctx.blobs.put((await ctx.blobs.get(book)).upper())


@library.skill(retries=0)
def count(ctx: Context, book: BlobRef) -> int:
    return len(ctx.blobs_sync.get(book))


def local_mesh(seed: int = 5) -> LocalMesh:
    return LocalMesh(peers=3, agents=library, seed=seed)


def test_a_handler_gets_what_a_client_put_at_another_peer() -> None:
    with local_mesh() as mesh:
        blobs = mesh.connect("peer-1").blobs
        content = b"the quick brown fox " * 10_000
        ref = blobs.put(content)
        at_two = mesh.client.options(to="peer-2")
        assert at_two.call("count", book=ref) == len(content)
        loud = mesh.client.options(to="peer-3").call("shout", book=ref)
        assert blobs.get(loud) == content.upper()
        assert blobs.rm(ref)
        assert [row.kept for row in blobs.ls().blobs] == [False]


def test_a_fetch_waits_for_a_holder_that_is_away() -> None:
    with local_mesh() as mesh:
        ref = mesh.connect("peer-1").blobs.put(b"x" * 300_000)
        mesh.kill("peer-1")
        mesh.run(20)
        handle = mesh.connect("peer-2").options(to="peer-2").submit("count", book=ref)
        mesh.run(3)
        mesh.restart("peer-1")
        assert handle.result() == 300_000


def test_what_nobody_has_is_refused() -> None:
    with local_mesh() as mesh, pytest.raises(Refused, match="NoHolder"):
        mesh.client.blobs.get("0" * 64)
