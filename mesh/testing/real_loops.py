"""Real event loops for handlers that are being recorded: one handler at a time, from end to end."""

import asyncio
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any

import msgspec
import trio

from mesh.agent import Agent
from mesh.testing.errors import BadRecording
from mesh.testing.fibers import VirtualEvent


class Stretch(msgspec.Struct, frozen=True):
    """What became of a coroutine in a real loop.

    Attributes:
        foreign: how often it waited for something real.
        trap: what of its context it waits for now; None where it has ended.
        value: what it returned.
        error: what it raised instead.
        seconds: how long it took.
    """

    foreign: int
    trap: VirtualEvent | None
    value: Any
    error: Exception | None
    seconds: float


class RealLoops:
    """Runs coroutines until they end, or wait for their context."""

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None

    def run(self, agent: Agent, coroutine: Coroutine[Any, Any, Any]) -> Stretch:
        """Runs a coroutine under the loop that its agent expects."""
        begun = time.monotonic()
        if agent.loop == "trio":
            stretch: Stretch = trio.run(_forwarded, coroutine)
        else:
            # One loop for all, so that connections may be kept from call to call.
            self._runner = self._runner or asyncio.Runner()
            stretch = self._runner.run(_forwarded(coroutine))
        return msgspec.structs.replace(stretch, seconds=time.monotonic() - begun)

    def close(self) -> None:
        """Closes the loop that was kept."""
        if self._runner is not None:
            self._runner.close()


async def _forwarded(coroutine: Coroutine[Any, Any, Any]) -> Stretch:
    return await _forward(coroutine)


@types.coroutine
def _forward(coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Stretch]:
    """Passes what a coroutine awaits to the running loop, and the answers back."""
    foreign = 0
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            trap = coroutine.send(answer) if failure is None else coroutine.throw(failure)
        except StopIteration as finished:
            return Stretch(foreign, None, finished.value, None, 0)
        except Exception as error:  # noqa: BLE001  # what a handler raises is recorded, too
            return Stretch(foreign, None, None, error, 0)
        if isinstance(trap, VirtualEvent):
            return Stretch(foreign, trap, None, None, 0)
        foreign += 1
        answer, failure = None, None
        try:
            answer = yield trap
        except BaseException as error:  # noqa: BLE001  # cancellations belong to the coroutine
            failure = error


def mixed(skill: str) -> BadRecording:
    """The error for a handler that waits for the outside, and for its context too."""
    return BadRecording(
        f"skill {skill} waits for the outside and calls other skills as well: only a whole "
        "handler's answer can be recorded. Put what talks to the outside into a skill of its "
        "own, and call that"
    )
