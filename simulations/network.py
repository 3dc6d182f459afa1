"""The simulated network: delay, loss, duplication, and cuts between pairs of peers.

A frame of a pair overtakes no earlier one unless `reorder` says so: that is
what a connection gives.
"""

import random
from collections.abc import Iterable

import msgspec

from protocols.machine import MICROSECOND_NS, Instant


class NetworkConditions(msgspec.Struct, frozen=True):
    """How frames travel. Probabilities are from 0 to 1; delays in nanoseconds."""

    delay_least_ns: int = 100 * MICROSECOND_NS
    delay_most_ns: int = 400 * MICROSECOND_NS
    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0


class Network:
    """Decides when, and whether, each frame arrives."""

    def __init__(self, conditions: NetworkConditions, rng: random.Random) -> None:
        """Takes the conditions, which may be replaced at any time, and the run's randomness."""
        self.conditions = conditions
        self._rng = rng
        self._cuts: dict[tuple[bytes, bytes], int] = {}
        self._last: dict[tuple[bytes, bytes], Instant] = {}

    def cut(self, sender: bytes, receiver: bytes) -> None:
        """Frames from `sender` to `receiver` are lost from now on; one way."""
        self._cuts[sender, receiver] = self._cuts.get((sender, receiver), 0) + 1

    def mend(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Cuts of these directions end, each as often as it was made."""
        for pair in pairs:
            left = self._cuts.get(pair, 0) - 1
            if left > 0:
                self._cuts[pair] = left
            else:
                self._cuts.pop(pair, None)

    def heal(self) -> None:
        """Every cut ends."""
        self._cuts.clear()

    def is_cut(self, sender: bytes, receiver: bytes) -> bool:
        """Whether frames of this direction are lost."""
        return (sender, receiver) in self._cuts

    def arrivals(self, sender: bytes, receiver: bytes, now: Instant) -> list[Instant]:
        """When a frame sent now arrives: no, one, or two instants."""
        conditions, draw = self.conditions, self._rng.random
        if (sender, receiver) in self._cuts or (conditions.loss and draw() < conditions.loss):
            return []
        copies = 2 if conditions.duplication and draw() < conditions.duplication else 1
        instants = []
        for _ in range(copies):
            spread = conditions.delay_most_ns - conditions.delay_least_ns
            arrival = now + conditions.delay_least_ns + int(draw() * (spread + 1))
            if not conditions.reorder or draw() >= conditions.reorder:
                arrival = max(arrival, self._last.get((sender, receiver), 0) + 1)
                self._last[sender, receiver] = arrival
            instants.append(arrival)
        return instants
