"""What agent authors import."""

from mesh.agent.agent import Agent, Skill
from mesh.agent.context import ChildHandle, Context
from mesh.agent.outcome import Cancelled, Missing, NoRetry, Partial, Result
from mesh.agent.pricing import Bid, Offer
from mesh.agent.vault import NoSecret
from mesh.local.errors import MeshError, Refused, TaskFailed

__all__ = [
    "Agent",
    "Bid",
    "Cancelled",
    "ChildHandle",
    "Context",
    "MeshError",
    "Missing",
    "NoRetry",
    "NoSecret",
    "Offer",
    "Partial",
    "Refused",
    "Result",
    "Skill",
    "TaskFailed",
]
