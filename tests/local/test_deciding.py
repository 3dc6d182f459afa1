"""What is sent for a decision, and what is made of the answer."""

from pathlib import Path

import pytest

from mesh.local.deciding import AFTERWARDS_S, CLOSE_S, decision_of, wanted


def test_a_decision_is_asked_for_with_all_that_was_said() -> None:
    arguments, patience = wanted(
        "review@2", {"text": "x"}, voters=5, rule="unanimous", options=("a", "b"), close=2.5
    )
    assert arguments == {
        "skill": "review", "version": "2", "input": {"text": "x"}, "rule": "unanimous",
        "compare": "", "options": ["a", "b"], "voters": 5, "distinct": ["peer"],
        "close_ms": 2_500, "deadline_ms": 32_500,
    }  # fmt: skip
    assert patience == 32.5 + AFTERWARDS_S


def test_the_close_is_never_after_the_deadline() -> None:
    arguments, _ = wanted("review", None, deadline=3)
    assert arguments["close_ms"] == arguments["deadline_ms"] == 3_000
    assert CLOSE_S > 3


@pytest.mark.parametrize("name", ["voters", "close", "deadline"])
def test_nothing_is_below_zero(name: str) -> None:
    with pytest.raises(ValueError, match="below zero"):
        wanted("review", None, **{name: -1})  # type: ignore[arg-type]


def test_the_answer_of_a_newer_peer_may_say_more(tmp_path: Path) -> None:
    vote = {"peer": "peer-1", "id": "p", "answer": "yes", "confidence": None, "mood": "good"}
    decision = decision_of(
        {
            "outcome": "yes", "status": "certified", "margin": 3, "needed": 1, "votes": [vote],
            "certificate": b"proof", "weather": "fine",
        }
    )  # fmt: skip
    assert decision.is_certified
    assert decision.votes[0].answer == "yes"
    assert decision.save(tmp_path / "deep" / "a.cert").read_bytes() == b"proof"
