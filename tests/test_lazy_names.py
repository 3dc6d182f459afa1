"""`import mesh` is cheap: its names are loaded when first asked for."""

import subprocess
import sys

import pytest

import mesh

NAMES = [
    "Agent", "AsyncClient", "Cancelled", "Client", "Context", "MeshError", "Missing", "NoPeer",
    "NoRetry", "Partial", "Refused", "Result", "TaskFailed",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_loaded_when_asked_for(name: str) -> None:
    assert getattr(mesh, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = mesh.Nothing


def test_the_public_names_are_listed_before_they_are_loaded() -> None:
    assert set(NAMES) <= set(dir(mesh))


def test_importing_mesh_loads_neither_a_peer_nor_a_client() -> None:
    source = (
        "import sys, mesh\n"
        "heavy = ('zmq', 'trio', 'typer', 'protocols', 'mesh.client', 'mesh.agent', 'mesh.core')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
