"""How fast a peer runs a skill, as its custodian sees it.

Durations in microseconds. The mean is cumulative over the first samples and
then moves, so that few noisy samples do not swing it.
"""

MEMORY = 32
"""Samples after which the mean moves by 1/32 with each further one."""
ROUND_TRIP_FIRST_US = 1_000.0
ROUND_TRIP_MOST_US = 250_000.0
AHEAD_MOST = 4
"""Long attempts that a slot has out at most."""
PLENTY = 2
"""Binding a long one ahead is harmless while a slot can expect to get more than so many."""
HANDING_US = 200.0
"""The most that handing a job to a worker process, and its end back, is taken to last."""


class Pace:
    """Means for one peer and one skill."""

    __slots__ = ("_weighed", "_weighed_us", "interval_us", "mean_us", "round_trip_us", "samples")

    def __init__(self) -> None:
        self.samples = 0
        self.mean_us = 0.0
        self.interval_us = 0.0
        self.round_trip_us = ROUND_TRIP_FIRST_US
        self._weighed = 0.0
        self._weighed_us = 0.0

    def observe(self, count: int, elapsed_us: int) -> None:
        """Takes the sum of the durations of `count` tasks."""
        self.samples = min(self.samples + count, 1 << 30)
        share = min(1.0, count / min(self.samples, MEMORY))
        self.mean_us += (elapsed_us / count - self.mean_us) * share

    def observe_weight(self, weight_us: int, elapsed_us: int) -> None:
        """Takes a caller's estimate beside the truth."""
        if self._weighed > weight_us * 4 * MEMORY:
            self._weighed /= 2
            self._weighed_us /= 2
        self._weighed += weight_us
        self._weighed_us += elapsed_us

    def observe_interval(self, interval_us: float) -> None:
        """Takes the time between results of a slot that was never idle."""
        if not self.interval_us:
            self.interval_us = interval_us
        self.interval_us += (interval_us - self.interval_us) / 8

    def observe_round_trip(self, round_trip_us: float) -> None:
        """Takes what a lone attempt lasted beyond its own duration."""
        bounded = min(max(round_trip_us, 0.0), ROUND_TRIP_MOST_US)
        self.round_trip_us += (bounded - self.round_trip_us) / 8

    def expected_us(self, weight_us: int) -> float:
        """How long a task lasts here; 0 where nothing is known."""
        if weight_us and self._weighed:
            return weight_us * self._weighed_us / self._weighed
        return self.mean_us

    def window(self, target_us: int, left: float) -> int:
        """How many attempts a slot should have out; 1 where nothing is known.

        Args:
            target_us: the work that a slot is given at once.
            left: how many of the tasks in the line the slot can expect to get.
        """
        if not self.samples:
            return 1
        # What a slot is slower than its handler, up to what handing a job over takes. All
        # beyond is the wait for a busy machine, this one perhaps, and smaller batches
        # would make it busier.
        service_us = max(self.mean_us, min(self.interval_us, self.mean_us + HANDING_US), 1.0)
        window = -int(-(target_us + self.round_trip_us) // service_us)
        if window > 2 or service_us < target_us:
            return window
        # Long enough to go one by one: one more ahead hides the round trip where it would
        # cost above two per cent, as long as the end is far. Round trips of busy machines
        # vary by several times, and some tasks are short: then it takes more than one.
        if left <= PLENTY or self.round_trip_us * 50 <= service_us:
            return 1
        ahead = 2 + int(self.round_trip_us * 8 / service_us)
        return min(ahead, AHEAD_MOST, max(2, int(left / 2)))
