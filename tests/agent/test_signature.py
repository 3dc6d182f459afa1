import dataclasses
import json
from typing import Any, TypedDict

import msgspec
import pytest

from mesh.agent import Agent, Context, Result
from mesh.agent.agent import Skill
from mesh.agent.signature import InvalidInput, InvalidOutput, Signature
from mesh.local.values import encode_plain


@dataclasses.dataclass
class Passage:
    text: str
    score: float = 0.0


class Point(msgspec.Struct):
    x: int
    y: int


class Options(TypedDict, total=False):
    depth: int


def signature_of(function: Any) -> Signature:
    agent = Agent("test")
    agent.skill(function)
    skill: Skill = function.__mesh_skill__
    return skill.signature


def read(function: Any, **inputs: Any) -> dict[str, Any]:
    return signature_of(function).read_input(encode_plain(inputs))


def write(function: Any, value: Any) -> Any:
    return msgspec.msgpack.decode(signature_of(function).write_output(value))


def search(ctx: Context, query: str, limit: int = 5) -> list[Passage]:
    return [Passage(query)] * limit


def anything(**value: object) -> dict[str, object]:
    return value


def unhinted(a, b=2):  # type: ignore[no-untyped-def]  # without hints is the point
    return a


def test_hints_become_a_schema_without_the_context() -> None:
    schema = json.loads(signature_of(search).input_schema)
    assert schema == {
        "type": "object",
        "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "default": 5}},
        "required": ["query"],
        "additionalProperties": False,
    }


def test_the_return_annotation_becomes_the_output_schema() -> None:
    schema = json.loads(signature_of(search).output_schema)
    assert schema["type"] == "array"
    assert "Passage" in schema["$defs"]


def test_keyword_extras_let_any_object_through() -> None:
    assert read(anything, a=1, b={"c": [1]}) == {"a": 1, "b": {"c": [1]}}
    assert json.loads(signature_of(anything).input_schema).get("additionalProperties", True)


def test_typed_extras_are_checked() -> None:
    def add(first: int, **others: int) -> int:
        return first + sum(others.values())

    assert read(add, first=1, a=2) == {"first": 1, "a": 2}
    assert json.loads(signature_of(add).input_schema)["additionalProperties"] == {"type": "integer"}
    with pytest.raises(InvalidInput, match="int"):
        read(add, first=1, a="two")


def test_a_function_without_hints_accepts_anything() -> None:
    assert read(unhinted, a=[1, "x"]) == {"a": [1, "x"], "b": 2}
    assert write(unhinted, {"any": "thing"}) == {"any": "thing"}


def test_inputs_are_converted_to_what_the_hints_say() -> None:
    def take(
        at: Point, passage: Passage, options: Options | None = None, data: bytes = b""
    ) -> None:
        """Takes."""

    inputs = read(take, at={"x": 1, "y": 2}, passage={"text": "t"}, data=b"raw")
    assert inputs["at"] == Point(1, 2)
    assert inputs["passage"] == Passage("t", 0.0)
    assert inputs["data"] == b"raw"


def test_bytes_travel_as_base64_text() -> None:
    def produce() -> bytes:
        return b"raw"

    assert write(produce, b"raw") == "cmF3"


def test_what_does_not_fit_is_named_by_its_path() -> None:
    with pytest.raises(InvalidInput, match=r"\$\.limit"):
        read(search, query="q", limit="many")
    with pytest.raises(InvalidInput, match="query"):
        read(search)
    with pytest.raises(InvalidInput, match="colour"):
        read(search, query="q", colour="red")
    with pytest.raises(InvalidInput, match="object"):
        signature_of(search).read_input(encode_plain([1, 2]))


def test_a_default_of_none_admits_none() -> None:
    def ask(limit=None) -> None:  # type: ignore[no-untyped-def]  # hinted below
        """Asks."""

    ask.__annotations__["limit"] = int

    assert read(ask) == {"limit": None}
    assert read(ask, limit=None) == {"limit": None}


def test_a_mutable_default_is_the_functions_own() -> None:
    def ask(tags: list[str] = ["a"]) -> None:  # noqa: B006 - people write this
        """Asks."""

    assert read(ask) == {"tags": ["a"]}


def test_an_output_that_breaks_its_annotation_is_invalid() -> None:
    with pytest.raises(InvalidOutput):
        write(search, [{"text": 1}])
    with pytest.raises(InvalidOutput, match="object"):
        write(anything, object())


def test_a_result_wrapper_takes_the_type_inside() -> None:
    def judge() -> Result[int]:
        return Result(1, confidence=0.5)

    assert json.loads(signature_of(judge).output_schema) == {"type": "integer"}


def test_parameters_that_no_keyword_reaches_are_refused() -> None:
    def positional(a: int, /) -> None:
        """Refused."""

    def starred(*a: int) -> None:
        """Refused."""

    for function in (positional, starred):
        with pytest.raises(TypeError, match="keyword"):
            signature_of(function)


def test_a_type_that_cannot_travel_is_refused_with_the_skills_name() -> None:
    def take(value: threading_lock) -> None:
        """Refused."""

    with pytest.raises(TypeError, match="skill take"):
        signature_of(take)


class threading_lock:  # noqa: N801 - stands for any class of somebody else
    pass
