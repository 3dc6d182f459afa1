"""What the values of the blackboard do, one writer and several at once."""

import msgspec
import pytest

from protocols.blackboard.keys import KEY_BYTES_LIMIT, VALUE_BYTES_LIMIT
from protocols.blackboard.making import CELLS_LIMIT, FUTURE_MS
from protocols.blackboard.ops import Op
from protocols.errors import Refused
from protocols.wire import encode
from tests.protocols.blackboard.board_values import KEY, Writer, edit


def two() -> tuple[Writer, Writer]:
    return Writer(1), Writer(2)


def exchange(*writers: Writer) -> None:
    for one in writers:
        for other in writers:
            one.sync_from(other)


# Registers


def test_a_register_reads_as_it_was_put_last() -> None:
    a = Writer(1)
    a.write(edit("put", "one"))
    a.write(edit("put", "two"))
    assert a.value() == "two"
    assert len(list(a.replica.live())) == 1


def test_what_was_never_put_is_absent() -> None:
    assert Writer(1).value() is None


def test_of_two_puts_at_once_the_later_reads_and_the_conflict_shows() -> None:
    a, b = two()
    a.write(edit("put", "early"), wall_ms=1000)
    b.write(edit("put", "late"), wall_ms=1001)
    exchange(a, b)
    for each in (a, b):
        entry = each.replica.read(KEY, 2000)
        assert entry is not None
        assert (msgspec.msgpack.decode(entry.value), entry.conflicts) == ("late", 1)
    a.write(edit("put", "both seen"), wall_ms=1002)
    exchange(a, b)
    assert b.value() == "both seen"
    assert len(b.image()) == 1


def test_a_put_after_what_it_saw_is_later_even_by_a_slow_clock() -> None:
    a, b = two()
    a.write(edit("put", "first"), wall_ms=50_000)
    exchange(a, b)
    b.write(edit("put", "second"), wall_ms=1)
    c = Writer(3)
    c.write(edit("put", "meanwhile"), wall_ms=40_000)
    exchange(a, b, c)
    assert a.value() == b.value() == c.value() == "second"


def test_a_clock_far_ahead_is_not_followed() -> None:
    a, b = two()
    a.write(edit("put", "from the future"), wall_ms=FUTURE_MS * 10)
    exchange(a, b)
    ((op, _),) = b.write(edit("put", "now"), wall_ms=5)
    assert op.stamp == 5 << 16
    assert b.value() == "now"


def test_a_delete_is_read_as_absent_and_a_put_after_it_is_there() -> None:
    a, b = two()
    a.write(edit("put", 1))
    exchange(a, b)
    b.write(edit("delete"))
    assert b.value() is None
    exchange(a, b)
    assert a.value() is None
    a.write(edit("put", 2))
    exchange(a, b)
    assert (a.value(), b.value()) == (2, 2)
    assert len(a.image()) == 1


def test_an_older_put_that_comes_late_does_not_come_back() -> None:
    a, b = two()
    old = a.write(edit("put", "old"))
    b.take(old)
    removed = b.write(edit("delete"))
    c = Writer(3)
    c.take(removed)
    c.take(old)
    assert c.value() is None
    assert c.image() == b.image()


@pytest.mark.parametrize("action", ["put", "add"])
def test_an_op_supersedes_what_was_superseded_by_what_it_supersedes(action: str) -> None:
    a, b, c = Writer(1), Writer(2), Writer(3)
    a.write(edit(action, 1))
    c.sync_from(a)
    b.sync_from(a)
    b.write(edit(action, 1))
    a.sync_from(b)
    a.write(edit(action, 1))
    c.sync_from(a)
    assert c.image() == a.image()
    assert len(c.image()) == 1


def test_multivalues_keep_what_was_put_at_once_until_somebody_resolves_it() -> None:
    a, b = two()
    a.write(edit("put", "left", type="multivalue"), wall_ms=1)
    b.write(edit("put", "right", type="multivalue"), wall_ms=2)
    exchange(a, b)
    assert a.value() == b.value() == ["left", "right"]
    a.write(edit("put", "merged"))
    exchange(a, b)
    assert b.value() == ["merged"]


