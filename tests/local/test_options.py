"""Which skill a caller means."""

import inspect
from typing import Any

import pytest

from mesh.agent import Agent
from mesh.client import Client
from mesh.local.codec import encode_value
from mesh.local.errors import Refused
from mesh.local.options import EXCLUSIVE_LIMIT, Changes, Options
from mesh.local.values import encode_plain
from protocols.tasks import leases

agent = Agent("a")


@agent.skill(version="3")
def search() -> None: ...


@pytest.mark.parametrize(
    ("skill", "version", "meant"),
    [
        ("search", "", ("search", "")),
        ("search@2", "", ("search", "2")),
        ("search", "2", ("search", "2")),
        ("search@2", "2", ("search", "2")),
        (search, "", ("search", "3")),
        (search, "3", ("search", "3")),
    ],
)
def test_a_version_is_pinned_by_the_name_the_function_or_the_options(
    skill: str, version: str, meant: tuple[str, str]
) -> None:
    assert Options(version=version).meant(skill) == meant


@pytest.mark.parametrize("skill", ["search@2", search])
def test_two_versions_at_once_are_refused(skill: str) -> None:
    with pytest.raises(ValueError, match="is called with version='1': name one of them"):
        Options(version="1").meant(skill)


def test_what_may_be_given_by_keyword_are_the_options() -> None:
    assert set(Changes.__annotations__) == set(Options.__struct_fields__)
    names = set(inspect.signature(Client.options).parameters) - {"self"}
    assert names == set(Changes.__annotations__)


@pytest.mark.parametrize(
    ("given", "travels"),
    [(None, None), (False, None), (True, ""), ("invoices", "invoices")],
)
def test_a_task_is_exclusive_under_a_key_its_own_or_not_at_all(
    given: bool | str | None, travels: str | None
) -> None:
    fields = Options().changed({"exclusive": given}).fields()
    assert fields.get("exclusive") == travels


def test_what_was_exclusive_may_be_so_no_more() -> None:
    before = Options(exclusive="k")
    assert before.changed({"exclusive": None}).exclusive == "k"
    assert before.changed({"exclusive": False}).exclusive is None


@pytest.mark.parametrize("given", ["", "k" * (EXCLUSIVE_LIMIT + 1)])
def test_an_exclusive_key_is_neither_empty_nor_long(given: str) -> None:
    with pytest.raises(ValueError, match="a key of 1 to 200 characters, or True"):
        Options().changed({"exclusive": given})


def test_a_client_and_the_core_know_the_same_longest_key() -> None:
    assert EXCLUSIVE_LIMIT == leases.EXCLUSIVE_LIMIT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", float("nan")),
        ("deadline", float("inf")),
        ("weight", 1e300),
        ("deadline", -0.1),
        ("retries", 10**20),
        ("priority", -(10**20)),
    ],
)
def test_an_option_that_cannot_travel_is_refused_where_it_is_given(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Options().changed({name: value})


def nested(depth: int) -> Any:
    """A list in a list, and so on."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (10**30, "beyond 64 bits"),
        ({"text": "\udcff"}, "UTF-8"),
        (nested(20_000), "nested too deep"),
    ],
)
def test_a_value_that_cannot_travel_is_refused_and_why(value: Any, why: str) -> None:
    for encode in (encode_value, encode_plain):
        with pytest.raises(Refused, match=why) as refused:
            encode(value)
        assert refused.value.kind == "InvalidInput"
