"""How much this peer has to do, told to its gossip, so that others leave it alone when it is busy.

The load is the time, in milliseconds, until what is here would be worked off: of each
skill the jobs, times their mean duration, over its slots. Told on notable change that has
lasted for `load_ns`: one call after the other does not make a peer look busy, and
costs no event each. A peer that rests takes no step for it.
"""

from collections.abc import Mapping

from protocols.tasks.events import LoadObserved
from protocols.tasks.hosting import Hosted
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import NEVER, TaskParameters

UNKNOWN_US = 1_000_000
"""What a job counts for where none of its skill has ended yet."""
STEP_MS = 50
"""Changes below this, and below a quarter, are not told."""
MICROSECONDS = 1_000
"""In a millisecond."""
LOAD_MOST_MS = 24 * 3600 * 1000


class OwnLoad:
    """What was told last, and since when that has not been so."""

    def __init__(
        self,
        me: bytes,
        parameters: TaskParameters,
        outbox: Outbox,
        hosted: Mapping[tuple[str, str], Hosted],
    ) -> None:
        """Takes the skills to look at; the mapping is another's, and changes."""
        self._me = me
        self._parameters = parameters
        self._outbox = outbox
        self._hosted = hosted
        self._told_ms = 0
        self._due = NEVER

    def look(self, now: int) -> None:
        """Something changed at a skill."""
        if not self._is_notable(self.load_ms):
            self._due = NEVER
        elif self._due == NEVER:
            self._due = now + self._parameters.load_ns

    def wake(self, now: int) -> None:
        """Tells what has lasted."""
        if self._due <= now:
            self._due = NEVER
            self._told_ms = self.load_ms
            self._outbox.emit(LoadObserved(self._me, self._told_ms))

    def _is_notable(self, load_ms: int) -> bool:
        was_ms = self._told_ms
        if (load_ms == 0) != (was_ms == 0):
            return True
        return abs(load_ms - was_ms) >= max(STEP_MS, was_ms // 4)

    def deadline(self) -> int:
        """When `wake` is wanted."""
        return self._due

    @property
    def load_ms(self) -> int:
        """Of now. One at least where anything is to do."""
        load_us = 0
        for hosted in self._hosted.values():
            if hosted.queued:
                mean_us = int(hosted.mean_us) if hosted.samples else UNKNOWN_US
                load_us += max(MICROSECONDS, hosted.queued * mean_us // max(1, hosted.slots))
        return min(load_us // MICROSECONDS, LOAD_MOST_MS)
