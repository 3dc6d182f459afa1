"""Blobs in a simulated mesh: what is under way delays nothing else."""

import random

import msgspec
import pytest

from protocols.blobs.commands import FetchBlob, KeepBlob
from protocols.blobs.events import BlobFetched
from protocols.blobs.naming import SIZE_LIMIT, hashes_of, name_of
from protocols.gossip.events import MemberDown, MemberSuspected
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.network import NetworkConditions
from simulations.peer import SimulatedPeer
from simulations.world import World

BANDWIDTH = 12_500_000
"""Bytes a second: 100 Mbit/s."""


class Told:
    """Who has it, and who is suspected."""

    hears: tuple[type[msgspec.Struct], ...] = (BlobFetched, MemberSuspected, MemberDown)

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.suspected: list[str] = []

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        (self.fetched if isinstance(event, BlobFetched) else self.suspected).append(peer.name)

    def finish(self, world: World) -> None:
        """Nothing is wrong."""


def fetched_by_all(size: int, peers: int) -> float:
    """One peer puts, all others fetch at once; how long that takes, in seconds."""
    told = Told()
    conditions = NetworkConditions(MILLISECOND_NS, 2 * MILLISECOND_NS, bandwidth=BANDWIDTH)
    world = World(1, peers, conditions=conditions, checkers=(told,))
    for peer in world.peers:
        peer.start(())
    world.run(10 * SECOND_NS)
    content = random.Random(1).randbytes(size)
    hashes = hashes_of(content)
    blob = name_of(size, hashes)
    holder, *others = world.peers
    holder.blobs.whole[blob] = content
    holder.submit(KeepBlob(1, blob, size, hashes, "put"))
    begun = world.now
    for peer in others:
        peer.submit(FetchBlob(1, blob, (holder.peer,)))
    assert world.run_until(lambda: len(told.fetched) == len(others), 120 * SECOND_NS, SECOND_NS)
    assert all(peer.blobs.whole[blob] == content for peer in others)
    assert told.suspected == [], "no probe waits behind a blob"
    return (world.now - begun) / SECOND_NS


def test_a_few_mebibytes_to_everybody_make_nobody_suspect() -> None:
    fetched_by_all(2 * 1024 * 1024, peers=4)


@pytest.mark.slow
def test_64_mib_to_everybody_make_nobody_suspect_and_use_most_of_the_line() -> None:
    seconds = fetched_by_all(SIZE_LIMIT, peers=4)
    assert seconds < 2 * SIZE_LIMIT / BANDWIDTH
