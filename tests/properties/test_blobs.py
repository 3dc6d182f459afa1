"""However chunks are lost, doubled and mixed, whoever is killed and whoever lies."""

import contextlib

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocols.blobs import commands, events, jobs
from protocols.blobs.messages import BlobChunk, BlobIndex
from protocols.blobs.parameters import BlobParameters
from protocols.errors import Refused
from protocols.machine import SECOND_NS
from tests.protocols.blobs.exchange import Exchange, Holder, content_of, fetched

CONTENTS = [content_of(chunks, seed) for seed, chunks in enumerate((0, 1, 6))]
HOLDERS = st.integers(0, 3)
BLOBS = st.integers(0, len(CONTENTS) - 1)
PLACES = st.integers(0, 10_000)


def lie(message: msgspec.Struct) -> msgspec.Struct:
    match message:
        case BlobChunk() if message.data:
            return msgspec.structs.replace(message, data=b"~" + message.data[1:])
        case BlobIndex() if message.hashes:
            return msgspec.structs.replace(message, hashes=message.hashes[::-1])
    return message


class BlobsMachine(RuleBasedStateMachine):
    """Four peers and their blobs; the last one may be a liar."""

    @initialize(lies=st.booleans())
    def begins(self, lies: bool) -> None:
        self.peers = [Holder(bytes([n + 1]) * 32) for n in range(4)]
        # Room for the largest alone.
        tight = BlobParameters(window=4, quota_bytes=len(CONTENTS[-1]))
        self.peers[1] = Holder(self.peers[1].peer, tight)
        self.liar = self.peers[3] if lies else None
        if self.liar is not None:
            self.liar.lies = lie
        self.exchange = Exchange(*self.peers)
        self.blobs = [self.peers[2].put(content) for content in CONTENTS]

    @rule(holder=HOLDERS, blob=BLOBS)
    def puts(self, holder: int, blob: int) -> None:
        peer = self.peers[holder]
        if peer.is_up:
            # As the desk does: what is put now is not removed for an older copy's sake.
            drop = (peer.peer, jobs.DropBlob(self.blobs[blob]))
            while drop in self.exchange.jobs:
                self.exchange.jobs.remove(drop)
            with contextlib.suppress(Refused):
                peer.put(CONTENTS[blob])

    @rule(holder=HOLDERS, blob=BLOBS)
    def needs(self, holder: int, blob: int) -> None:
        self.says(holder, commands.HoldBlob(self.blobs[blob], "put"))

    @rule(holder=HOLDERS, blob=BLOBS)
    def removes(self, holder: int, blob: int) -> None:
        self.says(holder, commands.RemoveBlob(self.blobs[blob], "put"))

    @rule(holder=HOLDERS, blob=BLOBS)
    def a_file_rots(self, holder: int, blob: int) -> None:
        if self.peers[holder].is_up:
            self.peers[holder].disk.whole.pop(self.blobs[blob], None)
            self.says(holder, commands.BlobRotten(self.blobs[blob]))

    @rule(holder=HOLDERS, other=HOLDERS, is_back=st.booleans())
    def hears_of_another(self, holder: int, other: int, is_back: bool) -> None:
        kind = commands.HolderBack if is_back else commands.HolderGone
        self.says(holder, kind(self.peers[other].peer))

    def says(self, holder: int, command: msgspec.Struct) -> None:
        if self.peers[holder].is_up:
            with contextlib.suppress(Refused):
                self.exchange.submit(self.peers[holder], command)

    @rule(holder=HOLDERS, blob=BLOBS, number=st.integers(1, 9))
    def fetches(self, holder: int, blob: int, number: int) -> None:
        if self.peers[holder].is_up:
            self.exchange.fetch(self.peers[holder], self.blobs[blob], *self.peers, number=number)

    @rule(place=PLACES, keep=st.booleans(), count=st.integers(1, 12))
    def messages_arrive(self, place: int, keep: bool, count: int) -> None:
        for _ in range(count):
            if self.exchange.wire:
                self.exchange.deliver(place % len(self.exchange.wire), keep)

    @rule(place=PLACES)
    def a_message_is_lost(self, place: int) -> None:
        if self.exchange.wire:
            del self.exchange.wire[place % len(self.exchange.wire)]

    @rule(count=st.integers(1, 12))
    def disks_work(self, count: int) -> None:
        for _ in range(min(count, len(self.exchange.jobs))):
            self.exchange.work()

    @rule(holder=HOLDERS)
    def is_killed(self, holder: int) -> None:
        self.exchange.kill(self.peers[holder])

    @rule(holder=HOLDERS)
    def starts_again(self, holder: int) -> None:
        if not self.peers[holder].is_up:
            self.exchange.restart(self.peers[holder])

    @rule(seconds=st.integers(0, 90))
    def time_passes(self, seconds: int) -> None:
        self.exchange.pass_time(seconds * SECOND_NS)

    @invariant()
    def nobody_honest_is_blamed_and_what_arrived_is_what_was_put(self) -> None:
        for peer in getattr(self, "peers", ()):
            assert set(peer.blamed) <= ({self.liar.peer} if self.liar else set())
            for blob, content in peer.disk.whole.items():
                assert content == CONTENTS[self.blobs.index(blob)]

    def teardown(self) -> None:
        """Once the faults are over, whoever asks an honest holder has the blob."""
        if not hasattr(self, "peers"):
            return
        for peer in self.peers:
            if not peer.is_up:
                self.exchange.restart(peer)
        self.exchange.run()
        asker, holder = self.peers[0], self.peers[2]
        for blob, content in zip(self.blobs, CONTENTS, strict=True):
            holder.put(content)
            asker.told.clear()
            try:
                self.exchange.fetch(asker, blob, self.peers[3], holder)
            except Refused as refused:
                raise AssertionError("all earlier fetches have ended") from refused
            self.exchange.run()
            assert fetched(asker, blob, content)
            assert asker.of(events.BlobNotFetched) == []


BlobsMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestBlobs = BlobsMachine.TestCase
