"""What a peer does with blobs, step by step."""

import msgspec
import pytest

from protocols.blobs import commands, events, jobs
from protocols.blobs.messages import BlobChunk, BlobIndex, Lacks, WantChunks
from protocols.blobs.naming import CHUNK_BYTES, SIZE_LIMIT, hashes_of, name_of
from protocols.blobs.parameters import BlobParameters
from protocols.effects import Perform
from protocols.errors import Refused
from protocols.machine import SECOND_NS, Now
from tests.protocols.blobs.exchange import SMALL, Exchange, Holder, content_of, fetched, named

ANNA, BERT, CARL = (Holder(bytes([n]) * 32).peer for n in (1, 2, 3))


def three(parameters: BlobParameters = SMALL) -> tuple[Exchange, Holder, Holder, Holder]:
    anna, bert, carl = (Holder(peer, parameters) for peer in (ANNA, BERT, CARL))
    return Exchange(anna, bert, carl), anna, bert, carl


@pytest.mark.parametrize("chunks", [0, 1, 2, 21])
def test_what_arrives_is_what_was_put(chunks: int) -> None:
    exchange, anna, bert, _ = three()
    content = content_of(chunks)
    blob = anna.put(content)
    exchange.fetch(bert, blob, anna)
    exchange.settle()
    assert fetched(bert, blob, content)
    assert bert.machine.has(blob)
    assert bert.blamed == []


def test_whoever_fetched_serves_it_too() -> None:
    exchange, anna, bert, carl = three()
    content = content_of(3)
    blob = anna.put(content)
    exchange.fetch(bert, blob, anna)
    exchange.settle()
    anna.is_up = False
    exchange.fetch(carl, blob, anna, bert)
    exchange.run()
    assert fetched(carl, blob, content)


def test_a_blob_is_asked_of_all_that_have_it() -> None:
    exchange, anna, bert, carl = three()
    content = content_of(20)
    blob = anna.put(content)
    carl.put(content)
    exchange.fetch(bert, blob, anna, carl)
    asked: set[bytes] = set()
    while exchange.wire or exchange.jobs:
        asked |= {to for _, to, message in exchange.wire if isinstance(message, WantChunks)}
        exchange.work() if exchange.jobs else exchange.deliver()
    assert asked == {anna.peer, carl.peer}
    assert fetched(bert, blob, content)


def test_a_holder_that_dies_half_way_costs_only_what_was_under_way() -> None:
    exchange, anna, bert, carl = three()
    content = content_of(40)
    blob = anna.put(content)
    carl.put(content)
    exchange.fetch(bert, blob, anna)
    while len(bert.disk.parts.get(blob, ())) < 20:
        exchange.work() if exchange.jobs else exchange.deliver()
    exchange.kill(anna)
    exchange.submit(bert, commands.HolderGone(anna.peer))
    exchange.fetch(bert, blob, carl, number=2)
    came = 0
    while exchange.wire or exchange.jobs:
        came += bool(not exchange.jobs and isinstance(exchange.wire[0][2], BlobChunk))
        exchange.work() if exchange.jobs else exchange.deliver()
    assert fetched(bert, blob, content)
    assert 40 - 20 - SMALL.window <= came <= 40 - 20
    assert [event.number for event in bert.of(events.BlobFetched)] == [1, 2]


def test_a_silent_holder_is_left_for_another_and_asked_again_later() -> None:
    exchange, anna, bert, _ = three()
    content = content_of(6)
    blob = anna.put(content)
    anna.is_up = False
    exchange.fetch(bert, blob, anna)
    exchange.settle()
    exchange.pass_time(3 * SECOND_NS)
    anna.is_up = True
    exchange.run()
    assert fetched(bert, blob, content)
    assert bert.blamed == []


def test_without_a_holder_that_answers_it_says_so() -> None:
    exchange, anna, bert, carl = three()
    blob = anna.put(content_of(1))
    anna.is_up = False
    exchange.fetch(bert, blob, anna, carl)
    exchange.run()
    (told,) = bert.of(events.BlobNotFetched)
    assert (told.kind, told.number) == ("HolderAway", 1)


