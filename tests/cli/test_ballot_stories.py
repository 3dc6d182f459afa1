"""What `mesh why` says of a ballot, by its id."""

import base64
from pathlib import Path
from typing import Any

import pytest

from mesh.cli.ballots import ballot_of, ballot_story, tell_ballot
from mesh.telemetry import finding
from tests.cli.test_stories import story
from tests.telemetry import recorded

BALLOT = recorded.TRACE + "0" * 32
"""A ballot whose voters' answers are the trace that was recorded."""


def voter(peer: str, answer: object, **more: Any) -> dict[str, Any]:
    about = {"peer": peer, "answer": answer, "confidence": None, "contradicts": []}
    return {**about, "reason": None, "story": None, **more}


def told(*voters: dict[str, Any], **more: Any) -> list[str]:
    about: dict[str, Any] = {"ballot": "ab", "skill": "judge@1", "certificate": None, "missing": []}
    return tell_ballot({**about, "voters": list(voters), **more})


def test_each_voter_is_told_with_its_answer_and_its_story() -> None:
    lines = told(
        voter("peer-1", "yes", confidence=0.75, story=story("peer-1")),
        voter("peer-2", None, reason="failed: no idea"),
        voter("peer-3", None, contradicts=["yes", "no"]),
        voter("peer-4", None, story={**story("peer-4"), "settled": None}),
    )
    assert lines[:3] == [
        "ballot ab: judge@1, no certificate of it is kept here",
        "peer-1: 'yes', 75% sure",
        "  task t1: nest@1, done",
    ]
    assert "peer-2: abstains: failed: no idea" in lines
    assert "peer-3: two answers: it lies" in lines
    assert "peer-4: has not answered yet" in lines


@pytest.mark.parametrize(
    ("status", "heading"),
    [
        ("certified", "ballot ab: judge@1, 'yes' is certified, margin 3, needed above 1"),
        ("undecided", "ballot ab: judge@1, undecided, margin 3, needed above 1"),
    ],
)
def test_what_the_certificate_says_comes_first_and_who_was_not_heard_last(
    status: str, heading: str
) -> None:
    lines = told(
        certificate="x.cert", status=status, outcome="yes", margin=3, needed=1, missing=["peer-4"]
    )
    assert lines == [heading, "peer-4: not heard"]


def test_a_ballots_id_is_known_in_hexadecimal_and_in_base_32(tmp_path: Path) -> None:
    folder = recorded.folder(tmp_path)
    letters = base64.b32encode(bytes.fromhex(BALLOT)).decode().rstrip("=").lower()
    for text in (BALLOT, BALLOT.upper(), letters, f" {letters}\n"):
        assert ballot_of(folder, text) == BALLOT
    for text in ("", recorded.REVIEW, recorded.TRACE, "1" * 52, "g" * 64, BALLOT[:16], "ü" * 52):
        assert ballot_of(folder, text) == ""


def test_the_answers_to_a_ballot_are_a_trace_that_its_id_finds(tmp_path: Path) -> None:
    found = finding.find(recorded.folder(tmp_path), BALLOT)
    assert (found.trace, found.roots) == (recorded.TRACE, [recorded.REVIEW])


def test_of_a_ballot_whose_voters_are_away_nothing_is_known(tmp_path: Path) -> None:
    told = ballot_story(recorded.folder(tmp_path), BALLOT)
    assert (told["voters"], told["certificate"], told["outcome"]) == ([], None, None)
