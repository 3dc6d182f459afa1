"""What is due when: one instant per key, the least first."""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

from protocols.machine import Instant

K = TypeVar("K")

SLACK = 64


class Agenda(Generic[K]):
    """Deadlines by key. Keys due at the same instant come in the order they were set.

    Entries that were moved or cleared stay in the heap until they surface, or
    until they are the greater part of it.
    """

    def __init__(self) -> None:
        self._instants: dict[K, tuple[Instant, int]] = {}
        self._heap: list[tuple[Instant, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._instants)

    def __contains__(self, key: K) -> bool:
        return key in self._instants

    def put(self, key: K, instant: Instant) -> None:
        """Makes `key` due at `instant`, and no longer when it was due before."""
        self._serial += 1
        self._instants[key] = (instant, self._serial)
        heapq.heappush(self._heap, (instant, self._serial, key))
        if len(self._heap) > 2 * len(self._instants) + SLACK:
            self._heap = [(at, serial, k) for k, (at, serial) in self._instants.items()]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> None:
        """Makes `key` due no more."""
        self._instants.pop(key, None)

    def next(self) -> Instant | None:
        """The least instant, or None when nothing is due at all."""
        heap, instants = self._heap, self._instants
        while heap:
            instant, serial, key = heap[0]
            known = instants.get(key)
            if known is not None and known[1] == serial:
                return instant
            heapq.heappop(heap)
        return None

    def due(self, now: Instant) -> Iterator[K]:
        """Takes off and yields what is due by `now`; what is put meanwhile counts too."""
        while (instant := self.next()) is not None and instant <= now:
            key = heapq.heappop(self._heap)[2]
            del self._instants[key]
            yield key
