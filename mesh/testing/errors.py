"""What a simulated mesh says to the author of a test. No handler can hide it by catching it."""

from mesh.local.errors import MeshError
from simulations.world import Violation as Violation

WAYS_OUT = (
    "Under LocalMesh a handler may wait for its context only (ctx.call, ctx.submit, ctx.map, "
    "ctx.gather, ctx.sleep): then the seed decides what comes next, and time is virtual. "
    "To wait for time, `await ctx.sleep(seconds)`; to wait for several calls, `ctx.gather`. "
    "What talks to the outside belongs into a skill of its own, whose answers a test replays: "
    "run the test once with LocalMesh(record=FILE), then with LocalMesh(replay=FILE)"
)


class ForeignAwait(MeshError):
    """A handler awaited something that is not its context's, and whose outcome is not recorded."""


class NotRecorded(MeshError):
    """A skill is replayed from a file that has no answer to this call."""


class BadRecording(MeshError):
    """A file is no recording, or what was to be recorded cannot be."""


def foreign_await(skill: str, what: str) -> ForeignAwait:
    """The error for a handler of `skill` that awaits `what`."""
    return ForeignAwait(f"skill {skill} waits for {what}. {WAYS_OUT}.")
