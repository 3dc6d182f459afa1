"""Meshes to share within a module, and what their peers logged where a test fails."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes.rig import CREW, RUNNING, TRIO_CREW, LocalMesh, local_mesh


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts processes."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Adds the ends of the peers' logs to a failure."""
    report = yield
    if report.failed:
        for mesh in RUNNING:
            report.sections.append((f"logs of {mesh.path}", mesh.tails()))
    return report


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """Three peers with the built-in agent; tests that share it leave all of them running."""
    with local_mesh(tmp_path_factory.mktemp("probes"), 3) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    """Three peers, each with both crews; tests that share it leave all of them running."""
    with local_mesh(tmp_path_factory.mktemp("crew"), 3, [CREW, TRIO_CREW]) as mesh:
        yield mesh
