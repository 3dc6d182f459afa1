"""Strategy ``board``: who gets what, of those that claimed.

Deterministic over what was claimed: whoever has seen the same claims names the same
winners, in whatever order they came. The least loaded come first, equals by lot, and each
is given a place in turn, so that equals share evenly.

Invariant: nobody is given more than it claimed, and all together no more than is offered.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple


class Claim(NamedTuple):
    """A peer says that it has places for so many tasks, and how much it has to do, in ms."""

    peer: bytes
    places: int
    load_ms: int


def winners(offer: str, claims: Iterable[Claim], units: int) -> dict[bytes, int]:
    """How many tasks each claimer is given, the first winner first; losers are left out."""
    ranked = sorted(claims, key=lambda claim: (claim.load_ms, _drawn(offer, claim.peer)))
    given: dict[bytes, int] = {}
    left = units
    while left > 0:
        round_began = left
        for claim in ranked:
            has = given.get(claim.peer, 0)
            if left > 0 and has < claim.places:
                given[claim.peer] = has + 1
                left -= 1
        if left == round_began:
            break
    return given


def _drawn(offer: str, peer: bytes) -> bytes:
    return hashlib.blake2b(offer.encode() + peer, digest_size=8, person=b"mesh claim").digest()
