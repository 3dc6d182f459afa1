"""The blobs on this peer's disk: what they are, who needs them, and which may go."""

from collections.abc import Iterable, Iterator

import msgspec

from protocols.blobs.naming import Index
from protocols.blobs.parameters import BlobParameters
from protocols.blobs.records import DroppedBlob, HeldBlob, ReleasedBlob, ShelvedBlob
from protocols.errors import Refused
from protocols.machine import Instant


class Shelved(msgspec.Struct):
    """One blob, and who needs it."""

    index: Index
    holders: dict[str, None] = {}


class Shelf:
    """Blobs by name. `reserved` are bytes of those that are on their way."""

    def __init__(self, parameters: BlobParameters) -> None:
        self._parameters = parameters
        self.blobs: dict[bytes, Shelved] = {}
        self.loose: dict[bytes, Instant] = {}
        """Blobs that nobody needs, with the time at which each may go, soonest first."""
        self.bytes = 0
        self.reserved = 0
        self._brought = 0
        """Bytes of an earlier life, which may have had a larger quota."""

    def in_the_way(self, size: int) -> list[bytes]:
        """What nobody needs and must go so that one more blob may come, the oldest first.

        Raises:
            Refused: QuotaExceeded, even if all of that went.
        """
        free = self._parameters.quota_bytes - self.bytes - self.reserved
        places = self._parameters.shelved - len(self.blobs)
        going: list[bytes] = []
        for blob in self.loose:
            if free >= size and places > 0:
                break
            going.append(blob)
            free += self.blobs[blob].index.size
            places += 1
        if free < size or places <= 0:
            used, quota = self.bytes + self.reserved, self._parameters.quota_bytes
            raise Refused(
                "QuotaExceeded",
                f"a blob of {size} bytes is too much for this peer, which holds {used} of {quota} "
                f"bytes in {len(self.blobs)} of {self._parameters.shelved} blobs, and none that "
                "may go make room; `mesh blob rm` removes some",
            )
        return going

    def wanted(self, blob: bytes, now: Instant) -> None:
        """Somebody asked for it: where nobody needs it, its time begins anew."""
        if blob in self.loose:
            self._loosen(blob, now)

    def put(self, blob: bytes, index: Index, now: Instant) -> None:
        """Takes in a blob whose bytes are on disk."""
        if blob not in self.blobs:
            self.blobs[blob] = Shelved(index)
            self.bytes += index.size
        if not self.blobs[blob].holders:
            self._loosen(blob, now)

    def hold(self, blob: bytes, holder: str) -> bool:
        """Somebody needs it; False where that is known.

        Raises:
            Refused: UnknownBlob, or TooLarge: too many need it.
        """
        shelved = self.blobs.get(blob)
        if shelved is None:
            raise Refused("UnknownBlob", "this peer does not hold it: fetch it first")
        if holder in shelved.holders:
            return False
        if len(shelved.holders) >= self._parameters.holders:
            raise Refused("TooLarge", f"{len(shelved.holders)} need this blob already")
        shelved.holders[holder] = None
        self.loose.pop(blob, None)
        return True

    def release(self, blob: bytes, holder: str, now: Instant) -> bool:
        """This one needs it no longer; False where it was not known to."""
        shelved = self.blobs.get(blob)
        if shelved is None or holder not in shelved.holders:
            return False
        del shelved.holders[holder]
        if not shelved.holders:
            self._loosen(blob, now)
        return True

    def drop(self, blob: bytes) -> int:
        """It is to go; its size."""
        size = self.blobs.pop(blob).index.size
        self.loose.pop(blob, None)
        self.bytes -= size
        return size

    def due(self, now: Instant) -> list[bytes]:
        """The blobs that may go now."""
        found = []
        for blob, goes in self.loose.items():
            if goes > now:
                break
            found.append(blob)
        return found

    def snapshot(self) -> Iterator[msgspec.Struct]:
        """The records of today's blobs."""
        for blob, shelved in self.blobs.items():
            yield ShelvedBlob(blob, shelved.index.size, shelved.index.hashes)
            for holder in shelved.holders:
                yield HeldBlob(blob, holder)

    def restore(self, records: Iterable[msgspec.Struct], now: Instant) -> None:
        """Rebuilds them; what nobody needs is given its time again."""
        for record in records:
            match record:
                case ShelvedBlob():
                    self.put(record.blob, Index(record.size, record.hashes), now)
                case HeldBlob():
                    if record.blob in self.blobs:
                        self.hold(record.blob, record.holder)
                case ReleasedBlob():
                    self.release(record.blob, record.holder, now)
                case DroppedBlob():
                    if record.blob in self.blobs:
                        self.drop(record.blob)
        self._brought = self.bytes

    def check(self) -> None:
        """Asserts what is said on the page of invariants."""
        sizes = [shelved.index.size for shelved in self.blobs.values()]
        assert self.bytes == sum(sizes), "blobs-in-quota: bytes are counted"
        total = self.bytes + self.reserved
        limit = max(self._parameters.quota_bytes, self._brought)
        assert total <= limit, "blobs-in-quota: and bounded"
        for blob, shelved in self.blobs.items():
            assert bool(shelved.holders) != (blob in self.loose), "blobs-needed-stay"

    def _loosen(self, blob: bytes, now: Instant) -> None:
        self.loose.pop(blob, None)
        self.loose[blob] = now + self._parameters.grace_ns
