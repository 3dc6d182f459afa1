"""What a policy at a prefix makes of the writes below it."""

from typing import Any

import pytest

from mesh.core.schemas import compile_schema
from protocols.blackboard.making import make_ops
from protocols.blackboard.ops import Op
from protocols.blackboard.policies import COMPILED_LIMIT, HISTORY_LIMIT, Policies
from protocols.blackboard.replica import METERS_LIMIT, Replica
from protocols.blackboard.rights import Rights
from protocols.errors import Refused
from tests.protocols.blackboard.board_values import KEY, Writer, edit

PREFIX = "mesh/policies/"


class Bound(Writer):
    """A writer that keeps to policies, and sets them; it knows nobody else's roles."""

    def __init__(self, number: int, *roles: str) -> None:
        super().__init__(number)
        roles = ("policies", *roles)
        self.replica = Replica(Rights(lambda writer: roles if writer == self.id else ()))
        self.policies = Policies(self.replica, compile_schema, lambda: roles)

    def write(self, *edits: Any, wall_ms: int = 0) -> list[tuple[Op, bytes]]:
        made = make_ops(self.replica, edits, self.id, 1, self.next, wall_ms, self.policies)
        self.next += len(made)
        self.take(made)
        return made

    def rule(self, prefix: str, **policy: Any) -> None:
        self.write(edit("put", policy, key=PREFIX + prefix))


def bound_by(prefix: str = "default", **policy: Any) -> Bound:
    writer = Bound(1, "peer")
    writer.rule(prefix, **policy)
    return writer


def refusal(writer: Writer, *edits: Any) -> str:
    before = writer.image()
    with pytest.raises(Refused) as refused:
        writer.write(*edits)
    assert writer.image() == before
    return refused.value.kind


@pytest.mark.parametrize("action", ["put", "delete", "deposit", "append"])
def test_who_lacks_the_role_may_not_write(action: str) -> None:
    a = bound_by(roles=["curator"])
    assert refusal(a, edit(action, 1)) == "NotAllowed"
    a.write(edit("put", 1, key="other/k"))


def test_who_has_the_role_may_write() -> None:
    a = Bound(1, "peer", "curator")
    a.rule("default", roles=["editor", "curator"])
    a.write(edit("put", 1))
    assert a.value() == 1


def test_a_policy_of_the_policies_says_who_sets_them() -> None:
    a = bound_by("mesh/policies", roles=["curator"])
    assert refusal(a, edit("put", {}, key=PREFIX + "default")) == "NotAllowed"


def test_the_longest_prefix_counts_alone_and_ends_between_slashes() -> None:
    a = bound_by("default", roles=["curator"])
    a.rule("default/open")
    a.write(edit("put", 1, key="default/open/k"), edit("put", 1, key="default/open"))
    assert refusal(a, edit("put", 1, key="default/opened")) == "NotAllowed"


def test_a_policy_that_is_deleted_binds_nobody() -> None:
    a = bound_by(quota_bytes=1)
    assert refusal(a, edit("put", 1)) == "OverQuota"
    a.write(edit("delete", key=PREFIX + "default"))
    a.write(edit("put", 1))


def test_what_another_writes_against_a_policy_is_taken_and_never_shown() -> None:
    a, liar = Bound(1, "curator"), Writer(2)
    a.rule("default", roles=["curator"])
    liar.write(edit("put", "mine", type="multivalue"))
    a.sync_from(liar)
    assert liar.image() < a.image()
    assert a.value() is None
    a.write(edit("put", "ours"))
    assert a.value() == "ours"
    a.replica.check()


def test_the_type_of_a_prefix_is_that_of_new_keys() -> None:
    a = bound_by(type="multivalue")
    a.write(edit("put", 1))
    entry = a.replica.read(KEY, 0)
    assert entry is not None
    assert entry.type == "multivalue"
    a.write(edit("put", 1, key="default/r", type="register"), edit("increment", 2, key="default/c"))
    a.write(edit("put", 2, key="default/r"))
    assert (a.value("default/r"), a.value("default/c")) == (2, 2)


