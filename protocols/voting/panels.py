"""Fewer voters than electors: who they are, and what is assumed of them.

A panel of v voters is the first v electors by a hash of the ballot's id, so nobody can be put
on it or kept off it once the request is known. All electors settle which answers count; only the
panel answers. Its bound is f_v = ⌊(v−1)/3⌋: an outcome is certified if no more than so many of
the panel lie, which is an **assumption**, stated in the certificate by the size of the panel. With
all electors voting there is none beyond f itself.

Who asks chooses its request's number, and could try many for a panel that suits it: a panel's
certificate is for those who trust whoever opened it to have asked once.
"""

import hashlib
from fractions import Fraction
from math import comb

PANEL_DOMAIN = b"stigmesh/voting.panel/1\x00"


def panel_of(ballot: bytes, electors: int, size: int) -> tuple[int, ...]:
    """The indices of those that vote, in order; all electors where `size` is 0."""
    places = range(electors)
    if not size:
        return tuple(places)
    drawn = sorted(places, key=lambda place: _lot(ballot, place))
    return tuple(sorted(drawn[:size]))


def risk(electors: int, liars: int, size: int, bound: int) -> Fraction:
    """The chance that a panel drawn at random holds more than `bound` of so many liars."""
    ways = sum(
        comb(liars, lying) * comb(electors - liars, size - lying)
        for lying in range(bound + 1, min(liars, size) + 1)
    )
    return Fraction(ways, comb(electors, size))


def _lot(ballot: bytes, place: int) -> bytes:
    return hashlib.sha256(PANEL_DOMAIN + ballot + bytes([place])).digest()
