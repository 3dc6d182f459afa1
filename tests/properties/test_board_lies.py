"""Replicas are equal whatever liars say that their ops supersede, and whatever relays leave out.

The liars name any ops that are there, whether they know of them or not. What is not mended
where they guess numbers that are not there yet: docs/protocols/blackboard.md, "Superseding".
"""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.blackboard.keys import COUNTER, SET
from protocols.blackboard.ops import DELETE, PUT, Op
from protocols.wire import encode
from tests.properties.test_board_values import SMALL, SYNC, WRITERS, everybody_hears_everybody
from tests.protocols.blackboard.board_values import KEY, Writer, edit, live_of

LIARS = 2
EDITS = st.one_of(
    st.builds(lambda v: edit("add", v % 2), SMALL),
    st.builds(lambda v: edit("remove", v % 2), SMALL),
    st.just(edit("increment", 1)),
    st.just(edit("delete")),
)
WRITE = st.tuples(st.just("write"), st.integers(0, WRITERS - 1), EDITS)
NAMED = st.dictionaries(st.integers(1, WRITERS + LIARS), st.integers(1, 9), max_size=4)
LIE = st.tuples(
    st.just("lie"), st.integers(1, LIARS), st.integers(0, WRITERS - 1), NAMED,
    st.sampled_from([PUT, DELETE]), st.sampled_from([(SET, 0), (SET, 1), (COUNTER, 0)]),
    st.sampled_from([0, 2**61]),
)  # fmt: skip
STEPS = st.lists(st.one_of(WRITE, LIE, SYNC), min_size=3, max_size=30)


def play(steps: list[Any]) -> tuple[list[Writer], list[Op]]:
    """Carries out steps; honest writers, and all ops that anybody made."""
    writers = [Writer(number + 1) for number in range(WRITERS)]
    every: list[Op] = []
    used = [0] * (LIARS + 1)
    for step in steps:
        match step:
            case ("write", number, made):
                try:
                    every += [op for op, _ in writers[number].write(made)]
                except Exception as refusal:
                    if getattr(refusal, "kind", "") != "WrongType":
                        raise
            case ("lie", number, to, named, action, (type_, value), stamp):
                used[number] += 1
                last = [0, *(writer.next - 1 for writer in writers), *used[1:]]
                last[WRITERS + number] -= 1
                reach = {each: min(named[each], last[each]) for each in sorted(named)}
                context = tuple(
                    (bytes([each]) * 32, 1, reach[each]) for each in reach if reach[each]
                )
                field = encode(value) if type_ == SET else b"field"
                op = Op(
                    bytes([WRITERS + number]) * 32, 1, used[number], KEY,
                    type_, field, action, encode(1), context, stamp,
                )  # fmt: skip
                writers[to].take([(op, encode(op))])
                every.append(op)
            case ("sync", number, other, order):
                writers[number].sync_from(writers[other], order)
    return writers, every


@settings(max_examples=60)
@given(STEPS)
def test_replicas_are_equal_and_as_defined_whatever_liars_name(steps: list[Any]) -> None:
    writers, every = play(steps)
    everybody_hears_everybody(writers)
    expected = {encode(op) for op in live_of(every)}
    for writer in writers:
        writer.replica.check()
        assert writer.image() == expected


@settings(max_examples=60)
@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_in_which_lies_arrive_changes_nothing(steps: list[Any], rng: Any) -> None:
    _, every = play(steps)
    one, other = Writer(8), Writer(9)
    one.take((op, encode(op)) for op in every)
    rng.shuffle(every)
    other.take((op, encode(op)) for op in every)
    assert one.image() == other.image() == {encode(op) for op in live_of(every)}


def test_an_op_that_names_another_but_not_what_that_superseded_takes_not_its_place() -> None:
    a, b = Writer(1), Writer(2)
    a.write(edit("add", 1))
    b.sync_from(a)
    (removed,) = b.write(edit("remove", 1))
    lie = Op(b"l" * 32, 1, 1, KEY, SET, encode(1), DELETE, b"", ((b.id, 1, 1),), 0)
    for order in ([removed, (lie, encode(lie))], [(lie, encode(lie)), removed]):
        heard = Writer(3)
        heard.take([(op, data) for data, op in a.known.items()])
        heard.take(order)
        late = Writer(4)
        late.take([(lie, encode(lie)), removed])
        late.take([(op, data) for data, op in a.known.items()])
        assert heard.image() == late.image() == {removed[1], encode(lie)}
    assert msgspec.msgpack.decode(removed[1])
