"""The context of a handler in a simulated mesh: production's, with virtual time below it."""

import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from mesh.agent.context import Context, Port
from mesh.local.messages import LocalJob
from mesh.testing.scripts import Script, ThreadScript

POLL_S = 0.01
"""Virtual seconds that pass when a plain handler asks whether it is to stop."""


class VirtualPort(Port, Protocol):
    """What a virtual context needs, beside what every context does."""

    async def sleep(self, seconds: float) -> None:
        """Waits in virtual time."""


class VirtualContext(Context):
    """One attempt at one task, in virtual time."""

    def __init__(
        self, job: LocalJob, port: VirtualPort, script: Script, clock: Callable[[], float]
    ) -> None:
        super().__init__(job, port, clock=clock)
        self._virtual = port
        self._script = script

    @property
    def deadline(self) -> float | None:
        """As far ahead of `time.monotonic()` as the virtual end of this attempt is of now."""
        left = self.time_left
        return None if left is None else time.monotonic() + left

    @property
    def cancelled(self) -> bool:
        """Whether the job is to stop. A plain handler that asks lets `POLL_S` pass."""
        script = self._script
        if isinstance(script, ThreadScript) and not self._stops:
            # A handler that asks for ever, as it may, would stop the world's time.
            script.poll(lambda: self._virtual.sleep(POLL_S))
        return bool(self._stops)

    async def sleep(self, seconds: float) -> None:
        """Waits in virtual time, and keeps the slot."""
        await self._virtual.sleep(seconds)

    async def _run_all(self, functions: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        await self._script.run_all(functions)
