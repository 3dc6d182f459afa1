"""Two hundred clients of one mesh at once, each with a connection of its own."""

import concurrent.futures
import threading
from typing import Any

import anyio
import psutil
import pytest

from mesh.client import AsyncClient
from tests.processes.rig import LocalMesh, until

CLIENTS = 200
INPUTS = 20
PER_CLIENT = 2
"""Descriptors that one client may cost its home peer, at most."""
SPARE = 8
"""Descriptors that come and go with links."""


def _descriptors(mesh: LocalMesh) -> int:
    return psutil.Process(mesh.pid("peer-1")).num_fds()


@pytest.mark.slow
def test_two_hundred_threads_lose_nothing_and_leave_nothing_behind(probes: LocalMesh) -> None:
    before = _descriptors(probes)
    together = threading.Barrier(CLIENTS + 1)

    def work(number: int) -> list[Any]:
        with probes.client() as client:
            together.wait()
            together.wait()
            called = client.call("echo", n=number)
            mapped = client.map("echo", ({"n": number, "i": i} for i in range(INPUTS)))
            return [called, *mapped]

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        futures = [pool.submit(work, number) for number in range(CLIENTS)]
        together.wait()
        during = _descriptors(probes)
        together.wait()
        results = [future.result() for future in futures]
    assert before + CLIENTS <= during <= before + CLIENTS * PER_CLIENT + SPARE
    for number, values in enumerate(results):
        assert values == [{"n": number}, *({"n": number, "i": i} for i in range(INPUTS))]
    until(lambda: _descriptors(probes) <= before + SPARE, "their descriptors to be closed")


@pytest.mark.slow
def test_so_do_two_hundred_clients_of_one_event_loop(probes: LocalMesh) -> None:
    before = _descriptors(probes)
    results: dict[int, list[Any]] = {}

    async def work(number: int) -> None:
        async with AsyncClient(dir=probes.path) as client:
            inputs = ({"n": number, "i": i} for i in range(INPUTS))
            results[number] = [value async for value in client.map("echo", inputs)]

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(CLIENTS):
                group.start_soon(work, number)

    anyio.run(main)
    assert sorted(results) == list(range(CLIENTS))
    for number, values in results.items():
        assert values == [{"n": number, "i": i} for i in range(INPUTS)]
    until(lambda: _descriptors(probes) <= before + SPARE, "their descriptors to be closed")
