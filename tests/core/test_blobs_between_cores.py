"""Blobs in the core: chunks go from core to core under credit, and what arrived survives."""

import pytest

from mesh.core.framing import FrameWriter
from mesh.core.outward import Accuse, Execute, Notify, Transmit
from protocols.blobs.commands import FetchBlob, HoldBlob, KeepBlob
from protocols.blobs.events import BlobFetched, BlobKept, BlobNotFetched
from protocols.errors import Refused
from tests.core.lone_core import LoneCore
from tests.protocols.blobs.exchange import Disk, content_of, named

CONTENT = content_of(40)
BLOB, INDEX = named(CONTENT)


class Pair:
    """Two cores with their disks and journals, and a link that loses nothing."""

    def __init__(self) -> None:
        self.cores = {core.peer: core for core in (LoneCore(1), LoneCore(2))}
        self.holder, self.fetcher = self.cores.values()
        self.disks = {peer: Disk() for peer in self.cores}
        self.journals: dict[bytes, list[bytes]] = {peer: [] for peer in self.cores}
        self.told: dict[bytes, list[object]] = {peer: [] for peer in self.cores}
        self.accused: list[Accuse] = []
        self.writers = {peer: FrameWriter(number) for number, peer in enumerate(self.cores, 1)}

    def put(self) -> None:
        self.disks[self.holder.peer].whole[BLOB] = CONTENT
        self.holder.core.submit(KeepBlob(1, BLOB, INDEX.size, INDEX.hashes), self.holder.now)
        self.settle()

    def fetch(self) -> None:
        wish = FetchBlob(2, BLOB, (self.holder.peer,))
        self.fetcher.core.submit(wish, self.fetcher.now)
        self.settle()

    def settle(self) -> None:
        """Until nothing leaves either core any more."""
        while any(self._carry(one) for one in self.cores.values()):
            pass

    def _carry(self, one: LoneCore) -> bool:
        for record in one.core.take_records():
            self.journals[one.peer].append(record.data)
            one.core.recorded(record.number)
        outward = one.core.take_outward()
        for out in outward:
            match out:
                case Transmit():
                    other = self.cores[out.to]
                    for frame in self.writers[one.peer].frames(out.messages):
                        other.core.receive(one.peer, frame, other.now)
                case Execute():
                    end = self.disks[one.peer].perform(out.job)
                    if end is not None:
                        one.core.submit(end, one.now)
                case Notify():
                    self.told[one.peer].append(out.event)
                case Accuse():
                    self.accused.append(out)
        for each in self.cores.values():
            each.core.check()
        return bool(outward)


def test_a_blob_goes_from_one_core_to_another_in_chunks() -> None:
    pair = Pair()
    pair.put()
    assert pair.told[pair.holder.peer] == [BlobKept(1, BLOB)]
    pair.fetch()
    assert pair.told[pair.fetcher.peer] == [BlobFetched(2, BLOB, len(CONTENT))]
    assert pair.disks[pair.fetcher.peer].whole[BLOB] == CONTENT
    assert pair.accused == []


def test_what_arrived_is_known_after_a_restart_by_its_records_and_by_a_snapshot() -> None:
    pair = Pair()
    pair.put()
    pair.fetch()
    assert pair.fetcher.core.blobs.has(BLOB)
    for records in (pair.journals[pair.fetcher.peer], list(pair.fetcher.core.snapshot())):
        again = LoneCore(2)
        again.core.restore(records, again.now)
        assert again.core.blobs.has(BLOB)
        again.core.submit(HoldBlob(BLOB, "a task"), again.now)


def test_a_core_that_never_had_a_blob_refuses_to_hold_it_and_says_that_it_lacks_it() -> None:
    pair = Pair()
    with pytest.raises(Refused):
        pair.fetcher.core.submit(HoldBlob(BLOB, "a task"), pair.fetcher.now)
    pair.fetch()
    (event,) = pair.told[pair.fetcher.peer]
    assert isinstance(event, BlobNotFetched)
    assert event.kind == "NoHolder"


def test_other_bytes_than_the_blobs_are_never_taken_over_a_link() -> None:
    pair = Pair()
    pair.put()
    disk = pair.disks[pair.holder.peer]
    disk.whole[BLOB] = bytes([CONTENT[0] ^ 1]) + CONTENT[1:]
    pair.fetch()
    (event,) = pair.told[pair.fetcher.peer]
    assert isinstance(event, BlobNotFetched)
    assert not pair.holder.core.blobs.has(BLOB), "the holder noticed its rotten disk"
    assert pair.accused == [], "an honest holder is not blamed for its disk"
