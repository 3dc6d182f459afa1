"""Reading the journal back at a start."""

import contextlib
import gc
import sys
from collections.abc import Iterator

RECURSION_FACTOR = 4


@contextlib.contextmanager
def reading_back() -> Iterator[None]:
    """Lets values nest more deeply than when they are taken in, and no cycles be looked for.

    In its record a value lies a few levels deeper than in the message that brought
    it. One that just passed would else be a journal that can never be read again. And
    nearly all that is made here stays: with 100,000 entries on the blackboard, looking for
    cycles among it takes as long as a third of the reading.
    """
    before = sys.getrecursionlimit()
    was_enabled = gc.isenabled()
    sys.setrecursionlimit(before * RECURSION_FACTOR)
    gc.disable()
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
        if was_enabled:
            gc.enable()
