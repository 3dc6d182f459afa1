"""The blobs of one peer: those it keeps and serves, and those it fetches.

    put here, or fetched chunk by chunk --> kept --needed by somebody--> held
         collected <-- nobody has needed it for a while <--released--'

Invariants:
    blobs-verified: nothing is kept, served or told of that does not hash to its name.
    blobs-in-quota: what is kept and what is on its way fits the quota.
    blobs-needed-stay: what somebody needs is not collected.
    blobs-bounded-work: reads for others, fetches, and chunks under way have limits.

Chunks are checked one by one against an index whose hash is the blob's name, so a
source that sends other bytes has shown to this peer what it is, and is blamed; the
chunk is asked of another. A holder checks what its disk gives back before it sends it,
so no honest peer is ever blamed. There is no order among chunks and no session: what
comes late, twice or from somebody else is good where its hash is.
"""

from collections.abc import Iterable, Iterator

import msgspec

from protocols.blobs import commands, events, jobs
from protocols.blobs.fetch import CHUNKS_WANTED, CLOSING, INDEX_WANTED, PLACE_WANTED, Fetch
from protocols.blobs.messages import BlobChunk, BlobIndex, Lacks, WantChunks, WantIndex
from protocols.blobs.naming import SIZE_LIMIT, Index
from protocols.blobs.parameters import BlobParameters
from protocols.blobs.records import DroppedBlob, HeldBlob, ReleasedBlob, ShelvedBlob
from protocols.blobs.shelf import Shelf
from protocols.effects import Blame, Effect, Emit, Perform, Persist, Send
from protocols.errors import Refused
from protocols.machine import SECOND_NS, Instant, Now

BUSY_RETRY_NS = SECOND_NS
WRONG_INDEX = "sent an index that is not the blob's"
WRONG_CHUNK = "sent bytes that are not the blob's"


class Read(msgspec.Struct):
    """A chunk that is read for somebody."""

    peer: bytes
    blob: bytes
    chunk: int


