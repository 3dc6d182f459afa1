"""Local health: how far this peer may trust its own failure detection (Lifeguard IV-A)."""


class LocalHealth:
    """A score from 0 (well) to `limit`; timeouts are multiplied by score + 1."""

    def __init__(self, limit: int, enabled: bool) -> None:
        self._limit = limit
        self._enabled = enabled
        self.score = 0

    def apply(self, change: int) -> None:
        """Worse (above 0) or better (below 0), within the bounds."""
        if self._enabled:
            self.score = min(self._limit, max(0, self.score + change))

    def scale(self, duration_ns: int) -> int:
        """A timeout or an interval, stretched by the score."""
        return duration_ns * (self.score + 1)
