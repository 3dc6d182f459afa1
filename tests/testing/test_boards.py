"""The blackboard of a simulated mesh is the real one, in virtual time."""

import asyncio

import pytest

from mesh.agent import Agent, Context
from mesh.client import Refused
from mesh.testing import LocalMesh
from tests.testing.agents import diary

scribes = Agent("scribes")


@scribes.skill
async def writes(ctx: Context, key: str, value: str) -> str:
    await ctx.board.put(key, value)
    return str(await ctx.board.get(key))


@scribes.skill
def writes_in_a_thread(ctx: Context, key: str) -> float:
    ctx.board_sync.deposit(key, 4, half_life=10)
    ctx.sleep_sync(10)
    return ctx.board_sync.sense(key)


@scribes.skill(retries=0)
async def follows(ctx: Context, prefix: str, count: int) -> list[str]:
    seen: list[str] = []
    async for change in ctx.board.watch(prefix, since=""):
        seen.append(change.key)
        if len(seen) == count:
            break
    return seen


@scribes.skill(retries=0)
async def follows_until_it_is_stopped(ctx: Context) -> None:
    try:
        async for _ in ctx.board.watch("quiet/", since=""):
            pass
    except asyncio.CancelledError:
        diary.append("stopped")
        raise


def local_mesh(peers: int = 3, seed: int = 3) -> LocalMesh:
    return LocalMesh(peers=peers, agents=scribes, seed=seed)


def test_handlers_and_clients_of_other_peers_share_a_board() -> None:
    with local_mesh() as mesh:
        near, far = mesh.connect("peer-1").board, mesh.connect("peer-3").board
        at_two = mesh.client.options(to="peer-2")
        assert at_two.call("writes", key="notes/1", value="low tide") == "low tide"
        assert far.get("notes/1") == "low tide"
        assert near.increment("count", 2).replicated
        far.increment("count", 3)
        mesh.run(1)
        assert [board.get("count") for board in (near, far)] == [5, 5]
        assert [entry.key for entry in far.ls("notes/")] == ["notes/1"]
        with pytest.raises(Refused, match="WrongType"):
            near.put("count", 1)


def test_marks_evaporate_in_virtual_time() -> None:
    with local_mesh() as mesh:
        assert mesh.client.call("writes_in_a_thread", key="marks/1") == pytest.approx(2, rel=0.01)
        # Each peer reads by a wall clock of its own, which may be seconds off.
        board = mesh.connect("peer-2").board
        before = board.sense("marks/1")
        mesh.run(20)
        assert board.sense("marks/1") == pytest.approx(before / 4, rel=0.01)


def test_a_handler_follows_what_others_write_and_may_be_stopped() -> None:
    with local_mesh() as mesh:
        handle = mesh.client.submit("follows", prefix="trail/", count=3)
        for number in range(3):
            mesh.run(15)
            mesh.connect("peer-2").board.put(f"trail/{number}", number)
        assert handle.result() == ["trail/0", "trail/1", "trail/2"]
        watch = mesh.client.submit("follows_until_it_is_stopped")
        mesh.run(25)
        watch.cancel()
        mesh.run_until(lambda: "stopped" in diary)


def test_what_was_written_survives_every_peers_death_and_the_two_sides_of_a_cut() -> None:
    with local_mesh() as mesh:
        mesh.client.board.put("kept/1", 1)
        for name in mesh.peers:
            mesh.kill(name)
        for name in mesh.peers:
            mesh.restart(name)
        assert mesh.client.board.get("kept/1") == 1
        mesh.client.board.put("kept/2", 2)  # refused at first, as the peer starts; then made
        mesh.partition(["peer-1"], ["peer-2", "peer-3"])
        mesh.connect("peer-1").board.add("kept/sides", "left")
        mesh.connect("peer-3").board.add("kept/sides", "right")
        mesh.finish()
        assert len(mesh.digest) == 32


def test_a_run_with_a_board_is_the_same_for_the_same_seed() -> None:
    def digest() -> str:
        with local_mesh(seed=11) as mesh:
            for number in range(4):
                mesh.client.call("writes", key=f"n/{number}", value=str(number))
        return mesh.digest

    assert digest() == digest()


def test_what_a_simulated_peer_has_not_is_refused_by_name() -> None:
    with local_mesh(peers=1) as mesh, pytest.raises(Refused, match=r"UnknownVerb.*strong"):
        mesh.client.board.strong.get("key")
