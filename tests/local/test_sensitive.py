"""What a schema marks as sensitive is found and masked, and nothing else is."""

import json
from typing import Annotated, Any

import msgspec
import pytest

from mesh.core.schemas import compile_schema
from mesh.local import sensitive
from mesh.local.sensitive import MASK, SCHEMA_DEPTH, Marks, Sensitive, is_marked

Word = Annotated[str, Sensitive]


class Account(msgspec.Struct):
    user: str
    password: Word


class Order(msgspec.Struct):
    account: Account
    pin: Annotated[int, Sensitive] = 0
    hint: Word | None = None
    codes: list[Word] = []
    pair: tuple[str, Word] = ("", "")
    notes: dict[str, Word] = {}
    whole: Annotated[dict[str, Any], Sensitive] = {}


SCHEMA = json.dumps(msgspec.json.schema(Order))
ORDER = {
    "account": {"user": "ada", "password": "p1"},
    "pin": 1234,
    "hint": "h1",
    "codes": ["c1", "c2"],
    "pair": ["open", "shut"],
    "notes": {"n": "n1"},
    "whole": {"a": ["w1", 7, True]},
}


def test_marked_values_are_masked_wherever_they_stand() -> None:
    assert Marks(SCHEMA).masked(ORDER) == {
        "account": {"user": "ada", "password": MASK},
        "pin": MASK,
        "hint": MASK,
        "codes": [MASK, MASK],
        "pair": ["open", MASK],
        "notes": {"n": MASK},
        "whole": MASK,
    }


def test_marked_texts_and_numbers_are_found_with_their_places() -> None:
    assert list(Marks(SCHEMA).found(ORDER)) == [
        ("password", "p1"), ("pin", "1234"), ("hint", "h1"), ("codes", "c1"), ("codes", "c2"),
        ("pair", "shut"), ("n", "n1"), ("whole", "a"), ("whole", "w1"), ("whole", "7"),
    ]  # fmt: skip


@pytest.mark.parametrize("value", [None, 3, [], "text", {"account": 5}, {"codes": {"x": 1}}])
def test_what_does_not_fit_the_schema_is_left_as_it_is(value: Any) -> None:
    assert Marks(SCHEMA).masked(value) == value


def test_a_value_that_is_as_deep_as_it_likes_is_walked_to_a_depth() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    schema = json.dumps({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    deep: Any = {}
    for _ in range(3 * SCHEMA_DEPTH):
        deep = {"next": deep}
    assert Marks(schema).masked(deep) == deep


def test_a_schema_that_sends_the_search_in_circles_marks_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sensitive, "VISITS_LIMIT", 1000)
    circle = {"anyOf": [{"$ref": "#/$defs/X"}, {"$ref": "#/$defs/X"}]}
    marks = Marks(json.dumps({"$ref": "#/$defs/X", "$defs": {"X": circle}}))
    assert marks.masked({"a": 1}) == MASK
    assert list(marks.found({"a": "text"})) == [("value", "a"), ("value", "text")]


def test_only_marks_mark() -> None:
    assert is_marked(SCHEMA)
    assert not is_marked(json.dumps(msgspec.json.schema(dict[str, int])))
    assert not is_marked('{"properties": {"sensitive": {"type": "boolean"}}}')


def test_what_is_wrong_with_a_sensitive_value_is_told_without_it() -> None:
    fault = compile_schema(SCHEMA.encode())({"account": {"user": "ada", "password": 987654}})
    assert fault is not None
    assert "987654" not in fault
    assert "account.password" in fault
