"""Whom a rumour reaches under loss, and what a mesh at rest costs on the wire.

A rumour is a peer's new description of itself. Each frame of a core is counted
with its real bytes, and with what carries it:

- CURVE and ZMTP: 42 bytes (frame header 9, MESSAGE command 8, nonce 8, box 16, flags 1);
- TCP and IP: 52 bytes for its segment, and 52 for the one that acknowledges it.

Heartbeats of open connections are not frames of a core. Each connection is
charged the rates of the real sockets: a ping each 2 s from the end that dialled
and each 5 s from the other, each answered, and each as dear as an empty frame.
A connection is open from its first frame, and never closed here (the real one
closes after a minute of rest).
"""

import random
from collections.abc import Iterator

import msgspec

from protocols.gossip.commands import Advertise
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant
from simulations.experiments.parallel import spread
from simulations.experiments.stage import Stage, percentile
from simulations.network import Network, NetworkConditions

CARRIER_BYTES = 42 + 52 + 52
HEARTBEATS_A_SECOND = 1 / 2 + 1 / 5
"""Of one connection, in each direction: pings of one end are answered by the other."""
REST_NS = 60 * SECOND_NS
REACHED_LONGEST_NS = 60 * SECOND_NS


class CountingNetwork(Network):
    """Counts what each peer sends."""

    def __init__(self, conditions: NetworkConditions, rng: random.Random) -> None:
        """Nothing was sent yet."""
        super().__init__(conditions, rng)
        self.frames = 0
        self.bytes = 0

    def arrivals(
        self, sender: bytes, receiver: bytes, now: Instant, size: int = 0
    ) -> list[Instant]:
        """As the network's."""
        self.frames += 1
        self.bytes += size + CARRIER_BYTES
        return super().arrivals(sender, receiver, now, size)


class Rest(msgspec.Struct, frozen=True):
    """A mesh of so many, with nothing to do."""

    peers: int
    seconds: int
    seed: int


class RestFigure(msgspec.Struct, frozen=True):
    """Per peer and second: frames, kilobytes of frames and of heartbeats, steps."""

    peers: int
    seconds: int
    frames: float
    kilobytes: float
    heartbeat_kilobytes: float
    steps: float

    @property
    def total_kilobytes(self) -> float:
        """All that a peer sends a second."""
        return self.kilobytes + self.heartbeat_kilobytes


def rest(job: Rest) -> RestFigure:
    """What a mesh that has met costs while nothing happens."""
    stage = Stage(job.seed, job.peers, make_network=CountingNetwork)
    network, world = stage.network, stage.world
    assert isinstance(network, CountingNetwork), "the network that was asked for"
    stage.run(20 * SECOND_NS)
    frames, size = network.frames, network.bytes
    steps = sum(peer.steps for peer in world.peers)
    stage.run(job.seconds * SECOND_NS)
    each = job.peers * job.seconds
    links = sum(len(peer.links) for peer in world.peers) / job.peers
    return RestFigure(
        job.peers,
        job.seconds,
        (network.frames - frames) / each,
        (network.bytes - size) / each / 1000,
        2 * links * HEARTBEATS_A_SECOND * CARRIER_BYTES / 1000,
        (sum(peer.steps for peer in world.peers) - steps) / each,
    )


class Rumour(msgspec.Struct, frozen=True):
    """One peer says something new of itself, while so many frames are lost."""

    peers: int
    loss: float
    seed: int


class Reached(msgspec.Struct, frozen=True):
    """Seconds until every other peer knew, sorted."""

    seconds: tuple[float, ...]


def rumour(job: Rumour) -> Reached:
    """Spreads one rumour through a mesh that has met.

    Raises:
        AssertionError: somebody did not hear of it in time.
    """
    stage = Stage(job.seed, job.peers)
    stage.lose(job.loss)
    teller = stage.rng.choice(stage.world.peers)
    begun = stage.world.now
    teller.submit(Advertise("renamed", teller.door, ()))
    known: dict[bytes, Instant] = {}

    def all_know() -> bool:
        for change in stage.views.take():
            if change.subject == teller.peer and change.state == "up":
                known.setdefault(change.observer, change.at)
        return len(known) >= job.peers - 1

    everybody = stage.world.run_until(all_know, REACHED_LONGEST_NS, 100 * MILLISECOND_NS)
    assert everybody, f"{job.peers - 1 - len(known)} peers never heard of it"
    return Reached(tuple(sorted((at - begun) / SECOND_NS for at in known.values())))


class RumourFigure(msgspec.Struct, frozen=True):
    """Seconds until half know, 99 of 100 know, and the last one of all runs."""

    peers: int
    loss: float
    runs: int
    median_s: float
    most_s: float
    last_s: float


def rumours(peers: int, loss: float, runs: int, jobs: int) -> RumourFigure:
    """One row of rumours."""
    made = list(spread(rumour, [Rumour(peers, loss, seed) for seed in range(runs)], jobs))
    each = [seconds for reached in made for seconds in reached.seconds]
    return RumourFigure(peers, loss, runs, percentile(each, 0.5), percentile(each, 0.99), max(each))


def dissemination(
    sizes: tuple[int, ...], runs: int, jobs: int = 1
) -> Iterator[RestFigure | RumourFigure]:
    """The page's tables, row by row."""
    largest = sizes[-1]
    for loss in (0.0, 0.02):
        yield rumours(largest, loss, runs, jobs)
    seconds = REST_NS // SECOND_NS
    yield from spread(rest, [Rest(peers, seconds, 1) for peers in sizes], jobs)
