"""Peers that an issuer is told not to invite for a skill."""

import random

from protocols.auction.candidates import Candidates
from protocols.auction.parameters import BARRED_LIMIT
from protocols.auction.standing import Standings

KEY = ("echo", "1")


def candidates(*names: bytes) -> Candidates:
    made = Candidates(b"m" * 32, random.Random(1))
    for name in names:
        made.put(name, 1, (KEY, ("other", "1")))
    return made


def test_a_barred_peer_is_chosen_for_other_skills_only() -> None:
    made = candidates(b"b", b"c")
    made.bar(KEY, b"b", True)
    assert made.choose(KEY, 8, Standings(), 0) == [b"c"]
    assert made.choose(("other", "1"), 8, Standings(), 0) == [b"b", b"c"]
    made.bar(KEY, b"b", False)
    assert made.choose(KEY, 8, Standings(), 0) == [b"b", b"c"]


def test_where_all_are_barred_nobody_is_chosen() -> None:
    made = candidates(b"b")
    made.bar(KEY, b"b", True)
    assert made.choose(KEY, 8, Standings(), 0) == []


def test_the_barred_are_bounded() -> None:
    made = candidates()
    for number in range(BARRED_LIMIT + 3):
        made.bar(KEY, str(number).encode(), True)
    made.check()
    assert not made.is_barred(KEY, str(BARRED_LIMIT + 2).encode())
