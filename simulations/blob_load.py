"""Clients of blobs: who puts what where, and who gets it; a checker of what they get.

Invariants:
    blobs-arrive-as-put: what a peer says that it fetched are the bytes that were put.
    blobs-arrive-at-last: when faults are over, a blob that an honest peer has is got by
        every honest peer that wants it.
"""

import hashlib
import random
from collections.abc import Callable

import msgspec

from protocols.blobs import commands, events
from protocols.blobs.naming import CHUNK_BYTES, Index, hashes_of, name_of
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.observations import PeerStarted
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

AGAIN_NS = 500 * MILLISECOND_NS
MISSES_MOST = 5
"""After so many misses the pause is not doubled any more."""
PUT = "put"
LATE_NS = 60 * SECOND_NS
"""So long after faults are over everybody has what it wants."""


class BlobLoad(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is put and got in a run."""

    puts: int = 0
    chunks: int = 12
    """Of 64 KiB: the most that a blob has."""
    gets: int = 2
    """How many other peers want each."""


class BlobClients:
    """Puts and gets a load, and checks what arrives."""

    hears = (
        events.BlobKept, events.BlobFetched, events.BlobNotFetched, events.BlobDamaged,
        events.BlobCollected, PeerStarted,
    )  # fmt: skip

    def __init__(self, load: BlobLoad, rng: random.Random) -> None:
        self._load = load
        self._rng = rng
        self._numbers = 0
        self._digests: dict[bytes, bytes] = {}
        self._puts: dict[int, bytes] = {}
        self._wanted: dict[tuple[str, bytes], int] = {}
        """By whom, with how often it did not come: what only a liar has never does."""

    def begin(self, world: World, duration_ns: int) -> None:
        """Plans all puts; liars put the first ones."""
        for number in range(self._load.puts):
            world.after(self._rng.randrange(duration_ns), self._putting(world, number))

    def _putting(self, world: World, number: int) -> Callable[[], None]:
        def put() -> None:
            liars = [peer for peer in world.peers if peer.liar is not None and peer.is_running]
            running = [peer for peer in world.peers if peer.is_running]
            if running:
                among = liars if liars and number % 3 == 0 else running
                self._put(world, self._rng.choice(among))

        return put

    def _put(self, world: World, peer: SimulatedPeer) -> None:
        size = self._rng.randrange(self._load.chunks * CHUNK_BYTES)
        content = self._rng.randbytes(size)
        index = Index(size, hashes_of(content))
        blob = name_of(size, index.hashes)
        self._digests[blob] = hashlib.sha256(content).digest()
        peer.blobs.whole[blob] = content
        self._numbers += 1
        self._puts[self._numbers] = blob
        command = commands.KeepBlob(self._numbers, blob, size, index.hashes, PUT)
        if peer.submit(command) is not None:
            world.coverage["a blob is refused"] += 1

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows blobs, and asks again for what has not come."""
        match event:
            case events.BlobKept() if event.number in self._puts:
                blob = self._puts.pop(event.number)
                others = [other for other in world.honest if other is not peer]
                for other in self._rng.sample(others, min(self._load.gets, len(others))):
                    self._wanted[other.name, blob] = 0
                    self._get(world, other, blob)
            case events.BlobFetched() if peer.liar is None:
                self._arrived(world, peer, event.blob)
            case events.BlobNotFetched() if (peer.name, event.blob) in self._wanted:
                world.coverage[f"a blob does not come: {event.kind}"] += 1
                misses = self._wanted[peer.name, event.blob]
                self._wanted[peer.name, event.blob] = min(misses + 1, MISSES_MOST)
                world.after(AGAIN_NS << misses, lambda: self._get(world, peer, event.blob))
            case events.BlobDamaged():
                world.coverage["a blob's file is gone"] += 1
            case PeerStarted():
                world.after(AGAIN_NS, lambda: self._all_again(world, peer))

    def _all_again(self, world: World, peer: SimulatedPeer) -> None:
        for name, blob in tuple(self._wanted):
            if name == peer.name:
                self._get(world, peer, blob)

    def _get(self, world: World, peer: SimulatedPeer, blob: bytes) -> None:
        core = peer.core
        if core is None or (peer.name, blob) not in self._wanted:
            return
        if not peer.is_running:
            world.after(AGAIN_NS, lambda: self._get(world, peer, blob))
            return
        self._numbers += 1
        if peer.blobs.parts.get(blob):
            world.coverage["a fetch goes on"] += 1
        refused = peer.submit(commands.FetchBlob(self._numbers, blob, core.gossip.alive()))
        if refused is not None:
            world.after(AGAIN_NS, lambda: self._get(world, peer, blob))

    def _arrived(self, world: World, peer: SimulatedPeer, blob: bytes) -> None:
        self._wanted.pop((peer.name, blob), None)
        world.coverage["a blob arrives"] += 1
        found = hashlib.sha256(peer.blobs.whole.get(blob, b"")).digest()
        if found != self._digests[blob]:
            raise Violation(f"blobs-arrive-as-put: {peer.name} holds other bytes of {blob.hex()}")

    def finish(self, world: World) -> None:
        """Waits for what can still come."""
        world.run_until(lambda: not self._missing(world), LATE_NS, SECOND_NS)
        for name, blob in self._missing(world):
            raise Violation(f"blobs-arrive-at-last: {name} has not got {blob.hex()}")

    def _missing(self, world: World) -> list[tuple[str, bytes]]:
        running = {peer.name: peer.core for peer in world.honest if peer.core is not None}
        return [
            (name, blob)
            for name, blob in self._wanted
            if name in running and any(core.blobs.has(blob) for core in running.values())
        ]
