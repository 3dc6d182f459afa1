"""Peers that hold and fetch blobs, their disks in memory, and whatever is between them."""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from protocols.blobs import commands, events, jobs
from protocols.blobs.blobs import Blobs
from protocols.blobs.naming import CHUNK_BYTES, Index, hashes_of, name_of
from protocols.blobs.parameters import BlobParameters
from protocols.effects import Blame, Effect, Emit, Perform, Persist, Send
from protocols.machine import Now

SMALL = BlobParameters(window=4, quota_bytes=8 * 1024 * 1024)


def content_of(chunks: int, seed: int = 1) -> bytes:
    """So many chunks, the last one short, each with its own bytes."""
    whole = b"".join(bytes([seed, i % 251]) * (CHUNK_BYTES // 2) for i in range(chunks))
    return whole[: len(whole) - 100] if whole else b""


def named(content: bytes) -> tuple[bytes, Index]:
    index = Index(len(content), hashes_of(content))
    return name_of(index.size, index.hashes), index


class Disk:
    """What `BlobStore` does, in memory. `full` is what its faults say, `rots` what it loses."""

    def __init__(self) -> None:
        self.parts: dict[bytes, dict[int, bytes]] = {}
        self.indexes: dict[bytes, Index] = {}
        self.whole: dict[bytes, bytes] = {}
        self.full = ""

    def perform(self, job: msgspec.Struct) -> msgspec.Struct | None:
        match job:
            case jobs.OpenBlob():
                index = self.indexes[job.blob] = Index(job.size, job.hashes)
                part = self.parts.setdefault(job.blob, {})
                return commands.BlobOpened(
                    job.blob, bytes(c in part for c in range(index.count)), self.full
                )
            case jobs.WriteChunk():
                self.parts[job.blob][job.chunk] = job.data
                return commands.ChunkWritten(job.blob, job.chunk, self.full)
            case jobs.CloseBlob():
                part = self.parts.pop(job.blob)
                self.whole[job.blob] = b"".join(part[chunk] for chunk in sorted(part))
                return commands.BlobClosed(job.blob, self.full)
            case jobs.ReadChunk():
                start = job.chunk * CHUNK_BYTES
                data = self.whole.get(job.blob, b"")[start : start + CHUNK_BYTES]
                return commands.ChunkRead(job.number, data)
            case jobs.DropBlob():
                self.whole.pop(job.blob, None)
                self.parts.pop(job.blob, None)
                return None
        raise AssertionError(job)


class Holder:
    """One peer: its machine, its disk, its journal, and what it was told."""

    def __init__(self, peer: bytes, parameters: BlobParameters = SMALL) -> None:
        self.peer = peer
        self.parameters = parameters
        self.machine = Blobs(peer, parameters)
        self.disk: Any = Disk()
        self.journal: list[msgspec.Struct] = []
        self.told: list[msgspec.Struct] = []
        self.blamed: list[bytes] = []
        self.is_up = True
        self.lies: Callable[[msgspec.Struct], msgspec.Struct] | None = None

    def put(self, content: bytes) -> bytes:
        blob, index = named(content)
        self.disk.whole[blob] = content
        self.shelve(blob, index)
        return blob

    def shelve(self, blob: bytes, index: Index) -> None:
        command = commands.KeepBlob(0, blob, index.size, index.hashes)
        for effect in self.machine.submit(command, Now(0, 0)):
            if isinstance(effect, Persist):
                self.journal.append(effect.record)

    def of(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.told if isinstance(each, kind)]


class Exchange:
    """Holders, and the messages and jobs on their way between them."""

    def __init__(self, *peers: Holder) -> None:
        self.holders = {holder.peer: holder for holder in peers}
        self.wire: deque[tuple[bytes, bytes, msgspec.Struct]] = deque()
        self.jobs: deque[tuple[bytes, msgspec.Struct]] = deque()
        self.now = Now(1, 1)
        self.fetching_ns = SMALL.patience_ns << SMALL.strikes
        """Longer than anybody waits for a source."""

    def submit(self, holder: Holder, command: msgspec.Struct) -> None:
        self._take(holder, holder.machine.submit(command, self.now))

    def fetch(self, holder: Holder, blob: bytes, *sources: Holder, number: int = 1) -> None:
        peers = tuple(source.peer for source in sources)
        self.submit(holder, commands.FetchBlob(number, blob, peers))

    def work(self, place: int = 0) -> None:
        """One job ends."""
        peer, job = self.jobs[place]
        del self.jobs[place]
        holder = self.holders[peer]
        if holder.is_up and (end := holder.disk.perform(job)) is not None:
            self.submit(holder, end)

    def deliver(self, place: int = 0, keep: bool = False) -> None:
        """One message arrives; `keep` lets it arrive again later."""
        sender, to, message = self.wire[place]
        if not keep:
            del self.wire[place]
        holder = self.holders[to]
        if holder.is_up:
            self._take(holder, holder.machine.receive(sender, sender, message, self.now))

    def pass_time(self, ns: int) -> None:
        self.now = Now(self.now.monotonic_ns + ns, self.now.wall_ns + ns)
        for holder in self.holders.values():
            if holder.is_up:
                self._take(holder, holder.machine.wake(self.now))

    def settle(self, steps: int = 100_000) -> None:
        """Until nothing is on its way."""
        while (self.jobs or self.wire) and steps:
            steps -= 1
            if self.jobs:
                self.work()
            else:
                self.deliver()
        assert steps, "it never ends"

    def run(self, patience: int = 200) -> None:
        """Until nothing is on its way and nobody waits for anything but the time to collect."""
        for _ in range(patience):
            self.settle()
            waits = [h.machine.deadline() for h in self.holders.values() if h.is_up]
            due = min((w for w in waits if w is not None), default=None)
            if due is None or due - self.now.monotonic_ns > self.fetching_ns:
                return
            self.pass_time(max(1, due - self.now.monotonic_ns))
        raise AssertionError("it never ends")

    def kill(self, holder: Holder) -> None:
        """It is no more, nor is anything that it was about to say or do."""
        holder.is_up = False
        self.wire = deque(each for each in self.wire if holder.peer not in each[:2])
        self.jobs = deque(each for each in self.jobs if each[0] != holder.peer)

    def restart(self, holder: Holder) -> None:
        """Killed, and started from its journal and disk."""
        holder.machine = Blobs(holder.peer, holder.parameters)
        holder.machine.restore(list(holder.journal), self.now)
        holder.is_up = True
        self.jobs = deque(each for each in self.jobs if each[0] != holder.peer)

    def _take(self, holder: Holder, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Send():
                    message = holder.lies(effect.message) if holder.lies else effect.message
                    self.wire.append((holder.peer, effect.to, message))
                case Perform():
                    self.jobs.append((holder.peer, effect.job))
                case Persist():
                    holder.journal.append(effect.record)
                case Emit():
                    holder.told.append(effect.event)
                case Blame():
                    holder.blamed.append(effect.peer)
        holder.machine.check()


def fetched(holder: Holder, blob: bytes, content: bytes) -> bool:
    """Whether it was told of the blob, and has the right bytes."""
    is_told = any(event.blob == blob for event in holder.of(events.BlobFetched))
    assert not is_told or holder.disk.whole[blob] == content, "other bytes"
    return is_told
