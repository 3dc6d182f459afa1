"""The simulated network: how each link delays, loses, doubles and queues frames, and cuts.

A frame of a link overtakes no earlier one unless `reorder` says so: that is what
a connection gives. A link is one direction between two peers.
"""

import random
from collections.abc import Iterable

import msgspec

from protocols.machine import MICROSECOND_NS, SECOND_NS, Instant
from simulations.schedule import Shape

QUEUE_BYTES_LIMIT = 8 * 1024 * 1024
"""A link with limited bandwidth holds so much back, as a real peer's does; more is lost."""
LOGNORMAL_SIGMA = 1.0
PARETO_ALPHA = 1.5
TAIL_MOST = 40
"""No delay is more than so many times the range that 95 of 100 frames keep to."""
# What makes the 95th percentile of both tails 1.
_LOGNORMAL_MU = -1.6449 * LOGNORMAL_SIGMA
_PARETO_SCALE = 20 ** (1 / PARETO_ALPHA) - 1

Link = tuple[bytes, bytes]
"""Sender and receiver."""


class NetworkConditions(msgspec.Struct, frozen=True):
    """How frames travel. Probabilities are from 0 to 1; delays in nanoseconds."""

    delay_least_ns: int = 100 * MICROSECOND_NS
    delay_most_ns: int = 400 * MICROSECOND_NS
    """The greatest delay; of shapes with a tail, 95 of 100 frames are faster."""
    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0
    shape: Shape = "uniform"
    bandwidth: int = 0
    """Bytes a second; 0 for no limit."""


class Network:
    """Decides when, and whether, each frame arrives."""

    def __init__(self, conditions: NetworkConditions, rng: random.Random) -> None:
        """Takes the conditions of links where nothing else is imposed, and the randomness."""
        self._calm = conditions
        self._rng = rng
        self._cuts: dict[Link, int] = {}
        self._last: dict[Link, Instant] = {}
        self._sent_by: dict[Link, Instant] = {}
        """When the last byte of a link with limited bandwidth has left."""
        self._imposed: dict[int, tuple[bytes, bytes, NetworkConditions]] = {}
        self._impositions = 0
        self._current: dict[Link, NetworkConditions] = {}

    def cut(self, sender: bytes, receiver: bytes) -> None:
        """Frames from `sender` to `receiver` are lost from now on; one way."""
        self._cuts[sender, receiver] = self._cuts.get((sender, receiver), 0) + 1

    def mend(self, pairs: Iterable[Link]) -> None:
        """Cuts of these directions end, each as often as it was made."""
        for pair in pairs:
            left = self._cuts.get(pair, 0) - 1
            if left > 0:
                self._cuts[pair] = left
            else:
                self._cuts.pop(pair, None)

    def impose(
        self, conditions: NetworkConditions, sender: bytes = b"", receiver: bytes = b""
    ) -> int:
        """These conditions hold on links from and to these peers; an empty id means all.

        The last that were imposed on a link count. Returns what `lift` wants.
        """
        self._impositions += 1
        self._imposed[self._impositions] = (sender, receiver, conditions)
        self._current.clear()
        return self._impositions

    def lift(self, imposition: int) -> None:
        """Ends what was imposed; those before it count again."""
        self._imposed.pop(imposition, None)
        self._current.clear()

    def heal(self) -> None:
        """Every cut ends, and all that was imposed."""
        self._cuts.clear()
        self._imposed.clear()
        self._current.clear()

    def is_cut(self, sender: bytes, receiver: bytes) -> bool:
        """Whether frames of this direction are lost."""
        return (sender, receiver) in self._cuts

    def conditions_of(self, link: Link) -> NetworkConditions:
        """What holds on a link now."""
        found = self._current.get(link)
        if found is None:
            found = self._calm
            for sender, receiver, conditions in self._imposed.values():
                if sender in (b"", link[0]) and receiver in (b"", link[1]):
                    found = conditions
            self._current[link] = found
        return found

    def arrivals(
        self, sender: bytes, receiver: bytes, now: Instant, size: int = 0
    ) -> list[Instant]:
        """When a frame of so many bytes, sent now, arrives: no, one, or two instants."""
        link = (sender, receiver)
        if link in self._cuts:
            return []
        conditions, draw = self._current.get(link) or self.conditions_of(link), self._rng.random
        if conditions.loss and draw() < conditions.loss:
            return []
        sent = now
        if conditions.bandwidth:
            begins = max(now, self._sent_by.get(link, 0))
            if (begins - now) * conditions.bandwidth > QUEUE_BYTES_LIMIT * SECOND_NS:
                return []
            sent = self._sent_by[link] = begins + size * SECOND_NS // conditions.bandwidth
        copies = 2 if conditions.duplication and draw() < conditions.duplication else 1
        instants = []
        for _ in range(copies):
            spread = conditions.delay_most_ns - conditions.delay_least_ns
            share = draw() if conditions.shape == "uniform" else self._tail(conditions.shape)
            arrival = sent + conditions.delay_least_ns + int(share * (spread + 1))
            if not conditions.reorder or draw() >= conditions.reorder:
                earlier = self._last.get(link, 0)
                self._last[link] = arrival = arrival if arrival > earlier else earlier + 1
            instants.append(arrival)
        return instants

    def _tail(self, shape: Shape) -> float:
        """A draw of which 95 in 100 are below 1."""
        if shape == "lognormal":
            share = self._rng.lognormvariate(_LOGNORMAL_MU, LOGNORMAL_SIGMA)
        else:
            share = (self._rng.paretovariate(PARETO_ALPHA) - 1) / _PARETO_SCALE
        return min(share, TAIL_MOST)
