"""The same histories here, in loro and in Yjs (pycrdt): what all of them promise is the same.

A key that is written by a clock that stands still has a Lamport clock for a stamp, as
loro has, and ties go to the greater writer in both: registers and maps are equal to the
last value. Yjs orders concurrent values otherwise, and may hide one that a removal did
not know of, so there what it shows must be among what is live here.
"""

from typing import Any

import loro
import msgspec
import pycrdt
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocols.blackboard.board_values import KEY, Writer, edit

WRITERS = 3
FIELDS = ("a", "b", "c")
SYNC = st.tuples(st.just("sync"), st.integers(0, WRITERS - 1), st.integers(0, WRITERS - 1))
SET = st.tuples(st.just("set"), st.integers(0, WRITERS - 1), st.sampled_from(FIELDS))
UNSET = st.tuples(st.just("unset"), st.integers(0, WRITERS - 1), st.sampled_from(FIELDS))


def plans(*kinds: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.one_of(*kinds), max_size=30)


class Loro:
    """A map in one of loro's documents."""

    def __init__(self, number: int) -> None:
        make: Any = loro.LoroDoc  # its constructor has no types
        self.document = make()
        self.document.peer_id = number
        self.map = self.document.get_map("m")

    def set(self, field: str, value: int) -> None:
        self.map.insert(field, value)
        self.document.commit()

    def unset(self, field: str) -> None:
        self.map.delete(field)
        self.document.commit()

    def sync_from(self, other: "Loro") -> None:
        self.document.import_(other.document.export(loro.ExportMode.Snapshot()))

    def value(self) -> Any:
        return self.map.get_deep_value()


class Yjs:
    """A map in one of Yjs's documents."""

    def __init__(self, number: int) -> None:
        self.document: Any = pycrdt.Doc(client_id=number)
        self.map = self.document.get("m", type=pycrdt.Map)

    def set(self, field: str, value: int) -> None:
        self.map[field] = value

    def unset(self, field: str) -> None:
        del self.map[field]

    def sync_from(self, other: "Yjs") -> None:
        self.document.apply_update(other.document.get_update(self.document.get_state()))

    def value(self) -> dict[str, int]:
        return {field: int(value) for field, value in self.map.to_py().items()}


def play(plan: list[Any], theirs: list[Any], is_register: bool = False) -> list[Writer]:
    """Carries a plan out here and there, until everybody has heard everybody."""
    ours = [Writer(number + 1) for number in range(WRITERS)]
    everybody = [("sync", a, b) for a in range(WRITERS) for b in range(WRITERS)]
    for value, (what, number, other) in enumerate([*plan, *everybody, *everybody]):
        if what == "sync":
            if number != other:
                ours[number].sync_from(ours[other])
                theirs[number].sync_from(theirs[other])
            continue
        is_there = other in theirs[number].value()
        if what == "set":
            made = edit("put", value) if is_register else edit("set", value, field=other)
            theirs[number].set(other, value)
        elif is_there:
            made = edit("delete") if is_register else edit("unset", field=other)
            theirs[number].unset(other)
        else:
            continue
        ours[number].write(made)
    return ours


def loros() -> list[Loro]:
    return [Loro(number + 1) for number in range(WRITERS)]


@settings(max_examples=30)
@given(plans(SYNC, SET))
def test_maps_are_those_of_loro_while_nobody_removes(plan: list[Any]) -> None:
    theirs = loros()
    for one, other in zip(play(plan, theirs), theirs, strict=True):
        assert (one.value() or {}) == other.value()


@settings(max_examples=30)
@given(plans(SYNC, SET.map(lambda s: (*s[:2], "a")), UNSET.map(lambda s: (*s[:2], "a"))))
def test_a_register_is_a_field_of_loro_removals_too(plan: list[Any]) -> None:
    theirs = loros()
    for one, other in zip(play(plan, theirs, is_register=True), theirs, strict=True):
        assert one.value() == other.value().get("a")


@settings(max_examples=30)
@given(plans(SYNC, SET, UNSET))
def test_what_yjs_shows_of_a_map_is_live_here(plan: list[Any]) -> None:
    theirs = [Yjs(number + 1) for number in range(WRITERS)]
    for one, other in zip(play(plan, theirs), theirs, strict=True):
        live = {
            (op.field.decode(), msgspec.msgpack.decode(op.value))
            for op, _ in one.replica.live()
            if op.action == "put"
        }
        assert set(other.value().items()) <= live
        assert set(other.value()) <= set(one.value() or {})


@settings(max_examples=30)
@given(plans(SYNC, st.one_of(SET, UNSET).map(lambda s: (s[0], s[1], FIELDS[s[1]]))))
def test_maps_are_those_of_yjs_where_each_field_has_one_writer(plan: list[Any]) -> None:
    theirs = [Yjs(number + 1) for number in range(WRITERS)]
    for one, other in zip(play(plan, theirs), theirs, strict=True):
        assert (one.value() or {}) == other.value()
        assert one.replica.read(KEY, 0) is not None or not other.value()
