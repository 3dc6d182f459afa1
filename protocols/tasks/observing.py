"""How busy this peer is, told to its auction so that its bids say the truth.

Told on notable change only, and at most once in `observe_ns` for each skill; at
once where jobs without a slot take more or fewer of its places.
"""

from protocols.tasks.events import WorkObserved
from protocols.tasks.hosting import Hosted
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import NEVER, TaskParameters


class Observing:
    """What was told last, and what is to be told soon."""

    def __init__(self, parameters: TaskParameters, outbox: Outbox) -> None:
        self._parameters = parameters
        self._outbox = outbox
        self._waiting: dict[Hosted, None] = {}

    def look(self, hosted: Hosted, now: int) -> None:
        """Something changed at a skill."""
        queued, mean_us = hosted.queued, int(hosted.mean_us)
        direct = min(hosted.slots_taken, hosted.slots)
        if direct != hosted.told_direct:
            self._tell(hosted, queued, mean_us, direct, now)
            return
        moved = abs(queued - hosted.told_queued) > max(hosted.slots, hosted.told_queued // 4)
        if not moved and 4 * abs(mean_us - hosted.told_mean_us) <= hosted.told_mean_us:
            self._waiting.pop(hosted, None)
            return
        if now < hosted.observed_at:
            self._waiting[hosted] = None
            return
        self._tell(hosted, queued, mean_us, direct, now)

    def _tell(self, hosted: Hosted, queued: int, mean_us: int, direct: int, now: int) -> None:
        hosted.observed_at = now + self._parameters.observe_ns
        hosted.told_queued, hosted.told_mean_us = queued, mean_us
        hosted.told_direct = direct
        self._waiting.pop(hosted, None)
        spec = hosted.spec
        self._outbox.emit(WorkObserved(spec.name, spec.version, queued, mean_us, direct))

    def wake(self, now: int) -> None:
        """Looks again at what was told too lately."""
        for hosted in tuple(self._waiting):
            if hosted.observed_at <= now:
                self.look(hosted, now)

    def deadline(self) -> int:
        """When `wake` is wanted."""
        if not self._waiting:
            return NEVER
        return min((hosted.observed_at for hosted in self._waiting), default=NEVER)
