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
from protocols.blobs.serving import Serving
from protocols.blobs.shelf import Shelf
from protocols.effects import Blame, Effect, Emit, Perform, Persist, Send
from protocols.errors import Refused
from protocols.machine import SECOND_NS, Instant, Now

BUSY_RETRY_NS = SECOND_NS
WRONG_INDEX = "sent an index that is not the blob's"
WRONG_CHUNK = "sent bytes that are not the blob's"


class Blobs:
    """A `Machine`: see the module."""

    def __init__(self, peer: bytes, parameters: BlobParameters) -> None:
        self._peer = peer
        self._parameters = parameters
        self._shelf = Shelf(parameters)
        self._fetches: dict[bytes, Fetch] = {}
        self._effects: list[Effect] = []
        self._serving = Serving(parameters, self._shelf, self._effects)

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
                self._release(command.blob, command.holder, instant)
            case commands.RemoveBlob():
                self._remove(command, instant)
            case commands.UseBlob():
                self._shelf.wanted(command.blob, instant)
            case commands.BlobRotten():
                if self.has(command.blob):
                    self._rot(command.blob)
            case commands.HolderBack():
                for fetch in self._fetches.values():
                    fetch.back(command.peer)
                self._ask(instant)
            case commands.HolderGone():
                for fetch in self._fetches.values():
                    fetch.strike(command.peer, instant)
                self._ask(instant)
            case commands.BlobOpened():
                self._opened(command, instant)
            case commands.ChunkRead():
                rotten = self._serving.read(command)
                if rotten is not None:
                    self._rot(rotten)
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
                self._serving.index(link, message)
            case WantChunks():
                self._serving.chunks(link, message)
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
            self._collect(blob)
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
        self._serving.check()
        under_way = self._parameters.window * self._parameters.sources
        for fetch in self._fetches.values():
            assert len(fetch.writing) <= under_way, "blobs-bounded-work: chunks"

    # What others may ask.

    def has(self, blob: bytes) -> bool:
        """Whether all of a blob is here."""
        return blob in self._shelf.blobs

    def index(self, blob: bytes) -> Index | None:
        """What the chunks of a blob that is here are checked by."""
        shelved = self._shelf.blobs.get(blob)
        return None if shelved is None else shelved.index

    def listed(self) -> Iterator[tuple[bytes, int, bool]]:
        """All blobs that are here, oldest first: name, size, whether somebody needs it."""
        for blob, shelved in self._shelf.blobs.items():
            yield blob, shelved.index.size, bool(shelved.holders)

    def arrived(self, blob: bytes) -> tuple[int, int]:
        """How many bytes of a blob that is fetched are here, and its size; 0, 0 if unknown."""
        fetch = self._fetches.get(blob)
        if fetch is None or fetch.index is None:
            return 0, 0
        return fetch.arrived, fetch.index.size

    def refuse_unfit(self, size: int) -> None:
        """Checks that a blob of so many bytes may be put, without taking it.

        Raises:
            Refused: TooLarge, or QuotaExceeded.
        """
        refuse_too_large(size)
        self._shelf.in_the_way(size)

    @property
    def quota_bytes(self) -> int:
        """How many bytes may be kept."""
        return self._parameters.quota_bytes

    @property
    def kept_bytes(self) -> int:
        """Of all blobs that are kept."""
        return self._shelf.bytes

    # Wishes.

    def _keep(self, command: commands.KeepBlob, now: Instant) -> None:
        index = Index(command.size, command.hashes)
        refuse_too_large(command.size)
        if not index.names(command.blob):
            raise Refused("InvalidInput", "the name of a blob is the hash of its index")
        if not self.has(command.blob):
            self._make_room(command.size)
            self._arrived(command.blob, index, now)
        if command.holder and self._shelf.hold(command.blob, command.holder):
            self._do(Persist(HeldBlob(command.blob, command.holder)))
        self._do(Emit(events.BlobKept(command.number, command.blob)))

    def _fetch(self, command: commands.FetchBlob, now: Instant) -> None:
        shelved = self._shelf.blobs.get(command.blob)
        if shelved is not None:
            size = shelved.index.size
            self._shelf.wanted(command.blob, now)
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
                if fetch.is_any_silent:
                    self._give_up(blob, "HolderAway", "those that may have it do not answer")
                else:
                    self._give_up(blob, "NoHolder", "no peer that was asked has it")

    def _index_came(self, link: bytes, message: BlobIndex, now: Instant) -> None:
        fetch = self._fetches.get(message.blob)
        if fetch is None or fetch.stage != INDEX_WANTED or link not in fetch.sources:
            return
        index = Index(message.size, message.hashes)
        if not index.names(message.blob):
            self._lied(link, message.blob, WRONG_INDEX, now)
            return
        try:
            self._make_room(index.size)
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

    def _make_room(self, size: int) -> None:
        for blob in self._shelf.in_the_way(size):
            self._collect(blob)

    def _release(self, blob: bytes, holder: str, now: Instant) -> None:
        if self._shelf.release(blob, holder, now):
            self._do(Persist(ReleasedBlob(blob, holder)))

    def _remove(self, command: commands.RemoveBlob, now: Instant) -> None:
        if not self.has(command.blob):
            raise Refused("UnknownBlob", "this peer does not hold it; `mesh blob ls` lists blobs")
        self._release(command.blob, command.holder, now)
        if command.blob in self._shelf.loose:
            self._collect(command.blob)

    def _collect(self, blob: bytes) -> None:
        self._do(Emit(events.BlobCollected(blob, self._drop(blob))))

    def _rot(self, blob: bytes) -> None:
        self._drop(blob)
        self._do(Emit(events.BlobDamaged(blob)))

    def _drop(self, blob: bytes) -> int:
        self._do(Persist(DroppedBlob(blob)))
        self._do(Perform(jobs.DropBlob(blob)))
        return self._shelf.drop(blob)

    def _do(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _taken(self) -> tuple[Effect, ...]:
        effects = tuple(self._effects)
        self._effects.clear()
        return effects


def refuse_too_large(size: int) -> None:
    """Checks a size.

    Raises:
        Refused: TooLarge.
    """
    if size > SIZE_LIMIT:
        mib = SIZE_LIMIT // 1024**2
        text = f"a blob has at most {mib} MiB ({SIZE_LIMIT} bytes), and this has {size}: split it"
        raise Refused("TooLarge", text)
