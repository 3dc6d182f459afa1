"""Reading the journal back at a start."""

import contextlib
import sys
from collections.abc import Iterator

RECURSION_FACTOR = 4


@contextlib.contextmanager
def reading_back() -> Iterator[None]:
    """Lets values nest more deeply than they may when they are taken in.

    In its record a value lies a few levels deeper than in the message that brought
    it. One that just passed would else be a journal that can never be read again.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before * RECURSION_FACTOR)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