class Blobs:
    """A `Machine`: see the module."""

    def __init__(self, peer: bytes, parameters: BlobParameters) -> None:
        self._peer = peer
        self._parameters = parameters
        self._shelf = Shelf(parameters)
        self._fetches: dict[bytes, Fetch] = {}
        self._reads: dict[int, Read] = {}
        self._reads_of: dict[bytes, int] = {}
        self._read_number = 0
        self._effects: list[Effect] = []

    # The machine.

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Takes a wish, or the end of some work.

        Raises:
            Refused: a wish that cannot be met; nothing has changed.
        """
        instant = now.monotonic_ns
        match command:
            case commands.KeepBlob():
                self._keep(command, instant)
            case commands.FetchBlob():
                self._fetch(command, instant)
            case commands.HoldBlob():
                if self._shelf.hold(command.blob, command.holder):
                    self._do(Persist(HeldBlob(command.blob, command.holder)))
            case commands.ReleaseBlob():
                if self._shelf.release(command.blob, command.holder, instant):
                    self._do(Persist(ReleasedBlob(command.blob, command.holder)))
            case commands.HolderGone():
                for fetch in self._fetches.values():
                    fetch.strike(command.peer, instant)
                self._ask(instant)
            case commands.BlobOpened():
                self._opened(command, instant)
            case commands.ChunkRead():
                self._read(command)
            case commands.ChunkWritten():
                self._written(command, instant)
            case commands.BlobClosed():
                self._closed(command, instant)
            case _:
                raise AssertionError(f"{type(command).__name__} is no command of blobs")
        return self._taken()

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Serves other peers, and takes what was asked of them."""
        instant = now.monotonic_ns
        match message:
            case WantIndex():
                self._serve_index(link, message)
            case WantChunks():
                self._serve_chunks(link, message)
            case BlobIndex():
                self._index_came(link, message, instant)
            case BlobChunk():
                self._chunk_came(link, message, instant)
            case Lacks():
                fetch = self._fetches.get(message.blob)
                if fetch is not None:
                    fetch.remove(link)
                    self._ask(instant)
        return self._taken()

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Asks others where somebody was silent; collects what nobody needs."""
        instant = now.monotonic_ns
        for fetch in self._fetches.values():
            fetch.struck(instant)
        self._ask(instant)
        for blob in self._shelf.due(instant):
            self._do(Emit(events.BlobCollected(blob, self._drop(blob))))
        return self._taken()

    def deadline(self) -> Instant | None:
        """When a source is late, one has rested, or a blob may be collected."""
        times = [fetch.deadline() for fetch in self._fetches.values()]
        times += [next(iter(self._shelf.loose.values()), None)]
        return min((time for time in times if time is not None), default=None)

    def snapshot(self) -> Iterator[msgspec.Struct]:
        """What is kept, and who needs it; fetches are asked for again."""
        return self._shelf.snapshot()

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Rebuilds what was kept."""
        self._shelf.restore(records, now.monotonic_ns)

    def check(self) -> None:
        """Asserts the invariants of the module."""
        self._shelf.check()
        sizes = [fetch.index.size for fetch in self._fetches.values() if fetch.index]
        assert self._shelf.reserved == sum(sizes), "blobs-in-quota: what is on its way is counted"
        assert len(self._fetches) <= self._parameters.fetches, "blobs-bounded-work: fetches"
        assert len(self._reads) <= self._parameters.reads, "blobs-bounded-work: reads"
        under_way = self._parameters.window * self._parameters.sources
        for fetch in self._fetches.values():
            assert len(fetch.writing) <= under_way, "blobs-bounded-work: chunks"

    # What others may ask.

    def has(self, blob: bytes) -> bool:
        """Whether all of a blob is here."""
        return blob in self._shelf.blobs

    @property
    def kept_bytes(self) -> int:
        """Of all blobs that are kept."""
        return self._shelf.bytes

    # Wishes.

    def _keep(self, command: commands.KeepBlob, now: Instant) -> None:
        index = Index(command.size, command.hashes)
        if command.size > SIZE_LIMIT:
            raise Refused("TooLarge", f"a blob has at most {SIZE_LIMIT} bytes, not {command.size}")
        if not index.names(command.blob):
            raise Refused("InvalidInput", "the name of a blob is the hash of its index")
        if not self.has(command.blob):
            self._shelf.make_sure_of_room(command.size)
            self._arrived(command.blob, index, now)
        self._do(Emit(events.BlobKept(command.number, command.blob)))

    def _fetch(self, command: commands.FetchBlob, now: Instant) -> None:
        shelved = self._shelf.blobs.get(command.blob)
        if shelved is not None:
            size = shelved.index.size
            self._do(Emit(events.BlobFetched(command.number, command.blob, size)))
            return
        fetch = self._fetches.get(command.blob)
        if fetch is None:
            if len(self._fetches) >= self._parameters.fetches:
                text = f"{len(self._fetches)} blobs are being fetched already"
                raise Refused("Busy", text, BUSY_RETRY_NS)
            fetch = self._fetches[command.blob] = Fetch(self._parameters)
        fetch.numbers[command.number] = None
        for peer in command.holders:
            if peer != self._peer:
                fetch.add_source(peer)
        self._ask(now)

    # Serving.

    def _serve_index(self, link: bytes, message: WantIndex) -> None:
        shelved = self._shelf.blobs.get(message.blob)
        if shelved is None:
            self._do(Send(link, Lacks(message.blob)))
        else:
            index = shelved.index
            self._do(Send(link, BlobIndex(message.blob, index.size, index.hashes)))

    def _serve_chunks(self, link: bytes, message: WantChunks) -> None:
        shelved = self._shelf.blobs.get(message.blob)
        if shelved is None:
            self._do(Send(link, Lacks(message.blob)))
            return
        for chunk in dict.fromkeys(message.chunks):
            reads = self._reads_of.get(link, 0)
            is_much = reads >= self._parameters.reads_per_peer
            if is_much or len(self._reads) >= self._parameters.reads:
                return  # whoever asked too much asks again
            if chunk < shelved.index.count:
                self._read_number += 1
                self._reads[self._read_number] = Read(link, message.blob, chunk)
                self._reads_of[link] = reads + 1
                self._do(Perform(jobs.ReadChunk(self._read_number, message.blob, chunk)))

    def _read(self, command: commands.ChunkRead) -> None:
        read = self._reads.pop(command.number, None)
        if read is None:
            return
        self._reads_of[read.peer] -= 1
        if not self._reads_of[read.peer]:
            del self._reads_of[read.peer]
        shelved = self._shelf.blobs.get(read.blob)
        if shelved is not None and shelved.index.fits(read.chunk, command.data):
            self._do(Send(read.peer, BlobChunk(read.blob, read.chunk, command.data)))
            return
        if shelved is not None:
            self._drop(read.blob)
            self._do(Emit(events.BlobDamaged(read.blob)))
        self._do(Send(read.peer, Lacks(read.blob)))

    # Fetching.

    def _ask(self, now: Instant) -> None:
        for blob, fetch in list(self._fetches.items()):
            first = fetch.ask_for_index(now)
            if first is not None:
                self._do(Send(first, WantIndex(blob)))
            for peer, chunks in fetch.ask_for_chunks(now):
                self._do(Send(peer, WantChunks(blob, chunks)))
            nobody = not fetch.sources and not fetch.writing
            if nobody and fetch.stage in (INDEX_WANTED, CHUNKS_WANTED):
                self._give_up(blob, "NoHolder", "no peer that was named has it and answers")

    def _index_came(self, link: bytes, message: BlobIndex, now: Instant) -> None:
        fetch = self._fetches.get(message.blob)
        if fetch is None or fetch.stage != INDEX_WANTED or link not in fetch.sources:
            return
        index = Index(message.size, message.hashes)
        if not index.names(message.blob):
            self._lied(link, message.blob, WRONG_INDEX, now)
            return
        try:
            self._shelf.make_sure_of_room(index.size)
        except Refused as refused:
            self._give_up(message.blob, refused.kind, refused.message)
            return
        for source in fetch.sources.values():
            source.due = None
        fetch.index, fetch.stage = index, PLACE_WANTED
        self._shelf.reserved += index.size
        self._do(Perform(jobs.OpenBlob(message.blob, index.size, index.hashes)))

    def _opened(self, command: commands.BlobOpened, now: Instant) -> None:
        fetch = self._fetches.get(command.blob)
        if fetch is None or fetch.index is None or fetch.stage != PLACE_WANTED:
            return
        if command.fault or len(command.have) != fetch.index.count:
            self._give_up(command.blob, "DiskFault", command.fault or "there is no place for it")
            return
        fetch.begin(command.have)
        self._go_on(command.blob, fetch, now)

    def _chunk_came(self, link: bytes, message: BlobChunk, now: Instant) -> None:
        fetch = self._fetches.get(message.blob)
        if fetch is None or fetch.index is None or fetch.stage != CHUNKS_WANTED:
            return
        if link not in fetch.sources:
            return
        if not fetch.index.fits(message.chunk, message.data):
            self._lied(link, message.blob, WRONG_CHUNK, now)
        elif fetch.came(link, message.chunk, now):
            self._do(Perform(jobs.WriteChunk(message.blob, message.chunk, message.data)))

    def _written(self, command: commands.ChunkWritten, now: Instant) -> None:
        fetch = self._fetches.get(command.blob)
        if fetch is None or command.chunk not in fetch.writing:
            return
        if command.fault:
            self._give_up(command.blob, "DiskFault", command.fault)
            return
        fetch.written(command.chunk)
        self._go_on(command.blob, fetch, now)

    def _go_on(self, blob: bytes, fetch: Fetch, now: Instant) -> None:
        if fetch.is_complete:
            fetch.stage = CLOSING
            fetch.sources.clear()
            self._do(Perform(jobs.CloseBlob(blob)))
        else:
            self._ask(now)

    def _closed(self, command: commands.BlobClosed, now: Instant) -> None:
        fetch = self._fetches.get(command.blob)
        if fetch is None or fetch.index is None or fetch.stage != CLOSING:
            return
        if command.fault:
            self._give_up(command.blob, "DiskFault", command.fault)
            return
        self._arrived(command.blob, fetch.index, now)

    def _lied(self, link: bytes, blob: bytes, offence: str, now: Instant) -> None:
        self._do(Blame(link, offence))
        for fetch in self._fetches.values():
            fetch.remove(link)
        self._ask(now)

    def _give_up(self, blob: bytes, kind: str, reason: str) -> None:
        fetch = self._fetches.pop(blob)
        if fetch.index is not None:
            self._shelf.reserved -= fetch.index.size
        if kind == "DiskFault":
            self._do(Perform(jobs.DropBlob(blob)))
        for number in fetch.numbers:
            self._do(Emit(events.BlobNotFetched(number, blob, kind, reason)))

    # The shelf, and what comes of it.

    def _arrived(self, blob: bytes, index: Index, now: Instant) -> None:
        """All of a blob is here: by its fetch, or put here by somebody, perhaps meanwhile."""
        assert index.names(blob), "blobs-verified"
        fetch = self._fetches.pop(blob, None)
        if fetch is not None and fetch.index is not None:
            self._shelf.reserved -= fetch.index.size
        self._shelf.put(blob, index, now)
        self._do(Persist(ShelvedBlob(blob, index.size, index.hashes)))
        for number in fetch.numbers if fetch is not None else ():
            self._do(Emit(events.BlobFetched(number, blob, index.size)))

    def _drop(self, blob: bytes) -> int:
        self._do(Persist(DroppedBlob(blob)))
        self._do(Perform(jobs.DropBlob(blob)))
        return self._shelf.drop(blob)

    def _do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _taken(self) -> tuple[Effect, ...]:
        effects, self._effects = self._effects, []
        return tuple(effects)
