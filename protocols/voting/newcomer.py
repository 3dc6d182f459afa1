"""An elector of a list to come: it asks for the log until it is where that list begins.

Nobody speaks to it of heights before that one, so it cannot wait to be told.
"""

from collections.abc import Callable

from protocols.effects import Effect, Send
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant, Now
from protocols.voting.log_messages import LogWant
from protocols.voting.roll import Roll

PAUSE_NS = 120 * MILLISECOND_NS
"""Between two questions while there is progress; longer than one answer keeps from the next."""
PAUSE_MOST_NS = 5 * SECOND_NS


class Newcomer:
    """Asks one elector after another."""

    def __init__(self, me: bytes, is_down: Callable[[bytes], bool], effects: list[Effect]) -> None:
        """Takes this peer, who tells which others are dead, and where effects go."""
        self._me = me
        self._is_down = is_down
        self._effects = effects
        self._roll: Roll | None = None
        self._at: Instant = 0
        self._pause = PAUSE_NS
        self._turn = 0
        self._height = 0

    def follow(self, roll: Roll) -> None:
        """The root has signed a list; if this peer is on it, it wants to get there."""
        if self._me in roll.electors and (self._roll is None or roll.epoch > self._roll.epoch):
            self._roll, self._at, self._pause = roll, 0, PAUSE_NS

    def deadline(self) -> Instant | None:
        """When `ask` is wanted."""
        return None if self._roll is None else self._at

    def ask(self, epoch: int, height: int, now: Now) -> None:
        """Asks for what follows `height`, where it is time, until `epoch` is the list's."""
        roll = self._roll
        if roll is None or now.monotonic_ns < self._at:
            return
        if epoch >= roll.epoch:
            self._roll = None
            return
        is_progress = height > self._height
        self._pause = PAUSE_NS if is_progress else min(2 * self._pause, PAUSE_MOST_NS)
        self._at = now.monotonic_ns + self._pause
        self._height = height
        self._turn += not is_progress
        others = [peer for peer in roll.electors if peer != self._me and not self._is_down(peer)]
        if others:
            self._effects.append(Send(others[self._turn % len(others)], LogWant(height)))