def test_wrong_bytes_are_asked_of_another_and_their_sender_is_blamed() -> None:
    exchange, anna, bert, carl = three()
    content = content_of(9)
    blob = anna.put(content)
    carl.put(content)

    def lie(message: msgspec.Struct) -> msgspec.Struct:
        if isinstance(message, BlobChunk) and message.chunk % 2 == 0:
            return msgspec.structs.replace(message, data=b"!" + message.data[1:])
        return message

    carl.lies = lie
    exchange.fetch(bert, blob, carl, anna)
    exchange.run()
    assert fetched(bert, blob, content)
    assert bert.blamed == [carl.peer]


def test_a_liar_alone_gives_nothing() -> None:
    exchange, anna, bert, _ = three()
    blob = anna.put(content_of(3))

    def lie(message: msgspec.Struct) -> msgspec.Struct:
        if isinstance(message, BlobChunk):
            return msgspec.structs.replace(message, data=message.data[:-1])
        return message

    anna.lies = lie
    exchange.fetch(bert, blob, anna)
    exchange.run()
    assert bert.blamed == [anna.peer]
    assert [event.kind for event in bert.of(events.BlobNotFetched)] == ["NoHolder"]


def test_an_index_of_another_blob_is_a_lie() -> None:
    exchange, anna, bert, carl = three()
    content = content_of(2)
    blob = carl.put(content)
    anna.put(content)
    other = content_of(2, seed=9)

    def lie(message: msgspec.Struct) -> msgspec.Struct:
        if isinstance(message, BlobIndex):
            return BlobIndex(message.blob, len(other), hashes_of(other))
        return message

    anna.lies = lie
    exchange.fetch(bert, blob, anna, carl)
    exchange.run()
    assert bert.blamed == [anna.peer]
    assert fetched(bert, blob, content)


def test_whom_nobody_asked_is_not_heard() -> None:
    exchange, anna, bert, carl = three()
    content = content_of(2)
    blob = anna.put(content)
    exchange.fetch(bert, blob, anna)
    lie = BlobChunk(blob, 0, b"x" * CHUNK_BYTES)
    assert bert.machine.receive(carl.peer, carl.peer, lie, exchange.now) == ()
    exchange.run()
    assert fetched(bert, blob, content)


def test_an_honest_holder_whose_disk_rots_says_that_it_lacks_the_blob() -> None:
    exchange, anna, bert, carl = three()
    content = content_of(4)
    blob = anna.put(content)
    anna.disk.whole[blob] = b"?" + content[1:]
    carl.put(content)
    exchange.fetch(bert, blob, anna, carl)
    exchange.run()
    assert fetched(bert, blob, content)
    assert bert.blamed == []
    assert anna.of(events.BlobDamaged)


def test_a_rotten_blob_is_dropped_by_its_holder() -> None:
    exchange, anna, bert, _ = three()
    content = content_of(1)
    blob = anna.put(content)
    anna.disk.whole[blob] = b"?" + content[1:]
    exchange.fetch(bert, blob, anna)
    exchange.run()
    assert anna.of(events.BlobDamaged) == [events.BlobDamaged(blob)]
    assert not anna.machine.has(blob)
    assert bert.of(events.BlobNotFetched)


def test_a_peer_that_was_killed_fetches_only_what_is_missing() -> None:
    exchange, anna, bert, _ = three()
    content = content_of(20)
    blob = anna.put(content)
    exchange.fetch(bert, blob, anna)
    while len(bert.disk.parts.get(blob, ())) < 12:
        exchange.work() if exchange.jobs else exchange.deliver()
    exchange.restart(bert)
    exchange.wire.clear()
    exchange.fetch(bert, blob, anna)
    wanted: list[int] = []
    while exchange.wire or exchange.jobs:
        if exchange.wire and isinstance(message := exchange.wire[0][2], WantChunks):
            wanted += message.chunks
        exchange.work() if exchange.jobs else exchange.deliver()
    assert fetched(bert, blob, content)
    assert set(wanted) <= set(range(12, 20))


def test_a_full_disk_ends_the_fetch_and_leaves_nothing() -> None:
    exchange, anna, bert, _ = three()
    blob = anna.put(content_of(4))
    bert.disk.full = "No space left on device"
    exchange.fetch(bert, blob, anna)
    exchange.settle()
    (told,) = bert.of(events.BlobNotFetched)
    assert (told.kind, told.reason) == ("DiskFault", "No space left on device")
    assert bert.disk.parts == {}