def test_a_time_to_live_ends_for_readers_and_nothing_older_shows() -> None:
    a = Writer(1)
    a.write(edit("put", "for ever"), wall_ms=0)
    a.write(edit("put", "brief", ttl_ms=100), wall_ms=10)
    assert a.value(wall_ms=109) == "brief"
    assert a.value(wall_ms=110) is None


# Counters


def test_counters_add_up_over_writers_and_hold_one_op_each() -> None:
    a, b = two()
    for _ in range(5):
        a.write(edit("increment", 2))
        b.write(edit("increment", -1))
    exchange(a, b)
    assert a.value() == b.value() == 5
    assert len(a.image()) == 2


def test_a_counter_that_was_deleted_begins_anew_and_keeps_what_was_not_seen() -> None:
    a, b = two()
    a.write(edit("increment", 10))
    exchange(a, b)
    b.write(edit("delete"))
    a.write(edit("increment", 1))
    exchange(a, b)
    assert a.value() == b.value() == 11, "the sum of a was told again at once with the delete"
    b.write(edit("delete"))
    exchange(a, b)
    assert a.value() is None
    a.write(edit("increment", 3))
    exchange(a, b)
    assert b.value() == 3


def test_several_edits_of_one_request_see_each_other() -> None:
    a = Writer(1)
    made = a.write(edit("increment", 1), edit("increment", 2), edit("increment", 3))
    assert a.value() == 6
    assert [op.sequence for op, _ in made] == [1, 2, 3]
    assert len(a.image()) == 1
    a.write(edit("delete"), edit("increment", 4))
    assert a.value() == 4
    a.write(edit("delete"), edit("put", "another type"))
    assert a.value() == "another type"


# Sets, maps, logs


def test_a_sets_element_is_there_while_an_addition_is_that_no_removal_saw() -> None:
    a, b = two()
    a.write(edit("add", "x"), edit("add", "y"))
    exchange(a, b)
    a.write(edit("remove", "x"))
    b.write(edit("add", "x"))
    exchange(a, b)
    assert sorted(a.value()) == sorted(b.value()) == ["x", "y"]
    b.write(edit("remove", "x"))
    exchange(a, b)
    assert a.value() == ["y"]


def test_an_element_is_the_same_however_it_is_encoded() -> None:
    a = Writer(1)
    a.write(edit("add", {"b": 1, "a": 2}))
    a.write(edit("add", {"a": 2, "b": 1}))
    assert a.value() == [{"a": 2, "b": 1}]
    long_way = msgspec.structs.replace(edit("add"), value=b"\xd3" + (7).to_bytes(8, "big"))
    a.write(long_way)
    a.write(edit("remove", 7))
    assert a.value() == [{"a": 2, "b": 1}]


def test_a_maps_fields_are_registers_of_their_own() -> None:
    a, b = two()
    a.write(edit("set", 1, field="one"))
    b.write(edit("set", 2, field="two"))
    exchange(a, b)
    assert a.value() == b.value() == {"one": 1, "two": 2}
    a.write(edit("unset", field="one"))
    exchange(a, b)
    assert b.value() == {"two": 2}


def test_a_log_has_all_that_was_appended_in_one_order() -> None:
    a, b = two()
    a.write(edit("append", "a1"), wall_ms=1)
    b.write(edit("append", "b1"), wall_ms=2)
    exchange(a, b)
    b.write(edit("append", "b2"), edit("append", "b3"), wall_ms=2)
    exchange(a, b)
    assert a.value() == b.value() == ["a1", "b1", "b2", "b3"]


def test_a_deleted_set_is_empty_but_for_what_the_delete_did_not_see() -> None:
    a, b = two()
    a.write(edit("add", 1), edit("add", 2))
    exchange(a, b)
    a.write(edit("delete"))
    b.write(edit("add", 3))
    exchange(a, b)
    assert a.value() == b.value() == [3]


