"""Coded symbols of all live ops, made a slice at a time: a large board takes a second."""

from collections.abc import Iterator

from protocols.blackboard.reconciliation import ITEM_BYTES, Symbols, item_of
from protocols.blackboard.segments import op_hash

SLICE = 512
"""Ops that are looked at in one step."""
JOBS_LIMIT = 16
"""Comparisons that are worked on; more are dropped, and asked for again."""


class Job:
    """One set of ops under one salt.

    Attributes:
        peer: for whom.
        by_item: the ops by their keyed hashes.
    """

    def __init__(
        self, peer: bytes, session: int, salt: bytes, first: int, count: int, ops: list[bytes]
    ) -> None:
        """`count` 0: only the hashes are wanted."""
        self.peer = peer
        self.session = session
        self.salt = salt
        self.first = first
        self.symbols = Symbols(count)
        self.by_item: dict[int, bytes] = {}
        self.after = b""
        self.wanted = b""
        self._ops = ops
        self._at = 0

    @property
    def is_done(self) -> bool:
        """Whether all ops are in."""
        return self._at >= len(self._ops)

    def work(self) -> None:
        """Takes a slice of the ops in."""
        items = []
        for encoded in self._ops[self._at : self._at + SLICE]:
            item = item_of(self.salt, op_hash(encoded))
            self.by_item[item] = encoded
            items.append(item)
        self._at += SLICE
        self.symbols.add(items)

    def hashes(self, most: int) -> tuple[bytes, bool]:
        """The keyed hashes in order, after the one that was named; whether there are more."""
        start = int.from_bytes(self.after, "big") if self.after else -1
        found = [item for item in sorted(self.by_item) if item > start]
        return b"".join(item.to_bytes(ITEM_BYTES, "big") for item in found[:most]), len(
            found
        ) > most


def items_in(hashes: bytes) -> Iterator[int]:
    """Keyed hashes as numbers."""
    for at in range(0, len(hashes) - ITEM_BYTES + 1, ITEM_BYTES):
        yield int.from_bytes(hashes[at : at + ITEM_BYTES], "big")
