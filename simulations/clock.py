"""The two clocks of one simulated machine. They survive its processes.

The monotonic clock begins as the world's own time and may run fast or slow; the
wall clock drifts with it, differs from everybody's by a constant, and may jump.
"""

from protocols.machine import SECOND_NS, Instant, Now

EPOCH_WALL_NS = 1_700_000_000 * SECOND_NS
SKEW_MOST_NS = 20 * SECOND_NS
"""The wall clocks of two peers differ by at most twice this, as long as none has jumped."""
MILLION = 1_000_000


class Clocks:
    """What one machine's clocks say at an instant of the world.

    Attributes:
        drift_most_ppm: the greatest drift that there ever was, either way.
        jumped_ns: how far the wall clock has jumped in all, whatever the directions.
    """

    __slots__ = (
        "_base",
        "_drift_ppm",
        "_local",
        "_right_ns",
        "_wall_ahead_ns",
        "drift_most_ppm",
        "jumped_ns",
    )

    def __init__(self, skew_ns: int) -> None:
        """Takes how far the wall clock is ahead of the true time."""
        self._wall_ahead_ns = self._right_ns = EPOCH_WALL_NS + skew_ns
        self._drift_ppm = 0
        self._base: Instant = 0
        """The drift counts from this instant of the world, at which the clock said `_local`."""
        self._local: Instant = 0
        self.drift_most_ppm = 0
        self.jumped_ns = 0

    def at(self, instant: Instant) -> Now:
        """What they say."""
        passed = instant - self._base
        local = self._local + passed
        if self._drift_ppm:
            local += passed * self._drift_ppm // MILLION
        return Now(local, local + self._wall_ahead_ns)

    def when(self, local: Instant) -> Instant:
        """The first instant of the world at which the monotonic clock says this, or more."""
        passed = local - self._local
        if self._drift_ppm:
            rate = MILLION + self._drift_ppm
            passed = -(-passed * MILLION // rate)
        return self._base + passed

    def drift(self, ppm: int, now: Instant) -> None:
        """From now on they run fast by so many millionths, or slow where negative."""
        self._local = self.at(now).monotonic_ns
        self._base = now
        self._drift_ppm = ppm
        self.drift_most_ppm = max(self.drift_most_ppm, abs(ppm))

    def mend(self, now: Instant) -> None:
        """They run as they should, and the wall clock is set right."""
        self.drift(0, now)
        self._wall_ahead_ns = self._right_ns

    def jump(self, ns: int) -> None:
        """The wall clock is set."""
        self._wall_ahead_ns += ns
        self.jumped_ns += abs(ns)
