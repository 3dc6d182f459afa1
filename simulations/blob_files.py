"""The files of a simulated peer's blobs: what `BlobStore` does, in virtual time.

They outlive the process. What was not synced is lost with the machine's power: all of
an unfinished blob, or some of its chunks.
"""

import random
from collections.abc import Collection
from typing import TYPE_CHECKING

import msgspec

from protocols.blobs import commands, jobs
from protocols.blobs.naming import CHUNK_BYTES, Index, chunk_count
from protocols.machine import MICROSECOND_NS, Instant

if TYPE_CHECKING:
    from mesh.core.peer import PeerCore
    from simulations.peer import SimulatedPeer
    from simulations.world import World

BLOB_JOBS = (jobs.OpenBlob, jobs.WriteChunk, jobs.CloseBlob, jobs.ReadChunk, jobs.DropBlob)
JOB_NS = 200 * MICROSECOND_NS
SYNC_NS = 3000 * MICROSECOND_NS


class BlobFiles:
    """Whole blobs, and chunks of those that are on their way."""

    def __init__(self) -> None:
        self.whole: dict[bytes, bytes] = {}
        self.parts: dict[bytes, dict[int, bytes]] = {}
        self._busy_until: Instant = 0

    def keep_only(self, blobs: Collection[bytes]) -> None:
        """At start: what no record names goes."""
        self.whole = {name: data for name, data in self.whole.items() if name in blobs}

    def lose_power(self, rng: random.Random) -> None:
        """Chunks that were written and not synced are there or not."""
        self.parts = {
            blob: {chunk: data for chunk, data in part.items() if rng.random() < 0.5}
            for blob, part in self.parts.items()
        }

    def take(
        self, world: "World", peer: "SimulatedPeer", core: "PeerCore", job: msgspec.Struct
    ) -> None:
        """Does a job after those that came before it; a process that died hears of no end."""
        took = SYNC_NS if isinstance(job, jobs.CloseBlob) else JOB_NS
        self._busy_until = max(self._busy_until, world.now) + took

        def done() -> None:
            if peer.core is not core:
                return
            if peer.paused_until > world.now:
                world.at(peer.paused_until, done)
                return
            end = self._perform(job)
            if end is not None:
                peer.submit(end)

        world.at(self._busy_until, done)

    def _perform(self, job: msgspec.Struct) -> msgspec.Struct | None:
        match job:
            case jobs.OpenBlob():
                index = Index(job.size, job.hashes)
                part = self.parts.setdefault(job.blob, {})
                chunks = range(chunk_count(job.size))
                return commands.BlobOpened(
                    job.blob, bytes(index.fits(chunk, part.get(chunk, b"")) for chunk in chunks)
                )
            case jobs.WriteChunk():
                self.parts[job.blob][job.chunk] = job.data
                return commands.ChunkWritten(job.blob, job.chunk)
            case jobs.CloseBlob():
                part = self.parts.pop(job.blob)
                self.whole[job.blob] = b"".join(part[chunk] for chunk in sorted(part))
                return commands.BlobClosed(job.blob)
            case jobs.ReadChunk():
                start = job.chunk * CHUNK_BYTES
                data = self.whole.get(job.blob, b"")[start : start + CHUNK_BYTES]
                return commands.ChunkRead(job.number, data)
            case jobs.DropBlob():
                self.whole.pop(job.blob, None)
                self.parts.pop(job.blob, None)
                return None
        raise AssertionError(f"{type(job).__name__} is no job of blobs")