def test_parts_of_one_key_are_bounded() -> None:
    a = Writer(1)
    for start in range(0, CELLS_LIMIT, 1000):
        a.write(*[edit("add", number) for number in range(start, start + 1000)])
    with pytest.raises(Refused, match="TooLarge"):
        a.write(edit("add", "one more"))
    a.write(edit("add", 7))
    a.write(edit("delete"))
    assert a.value() is None
    a.write(edit("add", "one more"))
    assert a.value() == ["one more"]


# Types, names, sizes


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (edit("put", 1), edit("increment", 1)),
        (edit("increment", 1), edit("put", 1)),
        (edit("add", 1), edit("append", 1)),
        (edit("put", 1), edit("put", 1, type="multivalue")),
        (edit("deposit", 5), edit("set", 1, field="f")),
    ],
)
def test_a_key_keeps_its_type_until_it_is_deleted(first: edit, second: edit) -> None:  # type: ignore[valid-type]
    a = Writer(1)
    a.write(first)
    with pytest.raises(Refused, match=r"WrongType.*delete it first"):
        a.write(second)
    a.write(edit("delete"))
    a.write(second)


def test_types_that_were_made_at_once_live_side_by_side_and_the_newest_shows() -> None:
    a, b = two()
    a.write(edit("put", "text"), wall_ms=1)
    b.write(edit("add", "element"), wall_ms=2)
    exchange(a, b)
    assert a.value() == b.value() == ["element"]
    a.write(edit("delete"), wall_ms=3)
    exchange(a, b)
    assert b.value() is None


@pytest.mark.parametrize("key", ["", "/", "space/", "/name", "a/\n", "a/" + "k" * KEY_BYTES_LIMIT])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(Refused, match="BadKey"):
        Writer(1).write(edit("put", 1, key=key))


def test_a_key_without_a_space_is_of_the_default_one() -> None:
    a = Writer(1)
    a.write(edit("put", 1, key="plain"))
    assert a.value("default/plain") == 1


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (edit("put", "x" * VALUE_BYTES_LIMIT), "TooLarge"),
        (edit("put", 1, embedding=b"abc"), "BadValue"),
        (edit("put", 1, ttl_ms=-1), "BadValue"),
        (edit("increment", "one"), "BadValue"),
        (edit("deposit", -1), "BadValue"),
        (edit("deposit", 1, half_life_ms=-5), "BadValue"),
        (edit("set", 1, field="f" * 2000), "TooLarge"),
        (edit("brew", 1), "BadValue"),
        (msgspec.structs.replace(edit("put"), value=b"\xc1"), "BadValue"),
        (edit("increment", 1, type="set"), "WrongType"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_has_changed(
    wrong: edit,  # type: ignore[valid-type]
    kind: str,
) -> None:
    a = Writer(1)
    with pytest.raises(Refused) as refused:
        a.write(edit("put", 1, key="default/other"), wrong)
    assert refused.value.kind == kind
    assert not a.image()


def test_a_sum_that_is_none_reads_as_absent() -> None:
    a = Writer(1)
    lie = Op(b"\x02" * 32, 1, 1, KEY, "counter", b"x", "put", encode("many"), (), 1)
    a.take([(lie, encode(lie))])
    assert a.value() is None
    a.write(edit("increment", 1))
    assert a.value() == 1


def test_scans_go_by_key_in_pieces() -> None:
    a = Writer(1)
    a.write(*[edit("put", number, key=f"default/n/{number:02}") for number in range(30)])
    a.write(edit("delete", key="default/n/03"))
    first = a.replica.scan("default/n/", 0, limit=10)
    assert [entry.key[-2:] for entry in first] == [f"{n:02}" for n in range(11) if n != 3]
    rest = a.replica.scan("default/n/", 0, after=first[-1].key)
    assert len(first) + len(rest) == 29
