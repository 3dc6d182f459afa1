"""A blackboard's disk: what a snapshot holds, and how a store is made from records again."""

from collections.abc import Iterable, Iterator

import msgspec

from protocols.blackboard import records
from protocols.blackboard.frontier import Frontiers
from protocols.blackboard.intake import Intake, decoded
from protocols.blackboard.segments import Segment, decode_header, read_part
from protocols.blackboard.store import Store
from protocols.blackboard.vectors import prefixes_of, vector_of
from protocols.blackboard.writers import Writers
from protocols.blackboard.writing import Writing


def durable(
    store: Store, writers: Writers, intake: Intake, writing: Writing, frontiers: Frontiers
) -> Iterator[msgspec.Struct]:
    """The records from which the same store comes out."""
    for credentials in writers.known.values():
        for credential in credentials:
            yield records.WriterKnown(credential)
    if writing.generation:
        yield records.GenerationBegun(writing.generation)
    for fork in intake.forks.values():
        yield records.ForkKept(fork.one, fork.other)
    for said in frontiers.statements.values():
        yield records.FrontierHeard(said.shown.body, said.shown.signature, said.heard_ms)
    if store.floor:
        yield records.FloorKept(vector_of(store.floor))
    # Before the ops, so that the contexts of all but those held back are known.
    for (writer, generation), state in store.chains.states.items():
        reach, by = store.reach((writer, generation))
        yield records.ChainKept(
            writer, generation, state.known.prefix, tuple(state.known.beyond), state.head, reach, by
        )

    for segment in store.segments_in_order():
        yield records.SegmentKept(segment.part())


def restore(
    written: Iterable[msgspec.Struct],
    store: Store,
    writers: Writers,
    intake: Intake,
    frontiers: Frontiers,
) -> int:
    """Fills an empty store; under which number this peer wrote last."""
    generation = 0
    for record in written:
        match record:
            case records.SegmentKept():
                segment = read_part(record.part)
                _take(store, segment)
            case records.SpanPassed():
                store.pass_over((record.writer, record.generation), record.first, record.last)
            case records.ChainKept():
                _chain(store, record)
            case records.WriterKnown():
                store.reconsider(writers.believe(record.credential))
            case records.GenerationBegun():
                generation = record.generation
            case records.ForkKept():
                intake.restore_fork(record)
            case records.FloorKept():
                store.floor = prefixes_of(record.floor)
            case records.FrontierHeard():
                frontiers.restore(record)
            case records.FrontierForgotten():
                frontiers.forget(record.peer)
            case records.OpsDropped():
                store.drop(record.ops)
    return generation


def _take(store: Store, segment: Segment) -> None:
    first = segment.header.first
    store.keep(segment, decoded(segment, [first + at for at in sorted(segment.ops)]))


def _chain(store: Store, record: records.ChainKept) -> None:
    chain = (record.writer, record.generation)
    if record.prefix:
        store.pass_over(chain, 1, record.prefix)
    for first, last in record.beyond:
        store.pass_over(chain, first, last)
    state = store.chains.make(chain)
    if record.head is not None:
        state.saw(decode_header(record.head.body), record.head)
    store.set_reach(chain, record.reach, record.by)
