"""Speaks of attempts that it was never given: results, refusals, parkings, cancellations."""

import msgspec

from protocols.tasks.messages import (
    Beat,
    CancelJobs,
    JobKey,
    Outcome,
    Parked,
    Progress,
    Rejected,
    Results,
    ResultsAck,
)
from protocols.wire import encode
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

INTERVAL_NS = 5_000_000


class Meddler(Adversary):
    """It is told of every attempt that anybody runs, as no real peer is."""

    offences = ("never given",)

    interval_ns = INTERVAL_NS

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Meddles with what runs right now at honest peers."""
        rng = world.faults_rng
        for other in world.honest:
            if other.workers is None:
                continue
            for custodian, task, attempt in tuple(other.workers.handlings):
                keeper = world.by_id[custodian]
                if keeper.liar is None and keeper.core is not None and rng.random() < 0.2:
                    self._meddle(world, peer, other.peer, custodian, JobKey(task, attempt))

    def _meddle(
        self, world: World, peer: SimulatedPeer, worker: bytes, custodian: bytes, key: JobKey
    ) -> None:
        world.coverage["a liar meddles with an attempt"] += 1
        rng = world.faults_rng
        lie = msgspec.Raw(encode({"index": -1, "by": "a liar"}))
        keys = (key, JobKey(key.task, key.attempt + 1000), JobKey("no-such-task", 1))
        outcomes = tuple(
            Outcome(each.task, each.attempt, rng.choice(("ok", "failed", "strange")), lie, 1)
            for each in keys
        )
        batch = rng.getrandbits(40)
        to_custodian = (
            Results(batch, outcomes),
            Rejected("", keys, "busy"),
            Parked(keys, rng.random() < 0.5),
            Beat(1 << 40, keys, keys),
            Progress(key.task, key.attempt, 500_000, "nearly"),
        )
        to_worker = (CancelJobs(keys), ResultsAck((batch, (1 << 32) + 1, (1 << 32) + 2)))
        world.inject(peer, custodian, tuple(encode(each) for each in to_custodian))
        world.inject(peer, worker, tuple(encode(each) for each in to_worker))