def test_what_is_over_the_quota_is_refused_before_any_byte_comes() -> None:
    exchange, anna, bert, _ = three(BlobParameters(quota_bytes=5 * CHUNK_BYTES))
    first = anna.put(content_of(3))
    exchange.submit(anna, commands.HoldBlob(first, "put"))
    blob, index = named(content_of(3, seed=2))
    with pytest.raises(Refused, match="mesh blob rm"):
        anna.shelve(blob, index)
    assert anna.machine.has(first)
    bert.parameters = BlobParameters(quota_bytes=CHUNK_BYTES)
    exchange.restart(bert)
    exchange.fetch(bert, named(content_of(3))[0], anna)
    exchange.settle()
    (told,) = bert.of(events.BlobNotFetched)
    assert told.kind == "QuotaExceeded"
    assert bert.disk.parts == {}


def test_what_nobody_needs_makes_room_the_oldest_first_and_no_more_of_it_than_must() -> None:
    exchange, anna, bert, _ = three(BlobParameters(quota_bytes=6 * CHUNK_BYTES))
    first, second, third = (bert.put(content_of(2, seed)) for seed in (1, 2, 3))
    exchange.submit(bert, commands.FetchBlob(1, first, ()))
    bert.machine.refuse_unfit(2 * CHUNK_BYTES)
    needed = anna.put(content_of(2, 4))
    exchange.fetch(bert, needed, anna)
    exchange.settle()
    assert fetched(bert, needed, content_of(2, 4))
    assert [each.blob for each in bert.of(events.BlobCollected)] == [second], "first was wanted"
    assert bert.machine.has(first)
    assert bert.machine.has(third)


def test_as_many_as_may_be_shelved_make_room_too() -> None:
    _, anna, _, _ = three(BlobParameters(shelved=2))
    first, second = anna.put(content_of(1, 1)), anna.put(content_of(1, 2))
    anna.put(content_of(1, 3))
    assert not anna.machine.has(first)
    assert anna.machine.has(second)


def test_what_was_put_is_held_in_the_same_step_and_stays_until_it_is_removed() -> None:
    exchange, anna, _, _ = three()
    blob, index = named(content_of(2))
    anna.disk.whole[blob] = content_of(2)
    exchange.submit(anna, commands.KeepBlob(1, blob, index.size, index.hashes, "put"))
    exchange.pass_time(2 * SMALL.grace_ns)
    exchange.restart(anna)
    exchange.pass_time(2 * SMALL.grace_ns)
    assert list(anna.machine.listed()) == [(blob, index.size, True)]
    exchange.submit(anna, commands.RemoveBlob(blob, "put"))
    exchange.settle()
    assert anna.of(events.BlobCollected) == [events.BlobCollected(blob, index.size)]
    assert anna.disk.whole == {}
    with pytest.raises(Refused, match="UnknownBlob"):
        exchange.submit(anna, commands.RemoveBlob(blob, "put"))
    exchange.restart(anna)
    assert not anna.machine.has(blob)


def test_a_removed_blob_that_somebody_else_needs_stays() -> None:
    exchange, anna, _, _ = three()
    blob = anna.put(content_of(1))
    for holder in ("put", "task-1"):
        exchange.submit(anna, commands.HoldBlob(blob, holder))
    exchange.submit(anna, commands.RemoveBlob(blob, "put"))
    assert anna.machine.has(blob)
    exchange.submit(anna, commands.ReleaseBlob(blob, "task-1"))
    exchange.submit(anna, commands.RemoveBlob(blob, "put"))
    assert not anna.machine.has(blob)


def test_a_file_that_is_found_rotten_is_no_blob_any_more_and_may_be_fetched_again() -> None:
    exchange, anna, bert, _ = three()
    blob = anna.put(content_of(3))
    bert.put(content_of(3))
    exchange.submit(bert, commands.BlobRotten(blob))
    exchange.settle()
    assert bert.of(events.BlobDamaged) == [events.BlobDamaged(blob)]
    exchange.fetch(bert, blob, anna)
    exchange.settle()
    assert fetched(bert, blob, content_of(3))


