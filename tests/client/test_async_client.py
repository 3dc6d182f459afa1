"""The client for coroutines, under both event loops, against real local servers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from mesh.client import AsyncClient, NoPeer, Refused, TaskFailed
from mesh.client import transport as transport_module
from tests.client import stations
from tests.local.fake_peer import FakePeer, running_peer


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[FakePeer]:
    with running_peer(tmp_path) as running:
        yield running


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_calls_submits_maps_and_asks(peer: FakePeer, backend: str) -> None:
    async def main() -> None:
        async with AsyncClient(address=peer.socket) as client:
            assert await client.call("echo", a=1) == {"a": 1}
            handle = await client.submit("sleep", seconds=0.01)
            assert handle.id
            assert await handle == 0.01
            values = [v["n"] async for v in client.map("echo", ({"n": i} for i in range(600)))]
            assert values == list(range(600))
            assert await client.peers() == [{"name": "peer-1"}]
            assert (await client.task(handle.id))["state"] == "done"
            with pytest.raises(TaskFailed, match="RuntimeError"):
                await client.options(retries=0).call("fail")
            with pytest.raises(Refused):
                await client.submit("levitate")
            slow = await client.submit("sleep", seconds=30)
            assert await slow.cancel() == "cancelling"
            assert (await slow.outcome()).state == "cancelled"

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_map_unordered_yields_what_ends_first(peer: FakePeer, backend: str) -> None:
    async def main() -> None:
        async with AsyncClient(address=peer.socket) as client:
            waits = [{"seconds": s} for s in (0.2, 0.0, 0.1)]
            ends = [(i, o.value) async for i, o in client.map_unordered("sleep", waits)]
            assert ends == [(1, 0.0), (2, 0.1), (0, 0.2)]
            many = client.map_unordered("echo", ({"n": i} for i in range(600)), window=7)
            assert sorted([(i, o.value["n"]) async for i, o in many]) == [
                (i, i) for i in range(600)
            ]
            bad = [{"n": 10**30}, {"n": 2}]
            mixed = sorted([(i, o.state) async for i, o in client.map_unordered("echo", bad)])
            assert mixed == [(0, "refused"), (1, "done")]
            refused = [(i, o.state) async for i, o in client.map_unordered("levitate", [{}])]
            assert refused == [(0, "refused")]
            assert await client.tasks() == []  # this peer keeps none

    anyio.run(main, backend=backend)


def test_a_function_gives_values_of_its_own_type(tmp_path: Path) -> None:
    async def main(peer: FakePeer) -> None:
        async with AsyncClient(address=peer.socket) as client:
            assert await client.call(stations.tide, place="Brest") == stations.Tide("Brest", 4.5)
            handle = await client.submit(stations.tide, place="Brest")
            assert (await handle).metres == 4.5
            values = [v async for v in client.map(stations.tide, [{"place": "Brest"}])]
            assert values == [stations.Tide("Brest", 4.5)]

    with running_peer(tmp_path, agents=[stations.agent]) as peer:
        anyio.run(main, peer)


def test_calls_run_beside_each_other(peer: FakePeer) -> None:
    results: list[Any] = []

    async def main() -> None:
        async with AsyncClient(address=peer.socket) as client:

            async def one(seconds: float) -> None:
                results.append(await client.call("sleep", seconds=seconds))

            async with anyio.create_task_group() as group:
                for seconds in (0.06, 0.03, 0.0):
                    group.start_soon(one, seconds)

    anyio.run(main)
    assert results == [0.0, 0.03, 0.06]


def test_it_goes_on_at_the_next_peer_when_its_home_dies(tmp_path: Path) -> None:
    async def main(first: FakePeer, second: FakePeer) -> None:
        async with AsyncClient(address=[first.socket, second.socket]) as client:
            handle = await client.submit("sleep", seconds=0.2)
            await anyio.to_thread.run_sync(first.stop)
            assert await handle == 0.2
            assert client.home == "peer-2"

    with running_peer(tmp_path, "peer-1") as first, running_peer(tmp_path, "peer-2") as second:
        anyio.run(main, first, second)


def test_a_busy_peer_is_asked_again(peer: FakePeer) -> None:
    peer.driver.busy = 2

    async def main() -> None:
        async with AsyncClient(address=peer.socket) as client:
            assert await client.call("echo", n=1) == {"n": 1}

    anyio.run(main)


def test_when_the_last_peer_dies_a_wait_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "FAIL_OVER_S", 0.1)

    async def main(peer: FakePeer) -> None:
        async with AsyncClient(address=peer.socket) as client:
            handle = await client.submit("sleep", seconds=30)
            await anyio.to_thread.run_sync(peer.stop)
            with pytest.raises(NoPeer):
                await handle

    with running_peer(tmp_path) as peer:
        anyio.run(main, peer)


def test_no_peer_is_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncClient(address=tmp_path / "nowhere.sock"):
            raise AssertionError("nobody is there")

    with pytest.raises(NoPeer):
        anyio.run(main)
