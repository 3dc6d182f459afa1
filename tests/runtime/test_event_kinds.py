"""The names of events that can be asked for are those that there are."""

import re
from pathlib import Path

import pytest

from mesh.runtime.event_kinds import GROUPS, KINDS, check_kind
from protocols.errors import Refused

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "events.md"


def test_every_event_of_the_reference_may_be_asked_for() -> None:
    told = re.findall(r"`([a-z]+\.[a-z-]+)`", PAGE.read_text())
    assert len(told) > 40
    assert [each for each in told if each not in KINDS and each != "events.jsonl"] == []
    for each in (*KINDS, *GROUPS):
        check_kind(each)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nonsense", "the groups are: agent, auction"),
        ("tasks.acepted", "of tasks there are: tasks.accepted"),
        ("", "the groups are"),
        ("tasks.", "of tasks there are"),
    ],
)
def test_a_name_that_nothing_has_is_refused_with_those_that_there_are(kind: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        check_kind(kind)
