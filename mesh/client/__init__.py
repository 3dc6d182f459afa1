"""What scripts import."""

from mesh.client.client import Client, Handle
from mesh.client.outcome import Outcome
from mesh.local.errors import ConnectionLost, MeshError, NoPeer, Refused, TaskFailed

__all__ = [
    "Client",
    "ConnectionLost",
    "Handle",
    "MeshError",
    "NoPeer",
    "Outcome",
    "Refused",
    "TaskFailed",
]
