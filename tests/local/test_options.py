"""Which skill a caller means."""

import inspect

import pytest

from mesh.agent import Agent
from mesh.client import Client
from mesh.local.options import Changes, Options

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