def test_a_source_that_is_back_is_asked_at_once() -> None:
    exchange, anna, bert, _ = three()
    blob = anna.put(content_of(9))
    exchange.fetch(bert, blob, anna)
    for _ in range(8):
        exchange.work() if exchange.jobs else exchange.deliver()
    exchange.kill(anna)
    for _ in range(3):
        exchange.submit(bert, commands.HolderGone(anna.peer))
    have, size = bert.machine.arrived(blob)
    assert 0 <= have < size == len(content_of(9))
    exchange.restart(anna)
    exchange.submit(bert, commands.HolderBack(anna.peer))
    exchange.settle()
    assert fetched(bert, blob, content_of(9))


def test_what_nobody_needs_is_collected_after_a_while() -> None:
    exchange, anna, _, _ = three()
    blob = anna.put(content_of(2))
    exchange.submit(anna, commands.HoldBlob(blob, "task-1"))
    exchange.submit(anna, commands.HoldBlob(blob, "task-2"))
    exchange.submit(anna, commands.ReleaseBlob(blob, "task-1"))
    exchange.pass_time(2 * SMALL.grace_ns)
    assert anna.machine.has(blob)
    exchange.submit(anna, commands.ReleaseBlob(blob, "task-2"))
    exchange.pass_time(SMALL.grace_ns - 1)
    assert anna.machine.has(blob)
    exchange.pass_time(1)
    exchange.settle()
    assert anna.of(events.BlobCollected) == [events.BlobCollected(blob, 2 * CHUNK_BYTES - 100)]
    assert anna.disk.whole == {}
    assert anna.machine.kept_bytes == 0


def test_who_needs_what_outlives_the_peer() -> None:
    exchange, anna, _, _ = three()
    blob, loose = anna.put(content_of(2)), anna.put(content_of(1))
    exchange.submit(anna, commands.HoldBlob(blob, "task-1"))
    before = list(anna.machine.snapshot())
    exchange.restart(anna)
    assert list(anna.machine.snapshot()) == before
    exchange.pass_time(SMALL.grace_ns)
    assert anna.machine.has(blob)
    assert not anna.machine.has(loose)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (commands.HoldBlob(b"\1" * 32, "task-1"), "UnknownBlob"),
        (commands.KeepBlob(1, b"\1" * 32, 3, hashes_of(b"abc")), "InvalidInput"),
        (commands.KeepBlob(1, b"\1" * 32, SIZE_LIMIT + 1, b""), "TooLarge"),
        (commands.KeepBlob(1, name_of(3, b""), 3, b""), "InvalidInput"),
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(command: msgspec.Struct, kind: str) -> None:
    holder = Holder(ANNA)
    with pytest.raises(Refused, match=kind):
        holder.machine.submit(command, Now(0, 0))


def test_fetches_and_holders_have_limits() -> None:
    exchange, anna, bert, _ = three(BlobParameters(fetches=2, holders=2))
    for number in (1, 2):
        exchange.fetch(bert, bytes([number]) * 32, anna)
    with pytest.raises(Refused, match="Busy"):
        exchange.fetch(bert, b"\3" * 32, anna)
    blob = anna.put(content_of(1))
    for task in ("one", "two"):
        exchange.submit(anna, commands.HoldBlob(blob, task))
    with pytest.raises(Refused, match="TooLarge"):
        exchange.submit(anna, commands.HoldBlob(blob, "three"))


def test_reads_for_others_have_limits_and_each_has_its_share() -> None:
    exchange, anna, bert, carl = three(BlobParameters(reads=6, reads_per_peer=4))
    blob = anna.put(content_of(10))
    greedy = WantChunks(blob, tuple(range(10)))
    reads = anna.machine.receive(bert.peer, bert.peer, greedy, exchange.now)
    assert len(reads) == 4
    assert len(anna.machine.receive(carl.peer, carl.peer, greedy, exchange.now)) == 2
    assert anna.machine.receive(carl.peer, carl.peer, greedy, exchange.now) == ()
    assert reads[0] == Perform(jobs.ReadChunk(1, blob, 0))


def test_who_lacks_a_blob_says_so() -> None:
    exchange, anna, bert, _ = three()
    exchange.fetch(bert, b"\7" * 32, anna)
    exchange.deliver()
    assert exchange.wire[0][2] == Lacks(b"\7" * 32)
