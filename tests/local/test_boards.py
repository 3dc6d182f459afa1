"""What the two boards refuse, and how they say so."""

from typing import Any

import pytest

from mesh.local.board import Board
from mesh.local.board_requests import BoardAsked
from mesh.local.errors import Refused
from mesh.local.strong import TTL_MOST_S, StrongBoard
from protocols.voting.ledger import TTL_MOST_MS


def answered(answer: Any) -> Board:
    """A board whose peer gives one answer."""
    return Board(lambda asked: asked.read(answer))


def test_marks_are_sensed_and_nothing_is_zero() -> None:
    mark = {"key": "default/m", "type": "pheromone", "value": 2.5}
    assert answered(mark).sense("m") == 2.5
    assert answered(None).sense("m") == 0.0


def test_what_is_no_mark_is_not_sensed() -> None:
    told = {"key": "default/m", "type": "register", "value": "text"}
    with pytest.raises(Refused, match=r"is a register, .* use get"):
        answered(told).sense("m")


@pytest.mark.parametrize("ttl", [0, -1, TTL_MOST_S + 1, float("inf"), float("nan")])
def test_a_lease_that_no_peer_would_grant_is_not_asked_for(ttl: float) -> None:
    def ask(asked: BoardAsked) -> None:
        raise AssertionError("asked")

    with pytest.raises(ValueError, match="86400 s at most"):
        StrongBoard(ask).lease("printer", ttl=ttl)


def test_the_longest_lease_is_the_ledgers() -> None:
    assert TTL_MOST_S * 1000 == TTL_MOST_MS
