"""What scripts import."""

from typing import TYPE_CHECKING, Any

from mesh.client.client import Client, Handle
from mesh.client.outcome import Outcome
from mesh.local.deciding import Decision, Vote
from mesh.local.errors import ConnectionLost, MeshError, NoPeer, Refused, TaskFailed

if TYPE_CHECKING:
    from mesh.client.async_client import AsyncClient as AsyncClient


def __getattr__(name: str) -> Any:
    """Loads `AsyncClient`, and an event loop's library with it, when first asked for."""
    if name != "AsyncClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mesh.client.async_client import AsyncClient

    return AsyncClient


__all__ = [
    "AsyncClient",
    "Client",
    "ConnectionLost",
    "Decision",
    "Handle",
    "MeshError",
    "NoPeer",
    "Outcome",
    "Refused",
    "TaskFailed",
    "Vote",
]
