"""Counts and durations, peer by peer, from events as they come."""

from bisect import bisect_left
from collections import deque

import msgspec

from mesh.telemetry.reading import Entry
from mesh.telemetry.stories import MICROS, Stories, TaskStory

OPEN_LIMIT = 50_000
"""Tasks whose acceptance is remembered until they settle."""
LATENCIES_LIMIT = 10_000
"""Latencies of one peer that are kept."""
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper bounds of the classes that latencies are counted in; one more is for the rest."""


class Measures(msgspec.Struct):
    """What one peer did since this began to look. Latencies: (when it settled, seconds)."""

    accepted: int = 0
    settled: dict[str, int] = {}
    ran: dict[str, int] = {}
    retried: int = 0
    failed: dict[str, int] = {}
    lots: int = 0
    lots_failed: int = 0
    warnings: int = 0
    classes: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    seconds: float = 0.0
    latencies: deque[tuple[float, float]] = msgspec.field(
        default_factory=lambda: deque(maxlen=LATENCIES_LIMIT)
    )

    @property
    def ended(self) -> int:
        """Tasks that came to their end, whatever it was."""
        return sum(self.settled.values())

    def median_s(self, since: float) -> float | None:
        """The median latency of what settled since; None where nothing did."""
        taken = sorted(seconds for when, seconds in self.latencies if when >= since)
        return taken[len(taken) // 2] if taken else None


class Gauge:
    """Measures all peers whose events it is given."""

    def __init__(self) -> None:
        self.peers: dict[str, Measures] = {}
        self._stories = Stories(limit=OPEN_LIMIT)

    def of(self, peer: str) -> Measures:
        """What a peer did; nothing, where nothing was heard of it."""
        if peer not in self.peers:
            self.peers[peer] = Measures()
        return self.peers[peer]

    def take(self, entry: Entry) -> list[TaskStory]:
        """Takes an event; gives the tasks that ended with it, as far as it names them."""
        self._stories.take(entry)
        measures = self.of(entry.writer)
        measures.warnings += entry.level in ("warning", "error", "critical")
        event = entry.event
        ended: list[TaskStory] = []
        try:
            match event["event"]:
                case "tasks.accepted":
                    measures.accepted += int(event["count"])
                case "tasks.attempts-ran":
                    _add(measures.ran, str(event["skill"]), int(event["count"]))
                case "tasks.attempts-failed":
                    for row in event["attempts"]:
                        _add(measures.failed, str(row["status"]), 1)
                        measures.retried += bool(row["retried"])
                case "auction.lot-cleared":
                    measures.lots += 1
                case "auction.lot-failed":
                    measures.lots_failed += 1
                case "tasks.settled":
                    for state, count in event["states"].items():
                        _add(measures.settled, str(state), int(count))
                    ended = self._ended([str(row["task"]) for row in event["tasks"]], measures)
        except (KeyError, TypeError, ValueError, AttributeError):
            # A line of another release: what it would have counted is not counted.
            return ended
        return ended

    @property
    def stories(self) -> Stories:
        """The tasks that are open, and the auctions that were heard of."""
        return self._stories

    def _ended(self, tasks: list[str], measures: Measures) -> list[TaskStory]:
        found = []
        for task in tasks:
            story = self._stories.tasks.pop(task, None)
            if story is not None and story.settled_us:
                took = max(0, story.settled_us - story.accepted_us) / MICROS
                measures.latencies.append((story.settled_us / MICROS, took))
                measures.classes[bisect_left(BOUNDS_S, took)] += 1
                measures.seconds += took
                found.append(story)
        return found


def _add(counts: dict[str, int], key: str, count: int) -> None:
    counts[key] = counts.get(key, 0) + count
