"""Following what changes: from a cursor on, in the order in which it changed here.

A cursor holds the vector that its holder has seen, and where in this peer's own order it
stopped. This peer goes on exactly from there; another peer, or this one after a restart,
goes by the vector, and may tell again what came between. A key that changed several
times is told once, as it is now; one that was deleted is told while its tombstone lives.
A cursor that is older than what was collected gets the whole state.

Invariant:
    board-order-is-complete: every key with live ops is in the order, once.
"""

import msgspec

from protocols.blackboard.reading import Entry
from protocols.blackboard.store import Store
from protocols.blackboard.vectors import Chain, Vector, covers, prefixes_of, vector_of
from protocols.errors import Malformed

CHANGES_LIMIT = 10_000


class Change(msgspec.Struct, frozen=True, gc=False):
    """A key changed. `entry` is None where it reads as absent now."""

    key: str
    entry: Entry | None
    position: int


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """What its holder has seen."""

    vector: Vector
    place: bytes
    """Whose order `position` is of: a peer in one boot."""
    position: int


_decoder = msgspec.msgpack.Decoder(Cursor)
_encode = msgspec.msgpack.Encoder().encode


class Following:
    """Answers what changed since a cursor."""

    def __init__(self, store: Store, place: bytes) -> None:
        """`place` names this peer in this boot."""
        self._store = store
        self._place = place

    def cursor(self) -> bytes:
        """All that is here now is seen."""
        return self._encoded(self._store.chains.prefixes(), self._store.replica.position)

    def changes(
        self, prefix: str, cursor: bytes, limit: int, wall_ms: int
    ) -> tuple[list[Change], bytes, bool]:
        """What changed under a prefix, the next cursor, and whether it is the whole state.

        An empty cursor has seen nothing.

        Raises:
            Malformed: it is no cursor.
        """
        store = self._store
        seen = self._decoded(cursor)
        vector = prefixes_of(seen.vector)
        is_here = seen.place == self._place
        is_reset = not is_here and not covers(vector, store.floor)
        limit = min(limit, CHANGES_LIMIT)
        found: list[Change] = []
        after = seen.position if is_here else 0
        is_new = vector if not is_here and not is_reset else None
        last = after
        for key, position in store.changed_after(after):
            if len(found) >= limit:
                return found, self._encoded(vector, last), is_reset
            last = position
            if key.startswith(prefix) and (is_new is None or self._is_beyond(key, is_new)):
                found.append(Change(key, store.replica.read(key, wall_ms), position))
        return found, self.cursor(), is_reset

    def _is_beyond(self, key: str, vector: dict[Chain, int]) -> bool:
        state = self._store.replica.state(key)
        return state is not None and any(
            op.sequence > vector.get((op.writer, op.generation), 0) for op, _ in state.live()
        )

    def _encoded(self, vector: dict[Chain, int], position: int) -> bytes:
        return _encode(Cursor(vector_of(vector), self._place, position))

    def _decoded(self, cursor: bytes) -> Cursor:
        if not cursor:
            return Cursor((), b"", 0)
        try:
            return _decoder.decode(cursor)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(f"not a cursor: {error}") from None

    def check(self) -> None:
        """Asserts the invariant."""
        ordered = [key for key, _ in self._store.changed_after(0)]
        known = dict.fromkeys(ordered)
        assert len(ordered) == len(known), "board-order-is-complete: once"
        assert sorted(known) == sorted(self._store.replica.keys()), "board-order-is-complete"
