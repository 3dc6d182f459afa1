"""Live ops by key and cell: which there are, and what they read as.

Invariants:
    board-live-is-not-superseded: no live op is in the cell and the context of another
        that may supersede it (`Replica.supersedes`).
    board-replica-bytes: the bytes counted are those of the live ops.
    board-meters-bounded: so are those that are counted by prefix, and these have a limit.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from protocols.blackboard.ops import Op
from protocols.blackboard.reading import Entry, Reading, read
from protocols.blackboard.rights import POLICIES_PREFIX, Rights, Shown, everybody

Stored = tuple[Op, bytes]
"""An op, and the bytes that were signed."""
Cell = tuple[str, bytes]
"""Type and field, within a key."""


METERS_LIMIT = 256
"""Prefixes whose bytes are counted; the one that was begun first makes room for another."""


class Applied(msgspec.Struct):
    """What became of an op, and of others by it."""

    is_live: bool
    superseded: Sequence[Stored] = ()


_ALONE = Applied(True)


class KeyState:
    """The live ops of one key.

    Attributes:
        cells: those of each cell.
        newest: the greatest stamp that was ever applied.
        position: of its last change, by the replica's count.
        type: of its cells; empty where they are, or once were, of several.
    """

    __slots__ = ("cells", "newest", "position", "type")

    def __init__(self) -> None:
        self.cells: dict[Cell, list[Stored]] = {}
        self.newest = 0
        self.position = 0
        self.type: str | None = None

    def live(self) -> Iterator[Stored]:
        """All of them."""
        for stored in self.cells.values():
            yield from stored


class Replica:
    """The live ops.

    Attributes:
        bytes: of all live ops as they were signed.
        position: how many changes there were; grows with each.
        rights: what its writer's roles let an op do.
        policies: the keys of policies that have live ops.
    """

    def __init__(self, rights: Rights | None = None) -> None:
        self._keys: dict[str, KeyState] = {}
        self.rights = rights or Rights(everybody)
        self.bytes = 0
        self.position = 0
        self.policies: dict[str, None] = {}
        self.mask: Callable[[str, int], Shown | None] = lambda key, wall_ms: None
        """Whose ops show at a key at a time; None for everybody's."""
        self._meters: dict[tuple[str, bytes], int] = {}

    # Changing.

    def apply(self, op: Op, encoded: bytes) -> Applied:
        """Takes an op whose context is covered."""
        state = self._keys.get(op.key)
        if state is None:
            state = self._keys[op.key] = KeyState()
            if op.key.startswith(POLICIES_PREFIX):
                self.policies[op.key] = None
        if op.stamp > state.newest:
            state.newest = op.stamp
        cell = (op.type, op.field)
        rivals = state.cells.get(cell)
        if rivals is None:
            # Nothing stands beside it: by far the most common case.
            state.cells[cell] = [(op, encoded)]
            if state.type != op.type:
                state.type = op.type if state.type is None else ""
            self._count(op, len(encoded))
            self._changed(op.key, state)
            return _ALONE
        is_live = True
        for other, data in rivals:
            if data == encoded or self.supersedes(other, op):
                is_live = False
                break
        gone = [each for each in rivals if self.supersedes(op, each[0])] if op.context else []
        for each in gone:
            self._take_out(state, each)
        if is_live:
            state.cells.setdefault(cell, []).append((op, encoded))
            state.type = op.type if state.type in (None, op.type) else ""
            self._count(op, len(encoded))
        if is_live or gone:
            self._changed(op.key, state)
        return Applied(is_live, gone)

    def supersedes(self, one: Op, other: Op) -> bool:
        """Whether an op takes the place of another of its cell.

        Whoever has seen an op names it and all that it names; who names less has not seen
        it, and what that one superseded would come back. Two that name each other cannot
        both have seen the other. Who names an op that was live names its very number; who
        names what it never saw names too much, or guesses.
        """
        beyond = _reach(one, other) - other.sequence
        if beyond < 0 or one == other:
            return False
        back = _reach(other, one) - one.sequence
        if back >= 0 and (beyond, other.order) > (back, one.order):
            return False
        if not _covers(one, other) and not self.rights.is_void(other):
            return False
        return one.writer == other.writer or not self.rights.is_void(one)

    def touch(self, key: str) -> None:
        """What a key reads as has changed although its ops have not."""
        state = self._keys[key]
        self.position += 1
        state.position = self.position

    def remove(self, op: Op, encoded: bytes) -> None:
        """Drops a live op that nothing supersedes."""
        state = self._keys.get(op.key)
        if state is not None and (op, encoded) in self._beside(state, op):
            self._take_out(state, (op, encoded))
            self._changed(op.key, state)

    def _beside(self, state: KeyState, op: Op) -> Sequence[Stored]:
        return state.cells.get((op.type, op.field), ())

    def _take_out(self, state: KeyState, stored: Stored) -> None:
        op, encoded = stored
        self._count(op, -len(encoded))
        ops = state.cells[op.type, op.field]
        ops.remove(stored)
        if not ops:
            del state.cells[op.type, op.field]

    def _count(self, op: Op, size: int) -> None:
        self.bytes += size
        if not self._meters:
            return
        for prefix, writer in self._meters:
            if writer == op.writer and is_under(op.key, prefix):
                self._meters[prefix, writer] += size

    def _changed(self, key: str, state: KeyState) -> None:
        self.position += 1
        state.position = self.position
        if not state.cells:
            del self._keys[key]
            self.policies.pop(key, None)

    # Reading.

    def __len__(self) -> int:
        """How many keys have live ops, tombstones too."""
        return len(self._keys)

    def live(self) -> Iterator[Stored]:
        """All live ops."""
        for state in self._keys.values():
            yield from state.live()

    def state(self, key: str) -> KeyState | None:
        """The live ops of a key."""
        return self._keys.get(key)

    def keys(self) -> Iterator[str]:
        """The keys that have live ops."""
        return iter(self._keys)

    def bytes_under(self, prefix: str, writer: bytes) -> int:
        """Bytes of a writer's live ops at a prefix and below; counted along once it was asked."""
        meter = (prefix, writer)
        if meter not in self._meters:
            if len(self._meters) >= METERS_LIMIT:
                del self._meters[next(iter(self._meters))]
            self._meters[meter] = self._weighed(*meter)
        return self._meters[meter]

    def _weighed(self, prefix: str, writer: bytes) -> int:
        return sum(
            len(encoded)
            for op, encoded in self.live()
            if op.writer == writer and is_under(op.key, prefix)
        )

    def read(self, key: str, wall_ms: int) -> Entry | None:
        """What a key reads as at a time; None where it is absent.

        Where writers that did not know of each other made it of two types, that of the
        newest op shows.
        """
        state = self._keys.get(key)
        if state is None or not state.cells:
            return None
        found: tuple[str, Reading] | None = None
        for type_, cells in _by_type(state, self.mask(key, wall_ms)).items():
            reading = read(type_, cells, wall_ms)
            if reading is not None and (
                found is None or reading.newest.order > found[1].newest.order
            ):
                found = type_, reading
        if found is None:
            return None
        type_, reading = found
        newest = reading.newest
        return Entry(
            key,
            type_,
            reading.value,
            newest.writer,
            newest.stamp >> 16,
            newest.expires_ms,
            reading.conflicts,
            newest.embedding,
            state.position,
        )

    def scan(self, prefix: str, wall_ms: int, after: str = "", limit: int = 1000) -> list[Entry]:
        """What the keys under a prefix read as, in their order, from after a key on."""
        found: list[Entry] = []
        for key in sorted(key for key in self._keys if key.startswith(prefix) and key > after):
            entry = self.read(key, wall_ms)
            if entry is not None:
                found.append(entry)
                if len(found) >= limit:
                    break
        return found

    def check(self) -> None:
        """Asserts the invariants."""
        size = 0
        for state in self._keys.values():
            assert state.cells, "board-replica-bytes: an empty key"
            for op, encoded in state.live():
                size += len(encoded)
                for other, _ in self._beside(state, op):
                    assert not self.supersedes(other, op), "board-live-is-not-superseded"
        assert size == self.bytes, "board-replica-bytes"
        assert len(self._meters) <= METERS_LIMIT, "board-meters-bounded"
        for meter, counted in self._meters.items():
            assert counted == self._weighed(*meter), "board-meters-bounded: the count"


def is_under(key: str, prefix: str) -> bool:
    """Whether a key is at a prefix, or below it; prefixes end between slashes."""
    return key.startswith(prefix) and (len(key) == len(prefix) or key[len(prefix)] == "/")


def _by_type(state: KeyState, is_shown: Shown | None) -> dict[str, dict[bytes, list[Op]]]:
    found: dict[str, dict[bytes, list[Op]]] = {}
    for (type_, field), stored in state.cells.items():
        ops = [op for op, _ in stored if is_shown is None or is_shown(op.writer)]
        if ops:
            found.setdefault(type_, {})[field] = ops
    return found


def _covers(op: Op, other: Op) -> bool:
    """Whether an op names all that another names; of its own chain, of what was before it."""
    context = op.context
    for writer, generation, sequence in other.context:
        if writer == op.writer and generation == op.generation:
            sequence = min(sequence, op.sequence - 1)
        named = 0
        for each in context:
            if each[0] == writer and each[1] == generation:
                named = each[2]
                break
        if named < sequence:
            return False
    return True


def _reach(op: Op, other: Op) -> int:
    """How far an op names the chain of another."""
    for writer, generation, sequence in op.context:
        if writer == other.writer and generation == other.generation:
            return sequence
    return 0
