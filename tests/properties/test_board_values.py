"""Replicas are equal, and equal to the definition, whatever the order in which they hear."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.blackboard.commands import Edit
from protocols.blackboard.keys import TYPES
from protocols.blackboard.ops import Op
from protocols.blackboard.reading import read
from protocols.errors import Refused
from tests.protocols.blackboard.board_values import Writer, edit, live_of, register_of

WRITERS = 3
KEYS = ("default/a", "default/b")
SMALL = st.integers(0, 3)
EDITS = st.one_of(
    st.builds(lambda v: edit("put", v), SMALL),
    st.builds(lambda v: edit("put", v, type="multivalue"), SMALL),
    st.builds(lambda v: edit("put", v, ttl_ms=7), SMALL),
    st.builds(lambda v: edit("increment", v - 1), SMALL),
    st.builds(lambda v: edit("add", v), SMALL),
    st.builds(lambda v: edit("remove", v), SMALL),
    st.builds(lambda v, f: edit("set", v, field=str(f)), SMALL, SMALL),
    st.builds(lambda f: edit("unset", field=str(f)), SMALL),
    st.builds(lambda v: edit("append", v), SMALL),
    st.builds(lambda v: edit("deposit", v + 1, half_life_ms=50), SMALL),
    st.just(edit("delete")),
)
WRITE = st.tuples(
    st.just("write"), st.integers(0, WRITERS - 1), st.sampled_from(KEYS),
    st.lists(EDITS, min_size=1, max_size=3), st.integers(0, 30),
)  # fmt: skip
SYNC = st.tuples(
    st.just("sync"), st.integers(0, WRITERS - 1), st.integers(0, WRITERS - 1), SMALL
)  # fmt: skip
STEPS = st.lists(st.one_of(WRITE, SYNC), max_size=40)


def play(steps: list[Any]) -> tuple[list[Writer], list[Op]]:
    """Carries out steps; the writers, and all ops that were ever made."""
    writers = [Writer(number + 1) for number in range(WRITERS)]
    every: list[Op] = []
    for step in steps:
        if step[0] == "write":
            _, number, key, edits, wall_ms = step
            on_key: list[Edit] = [msgspec.structs.replace(each, key=key) for each in edits]
            try:
                every += [op for op, _ in writers[number].write(*on_key, wall_ms=wall_ms)]
            except Refused as refusal:
                if refusal.kind != "WrongType":
                    raise
        else:
            _, number, other, order = step
            writers[number].sync_from(writers[other], order)
    return writers, every


def everybody_hears_everybody(writers: list[Writer]) -> None:
    for _ in range(2):
        for one in writers:
            for other in writers:
                one.sync_from(other)


@settings(max_examples=40)
@given(STEPS)
def test_replicas_that_heard_the_same_are_equal_and_as_defined(steps: list[Any]) -> None:
    writers, every = play(steps)
    everybody_hears_everybody(writers)
    expected = live_of(every)
    for writer in writers:
        writer.replica.check()
        assert sorted(op.order for op, _ in writer.replica.live()) == sorted(
            op.order for op in expected
        )
    for key in KEYS:
        for wall_ms in (0, 20, 40):
            entries = [writer.replica.read(key, wall_ms) for writer in writers]
            shown = [each and msgspec.structs.replace(each, position=0) for each in entries]
            assert shown[0] == shown[1] == shown[2]
            for type_ in TYPES:
                cells: dict[bytes, list[Op]] = {}
                for op in expected:
                    if (op.key, op.type) == (key, type_):
                        cells.setdefault(op.field, []).append(op)
                reading = read(type_, cells, wall_ms)
                assert reading is None or entries[0] is not None


@settings(max_examples=40)
@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing_and_hearing_twice_neither(
    steps: list[Any], rng: Any
) -> None:
    writers, _ = play(steps)
    ops = [(op, encoded) for writer in writers for encoded, op in writer.known.items()]
    one, other = Writer(8), Writer(9)
    for op, encoded in ops:
        one.replica.apply(op, encoded)
    rng.shuffle(ops)
    for op, encoded in ops + ops[: len(ops) // 2]:
        other.replica.apply(op, encoded)
    assert one.image() == other.image()
    assert one.replica.bytes == other.replica.bytes
    other.replica.check()


TALK = st.lists(
    st.one_of(st.integers(0, 3), st.tuples(st.integers(0, 3), st.integers(0, 3))), max_size=24
)
"""A number writes; of two, the first hears the second."""


@given(TALK, st.sampled_from([("put", "put"), ("put", "delete"), ("add", "remove")]))
def test_relays_that_leave_out_what_is_superseded_make_no_difference(
    talk: list[Any], actions: tuple[str, str]
) -> None:
    writers = [Writer(number + 1) for number in range(4)]
    every: list[Op] = []
    for at, each in enumerate(talk):
        if isinstance(each, int):
            made = edit(actions[at % 3 == 0], 1)
            every += [op for op, _ in writers[each].write(made, wall_ms=at)]
        else:
            writers[each[0]].sync_from(writers[each[1]])
    everybody_hears_everybody(writers)
    expected = sorted(op.order for op in live_of(every))
    for writer in writers:
        assert sorted(op.order for op, _ in writer.replica.live()) == expected


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("pd"), SMALL), max_size=20))
def test_a_register_reads_as_the_definition_says(plan: list[tuple[int, str, int]]) -> None:
    writers = [Writer(number + 1) for number in range(WRITERS)]
    every: list[Op] = []
    for number, what, value in plan:
        made = edit("put", value) if what == "p" else edit("delete")
        every += [op for op, _ in writers[number].write(made, wall_ms=value)]
    everybody_hears_everybody(writers)
    for writer in writers:
        assert writer.value() == register_of(live_of(every))


@settings(max_examples=40)
@given(STEPS)
def test_memory_follows_live_data(steps: list[Any]) -> None:
    writers, _ = play(steps)
    for writer in writers:
        for key in KEYS:
            writer.write(edit("delete", key=key))
        assert len(list(writer.replica.live())) <= 2 * len(KEYS) * len(TYPES)


def test_overwriting_for_long_keeps_one_op_a_key() -> None:
    a, b = Writer(1), Writer(2)
    for round_ in range(300):
        for key in range(5):
            a.write(edit("put", round_, key=f"default/{key}"))
            if round_ % 7 == 0:
                b.sync_from(a)
                b.write(edit("put", -round_, key=f"default/{key}"))
                a.sync_from(b)
    assert len(a.image()) == 5
    assert all(len(op.context) <= 2 for op, _ in a.replica.live())
