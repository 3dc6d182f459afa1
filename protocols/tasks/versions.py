"""Which of two versions of a skill is the higher one.

A version is cut at its dots, and where digits meet anything else. Pieces are
compared from the left: digits by their number, and above anything else; where one
version ends, the other is higher if it goes on with digits, and lower if it goes on
with anything else. So 10 is above 9, 1.2 above 1.1.9, and 2 above 2-rc1.
"""

import re

_NUMBER, _END, _TEXT = 2, 1, 0

Order = tuple[tuple[int, int, str], ...]


def version_order(version: str) -> Order:
    """What versions are compared by; those that come out alike are told apart as text."""
    pieces = re.findall(r"[0-9]+|[^0-9.]+", version)
    order = [
        (_NUMBER, int(piece), "") if "0" <= piece[0] <= "9" else (_TEXT, 0, piece)
        for piece in pieces
    ]
    return (*order, (_END, 0, version))
