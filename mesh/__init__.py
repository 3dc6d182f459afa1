"""A decentralised mesh of agents: no broker, no head node, no database server.

The names below are loaded when first asked for (PEP 562), so that a client
never pays for a peer, nor a peer for a client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mesh.agent import Agent as Agent
    from mesh.agent import Bid as Bid
    from mesh.agent import Cancelled as Cancelled
    from mesh.agent import Context as Context
    from mesh.agent import Missing as Missing
    from mesh.agent import NoRetry as NoRetry
    from mesh.agent import Offer as Offer
    from mesh.agent import Partial as Partial
    from mesh.agent import Result as Result
    from mesh.client import AsyncClient as AsyncClient
    from mesh.client import Client as Client
    from mesh.local.blob_requests import BlobRef as BlobRef
    from mesh.local.board_requests import Edits as Edits
    from mesh.local.errors import MeshError as MeshError
    from mesh.local.errors import NoPeer as NoPeer
    from mesh.local.errors import Refused as Refused
    from mesh.local.errors import TaskFailed as TaskFailed
    from mesh.local.sensitive import Sensitive as Sensitive

_HOMES = {
    "Agent": "mesh.agent",
    "AsyncClient": "mesh.client",
    "Bid": "mesh.agent",
    "BlobRef": "mesh.local.blob_requests",
    "Cancelled": "mesh.agent",
    "Client": "mesh.client",
    "Context": "mesh.agent",
    "Edits": "mesh.local.board_requests",
    "MeshError": "mesh.local.errors",
    "Missing": "mesh.agent",
    "NoPeer": "mesh.local.errors",
    "NoRetry": "mesh.agent",
    "Offer": "mesh.agent",
    "Partial": "mesh.agent",
    "Refused": "mesh.local.errors",
    "Result": "mesh.agent",
    "Sensitive": "mesh.local.sensitive",
    "TaskFailed": "mesh.local.errors",
}
"""Where each public name lives."""


def __getattr__(name: str) -> Any:
    """Loads a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *_HOMES})
