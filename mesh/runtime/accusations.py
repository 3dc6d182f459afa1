"""What is told of peers that break a protocol: enough to act on, and no more.

A liar can misbehave thousands of times a second. Were each offence a line, the
log would fill the disk that the journal is on, and the liar would have stopped
this peer by being caught.
"""

from collections.abc import Callable
from typing import Any

from mesh.core.outward import Accuse
from protocols.identity import text_id
from protocols.machine import SECOND_NS, Instant

TOLD_PER_WINDOW = 8
WINDOW_NS = 10 * SECOND_NS
ACCUSED_LIMIT = 4096
"""Peers that are counted; the one first accused makes room."""
OFFENCE_LIMIT = 512
"""Characters of an offence: it may quote what the peer sent."""


class Accusations:
    """Makes events of accusations, of each peer a few in a while."""

    def __init__(self, monotonic_ns: Callable[[], Instant]) -> None:
        """Takes the clock."""
        self._monotonic_ns = monotonic_ns
        self._accused: dict[bytes, tuple[Instant, int]] = {}

    def event(self, accusation: Accuse) -> dict[str, Any] | None:
        """The event that tells of it, or None where enough was told.

        `unsaid`, where it is there, is how many others of this peer were not told before.
        """
        now = self._monotonic_ns()
        begun, count = self._accused.get(accusation.peer, (now, 0))
        unsaid = 0
        if now - begun >= WINDOW_NS:
            unsaid = max(0, count - TOLD_PER_WINDOW)
            begun, count = now, 0
        if accusation.peer not in self._accused and len(self._accused) >= ACCUSED_LIMIT:
            del self._accused[next(iter(self._accused))]
        self._accused[accusation.peer] = (begun, count + 1)
        if count >= TOLD_PER_WINDOW:
            return None
        event: dict[str, Any] = {
            "event": "core.blamed",
            "accused": text_id(accusation.peer),
            "offence": accusation.offence[:OFFENCE_LIMIT],
        }
        return {**event, "unsaid": unsaid} if unsaid else event
