"""What changed on the blackboard since somebody last looked, read in slices between steps.

Nothing is kept until the first look. Then the keys that changed are noted, each
once; what evaporates or ends reads differently with time alone, and is read anew
at every look.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from protocols.blackboard.events import EntriesChanged
from protocols.blackboard.reading import Entry

CHANGED_LIMIT = 100_000
"""Changed keys that are noted; with more, all keys are read at the next look."""
SLICE = 256
"""Keys that are read between two turns of the loop."""

Change = tuple[str, Entry | None]
"""A key, and what it reads as; None where it is absent."""


class Board(Protocol):
    """What is asked of the blackboard."""

    def keys(self) -> Iterator[str]:
        """The keys that have live ops."""

    def read(self, key: str, wall_ms: int) -> Entry | None:
        """What a key reads as."""

    def is_passing(self, key: str) -> bool:
        """Whether what it reads as changes with time alone."""


class BoardFollower:
    """Follows one blackboard for one reader."""

    def __init__(self, board: Board, wall_ms: Callable[[], int]) -> None:
        """Takes the blackboard, which is only read, and the wall clock."""
        self._board = board
        self._wall_ms = wall_ms
        self._changed: dict[str, None] | None = None
        self._known: dict[str, None] = {}
        self._passing: dict[str, None] = {}

    def changed(self, event: EntriesChanged) -> None:
        """Takes the core's word of what changed."""
        if self._changed is None:
            return
        if event.is_partial or len(self._changed) + len(event.keys) > CHANGED_LIMIT:
            self._changed = None
        else:
            self._changed.update(dict.fromkeys(event.keys))

    def changes(self) -> Iterator[list[Change]]:
        """All that had changed when this began, in slices; all there is, the first time.

        Each slice is read when it is asked for, so that the caller can let others have
        their turn in between.
        What changes while it is read is read now or at the next look, and never missed.
        """
        if self._changed is None:
            # Keys that were known and are gone by now have changed too.
            every = self._board.keys()
            keys = [*self._known, *(key for key in every if key not in self._known)]
        else:
            keys = list(self._changed | self._passing)
        self._changed = {}
        for start in range(0, len(keys), SLICE):
            wall_ms = self._wall_ms()
            yield [self._look(key, wall_ms) for key in keys[start : start + SLICE]]

    def forget(self) -> None:
        """Begins anew: the reader has not taken in what it was given."""
        self._changed = None

    def _look(self, key: str, wall_ms: int) -> Change:
        entry = self._board.read(key, wall_ms)
        if entry is None:
            self._known.pop(key, None)
        else:
            self._known[key] = None
        if entry is not None and self._board.is_passing(key):
            self._passing[key] = None
        else:
            self._passing.pop(key, None)
        return key, entry
