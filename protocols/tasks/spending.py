"""Where attempts spent their time at the peer that ran them, told once they have ended.

Only differences of this peer's own monotonic clock, so that they can be held
against what other peers measured, whose clocks differ. One event for each
custodian and skill in a step.
"""

from protocols.machine import MICROSECOND_NS
from protocols.tasks.events import AttemptsRan, RanAttempt
from protocols.tasks.hosting import HeldJob
from protocols.tasks.messages import Outcome
from protocols.tasks.outbox import Outbox

TRACE_AT = slice(3, 35)
"""The trace id in a W3C traceparent."""


class Spending:
    """Collects the attempts that end in a step; `tell` closes it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._ended: list[tuple[HeldJob, str, Outcome]] = []

    def ended(self, held: HeldJob, outcome: Outcome) -> None:
        """An attempt has ended; its job is still there."""
        trace = held.job.traceparent[TRACE_AT] if held.job is not None else ""
        self._ended.append((held, trace, outcome))

    def tell(self, now: int) -> None:
        """Tells of those that ended since the last call."""
        told: dict[tuple[bytes, str], list[RanAttempt]] = {}
        for held, trace, outcome in self._ended:
            handed = held.handed_at or now
            ran = RanAttempt(
                outcome.task,
                outcome.attempt,
                outcome.status,
                trace,
                (handed - held.taken_at) // MICROSECOND_NS,
                (now - handed) // MICROSECOND_NS,
                outcome.elapsed_us,
            )
            told.setdefault((held.custodian, held.hosted.spec.name), []).append(ran)
        self._ended.clear()
        for (custodian, skill), attempts in told.items():
            self._outbox.emit(AttemptsRan(custodian, skill, tuple(attempts)))
