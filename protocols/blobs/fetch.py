"""One blob that is being fetched: what is missing, and who has been asked for what.

    index wanted -> place wanted -> chunks wanted -> closing

One source at a time is asked for the index; the chunks are asked of all of them, a
window each. A source that says nothing in time is asked for less and less often, and
what it owes is asked of the others; one that lacks the blob or lied is asked no more.
"""

import msgspec

from protocols.blobs.naming import CHUNK_BYTES, Index
from protocols.blobs.parameters import BlobParameters
from protocols.machine import Instant

INDEX_WANTED, PLACE_WANTED, CHUNKS_WANTED, CLOSING = "index", "place", "chunks", "closing"


class Source(msgspec.Struct):
    """A peer that may have the blob.

    Attributes:
        asked: chunks that it owes, or that have come from it and are not yet written.
        due: when it will have said nothing for too long, or None.
        rests_until: it is not asked before; 0 where it may be asked.
        strikes: how often it said nothing, since it last said something.
    """

    asked: dict[int, None] = {}
    due: Instant | None = None
    rests_until: Instant = 0
    strikes: int = 0


class Fetch:
    """The state of one fetch."""

    def __init__(self, parameters: BlobParameters) -> None:
        self._parameters = parameters
        self.numbers: dict[int, None] = {}
        self.sources: dict[bytes, Source] = {}
        self.is_any_silent = False
        """Somebody is asked no more for having said nothing; it may have it."""
        self.index: Index | None = None
        self.stage = INDEX_WANTED
        self.missing: dict[int, None] = {}
        self.writing: dict[int, None] = {}

    def add_source(self, peer: bytes) -> None:
        """One more peer that may have it; further ones than the limit are left out."""
        if len(self.sources) < self._parameters.sources:
            self.sources.setdefault(peer, Source())

    def begin(self, have: bytes) -> None:
        """There is a place for it, with these chunks already."""
        self.stage = CHUNKS_WANTED
        self.missing = {chunk: None for chunk, is_there in enumerate(have) if not is_there}

    def ask_for_index(self, now: Instant) -> bytes | None:
        """Whom to ask for the index now, if anybody: one at a time."""
        self._wake_rested(now)
        if self.stage != INDEX_WANTED or any(s.due is not None for s in self.sources.values()):
            return None
        for peer, source in self.sources.items():
            if not source.rests_until:
                source.due = now + self._parameters.patience_ns
                return peer
        return None

    def ask_for_chunks(self, now: Instant) -> list[tuple[bytes, tuple[int, ...]]]:
        """Whom to ask for which chunks now, in turns."""
        self._wake_rested(now)
        if self.stage != CHUNKS_WANTED:
            return []
        ready = [peer for peer, s in self.sources.items() if not s.rests_until]
        wanted: dict[bytes, list[int]] = {}
        while self.missing and ready:
            for peer in list(ready):
                source = self.sources[peer]
                if len(source.asked) >= self._parameters.window:
                    ready.remove(peer)
                elif self.missing:
                    chunk = next(iter(self.missing))
                    del self.missing[chunk]
                    source.asked[chunk] = None
                    wanted.setdefault(peer, []).append(chunk)
        for peer in wanted:
            source = self.sources[peer]
            if source.due is None:
                source.due = now + self._parameters.patience_ns
        return [(peer, tuple(chunks)) for peer, chunks in wanted.items()]

    def came(self, peer: bytes, chunk: int, now: Instant) -> bool:
        """A good chunk came; whether it is new."""
        source = self.sources.get(peer)
        if source is not None:
            source.strikes = 0
            source.rests_until = 0
            source.due = now + self._parameters.patience_ns
        if chunk in self.writing or not self._is_wanted(chunk):
            return False
        self.missing.pop(chunk, None)
        self.writing[chunk] = None
        return True

    def written(self, chunk: int) -> None:
        """A chunk is on disk."""
        del self.writing[chunk]
        for source in self.sources.values():
            source.asked.pop(chunk, None)
            if not source.asked:
                source.due = None

    def struck(self, now: Instant) -> list[bytes]:
        """The peers that said nothing for too long; what they owe is asked of others."""
        late = [p for p, s in self.sources.items() if s.due is not None and s.due <= now]
        for peer in late:
            self.strike(peer, now)
        return late

    def strike(self, peer: bytes, now: Instant) -> None:
        """This one cannot be relied on for now; after too many times, not at all."""
        source = self.sources.get(peer)
        if source is None:
            return
        source.strikes += 1
        if source.strikes >= self._parameters.strikes:
            self.is_any_silent = True
            self.remove(peer)
            return
        self._take_back(source)
        source.rests_until = now + (self._parameters.patience_ns << (source.strikes - 1))

    def back(self, peer: bytes) -> None:
        """This one is there again, and may be asked at once."""
        source = self.sources.get(peer)
        if source is not None:
            source.strikes = 0
            source.rests_until = 0

    @property
    def arrived(self) -> int:
        """How many bytes are on disk, about."""
        if self.index is None or self.stage in (INDEX_WANTED, PLACE_WANTED):
            return 0
        owed = sum(len(source.asked) for source in self.sources.values())
        chunks = self.index.count - len(self.missing) - owed
        return min(self.index.size, max(0, chunks) * CHUNK_BYTES)

    def remove(self, peer: bytes) -> None:
        """This one is asked no more."""
        source = self.sources.pop(peer, None)
        if source is not None:
            self._take_back(source)

    def deadline(self) -> Instant | None:
        """When somebody is late, or has rested."""
        times = [s.due for s in self.sources.values() if s.due is not None]
        times += [s.rests_until for s in self.sources.values() if s.rests_until]
        return min(times, default=None)

    @property
    def is_complete(self) -> bool:
        """Whether every chunk is on disk."""
        owed = any(source.asked for source in self.sources.values())
        return self.stage == CHUNKS_WANTED and not (self.missing or self.writing or owed)

    def _is_wanted(self, chunk: int) -> bool:
        return chunk in self.missing or any(chunk in s.asked for s in self.sources.values())

    def _wake_rested(self, now: Instant) -> None:
        for source in self.sources.values():
            if source.rests_until <= now:
                source.rests_until = 0

    def _take_back(self, source: Source) -> None:
        for chunk in source.asked:
            if chunk not in self.writing:
                self.missing[chunk] = None
        source.asked = {}
        source.due = None