@pytest.mark.parametrize(
    ("action", "field"), [("put", ""), ("set", "f"), ("add", ""), ("append", "")]
)
def test_values_elements_and_items_are_as_the_schema_wants_them(action: str, field: str) -> None:
    a = bound_by(schema={"type": "integer"})
    assert refusal(a, edit(action, "text", field=field)) == "SchemaMismatch"
    assert refusal(a, edit(action, b"bytes", field=field)) == "SchemaMismatch"
    a.write(edit(action, 3, field=field))


def test_a_schema_may_be_text() -> None:
    a = bound_by(schema=b'{"type": "string"}')
    assert refusal(a, edit("put", 1)) == "SchemaMismatch"


@pytest.mark.parametrize(
    "policy",
    [
        7,
        {"rolls": ["peer"]},
        {"type": "number"},
        {"schema": {"type": "nothing"}},
        {"schema": "{"},
        {"quota_bytes": -1},
        {"history": HISTORY_LIMIT + 1},
    ],
)
def test_what_is_no_policy_is_refused_and_binds_nobody(policy: Any) -> None:
    a, liar = Bound(1), Writer(2)
    assert refusal(a, edit("put", policy, key=PREFIX + "default")) == "BadValue"
    a.replica.rights = Rights(lambda writer: ("policies",))
    liar.write(edit("put", policy, key=PREFIX + "default"))
    a.sync_from(liar)
    a.write(edit("put", 1))


def test_a_quota_bounds_what_a_writer_holds_and_a_delete_makes_room() -> None:
    a = bound_by(quota_bytes=400)
    a.write(edit("put", "x" * 200))
    a.write(edit("put", "y" * 200))
    assert refusal(a, edit("put", "z" * 200, key="default/other")) == "OverQuota"
    a.write(edit("put", "z" * 200, key="other/k"))
    a.write(edit("delete"))
    a.write(edit("put", "z" * 100, key="default/other"))
    a.replica.check()


def test_the_edits_of_one_request_are_counted_together() -> None:
    a = bound_by(quota_bytes=400)
    batch = [edit("put", "x" * 100, key=f"default/{at}") for at in range(3)]
    assert refusal(a, *batch) == "OverQuota"
    a.write(*[edit("put", "x" * 100) for _ in range(9)])


def test_others_do_not_use_up_a_quota() -> None:
    a, other = bound_by(quota_bytes=400), Writer(2)
    other.write(edit("put", "x" * 900, key="default/theirs"))
    a.sync_from(other)
    a.write(edit("put", "x" * 200))
    a.replica.check()


def test_no_more_prefixes_are_counted_than_the_limit() -> None:
    a = Writer(1)
    a.write(edit("put", 1))
    for at in range(METERS_LIMIT + 1):
        a.replica.bytes_under(f"default/{at}", a.id)
        a.replica.check()
    assert a.replica.bytes_under("default", a.id) == a.replica.bytes


def test_no_more_policies_are_kept_decoded_than_the_limit() -> None:
    a = Bound(1)
    for at in range(COMPILED_LIMIT + 2):
        a.rule(f"default/{at}", history=at % 3)
        a.write(edit("put", 1, key=f"default/{at}/k"))
    assert a.policies.decoded <= COMPILED_LIMIT


def test_a_log_keeps_its_last_items() -> None:
    a = bound_by(history=3)
    for item in range(5):
        a.write(edit("append", item))
    assert a.value() == [2, 3, 4]
    a.write(*[edit("append", item) for item in range(5, 10)])
    assert a.value() == [7, 8, 9]


def test_items_appended_at_once_go_with_the_next() -> None:
    a, b = bound_by(history=2), Bound(2)
    b.replica.rights = Rights(lambda writer: ("policies",))
    b.sync_from(a)
    for each in (a, b):
        each.write(edit("append", 1), edit("append", 2))
    a.sync_from(b)
    assert len(a.value()) == 4
    a.write(edit("append", 3), wall_ms=5)
    b.sync_from(a)
    assert a.value() == b.value() == [2, 3]


def test_a_deposit_takes_the_half_life_of_its_prefix() -> None:
    a = bound_by(half_life_ms=50)
    a.write(edit("deposit", 1000))
    assert a.value(wall_ms=50) == 500
    a.write(edit("deposit", 1000, key="default/own", half_life_ms=100))
    assert a.value("default/own", wall_ms=100) == 500
