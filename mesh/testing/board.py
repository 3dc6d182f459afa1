"""The blackboard of a simulated peer, for clients and handlers: production's desk, virtual time."""

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Protocol

import msgspec

from mesh.local.codec import encode_value
from mesh.local.messages import Answer, LocalMessage, Refused
from mesh.runtime.board_desk import BoardDesk, Driver, Happening, Names
from mesh.runtime.local_connection import Link
from mesh.testing.blobs import VirtualBlobs
from mesh.testing.fibers import ENDED, Fiber, VirtualEvent
from protocols.errors import Refused as RefusedCommand
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.peer import SimulatedPeer
from simulations.world import World

After = Callable[[float, Callable[[], None]], None]
"""Does something after so many virtual seconds, unless the peer is dead by then."""
VERBS = ("board.get", "board.scan", "board.write", "board.changes")


class VirtualWaits:
    """How requests of the desk wait in virtual time."""

    def __init__(self, world: World, after: After) -> None:
        self._world = world
        self._after = after

    def event(self) -> VirtualEvent:
        """Something that may be waited for."""
        return VirtualEvent()

    def time(self) -> float:
        """Virtual seconds."""
        return self._world.now / SECOND_NS

    async def at_most(self, event: Happening, seconds: float) -> None:
        """Waits for an event, so long at most."""
        assert isinstance(event, VirtualEvent), "made by these"
        either = VirtualEvent()
        waiting = Fiber(_then(event, either), copy_context(), Fiber.step)
        trap = waiting.step()
        if trap is not ENDED:
            event.join(waiting)
        self._after(seconds, either.set)
        await either.wait()


async def _then(event: VirtualEvent, either: VirtualEvent) -> None:
    await event.wait()
    either.set()


class Directory(Names, Protocol):
    """Who knows peers by name, both ways."""

    def find_peer(self, text: str) -> bytes | None:
        """The peer of a name or an id."""


class VirtualBoard:
    """Answers what clients and handlers ask one simulated peer of the blackboard and of blobs."""

    def __init__(
        self, world: World, peer: SimulatedPeer, driver: Driver, names: Directory, after: After
    ) -> None:
        assert peer.core is not None, "a desk is opened by a peer that runs"
        self._after = after
        waits = VirtualWaits(world, after)
        self._desk = BoardDesk(peer.core.board, driver, peer.clock, names, waits)
        verbs = self._desk.verbs()
        self._blobs = VirtualBlobs(peer, driver.submit, names.find_peer, after)
        self._verbs = {verb: verbs[verb] for verb in VERBS} | self._blobs.verbs()

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        self._desk.notify(event)
        self._blobs.notify(event)

    def knows(self, verb: str) -> bool:
        """Whether it answers a verb."""
        return verb in self._verbs

    def answer(self, link: Link, request: int, verb: str, arguments: Any) -> None:
        """Answers a question, at once or when what it waits for has happened."""

        async def ask() -> Any:
            answer = self._verbs[verb](arguments)
            return await answer if hasattr(answer, "__await__") else answer

        def step(fiber: Fiber) -> None:
            trap = fiber.step()
            if trap is ENDED:
                link.send(_reply(request, fiber))
            else:
                fiber.waits_for = trap
                trap.join(fiber)

        step(Fiber(ask(), copy_context(), lambda fiber: self._after(0, lambda: step(fiber))))


def _reply(request: int, fiber: Fiber) -> LocalMessage:
    error = fiber.error
    if error is None:
        return Answer(request=request, value=encode_value(fiber.value))
    if not isinstance(error, RefusedCommand):
        raise error
    retry_ns = error.retry_after_ns
    retry_ms = -1 if retry_ns is None else max(1, retry_ns // MILLISECOND_NS)
    return Refused(request=request, kind=error.kind, message=error.message, retry_after_ms=retry_ms)
