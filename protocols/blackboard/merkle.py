"""Merkle trees that are pruned: some leaves, and one hash for each whole rest.

The root of n leaves: level 0 holds the leaves' hashes in order; a node of the next
level hashes two neighbours, and a last one without a neighbour moves up as it is. A
pruned tree holds the leaves that are wanted, and of the others the hashes of the
largest subtrees without any: at most one a level beside each wanted leaf. The same
form proves single leaves to others, and lets what is no longer wanted fall away: its
hash joins its neighbour's where that is pruned too.

Invariant:
    board-tree-is-whole: the leaves held, and the leaves under the hashes held, are all
        leaves, each once; so the root can be worked out at any time.
"""

import hashlib
from collections.abc import Iterable, Mapping

from protocols.errors import Malformed

HASH_BYTES = 32
LEAVES_LIMIT = 16_384
"""Leaves of one tree."""

Place = tuple[int, int]
"""A level, and the position in it."""


def joined(left: bytes, right: bytes) -> bytes:
    """The hash of a node; no leaf's hash is made in this way."""
    return hashlib.blake2b(left + right, digest_size=HASH_BYTES, person=b"board-node").digest()


def widths(leaves: int) -> list[int]:
    """How many nodes each level has, the root's included."""
    found = [leaves]
    while found[-1] > 1:
        found.append((found[-1] + 1) // 2)
    return found


def root_of(leaves: list[bytes]) -> bytes:
    """The root of all leaves' hashes; at least one."""
    level = leaves
    while len(level) > 1:
        pairs = [joined(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            pairs.append(level[-1])
        level = pairs
    return level[0]


def pruned_places(leaves: int, wanted: Iterable[int]) -> list[Place]:
    """Where the largest subtrees are that hold none of the wanted leaves, in their order.

    The order is that of their first leaves, so that hashes alone can travel.
    """
    level_wanted = sorted(wanted)
    if len(level_wanted) == leaves:
        return []
    found: list[tuple[int, Place]] = []
    for level, width in enumerate(widths(leaves)):
        here = dict.fromkeys(level_wanted)
        if not here:
            return [(level, 0)] if width == 1 else [(len(widths(leaves)) - 1, 0)]
        for position in here:
            other = position ^ 1
            if other < width and other not in here:
                found.append((other << level, (level, other)))
        level_wanted = list(dict.fromkeys(position >> 1 for position in here))
    found.sort()
    return [place for _, place in found]


def root_from(leaves: int, held: Mapping[int, bytes], hashes: list[bytes]) -> bytes:
    """The root, from some leaves' hashes and those of the pruned rest in their order.

    Raises:
        Malformed: a leaf is out of range, or there are too few or too many hashes.
    """
    if not 0 < leaves <= LEAVES_LIMIT or any(not 0 <= at < leaves for at in held):
        raise Malformed("a leaf that the tree has not")
    if len(held) == leaves and not hashes:
        return root_of([held[at] for at in range(leaves)])
    places = pruned_places(leaves, held)
    if len(places) != len(hashes):
        raise Malformed(f"{len(hashes)} hashes for {len(places)} pruned subtrees")
    known: dict[Place, bytes] = dict(zip(places, hashes, strict=True))
    for at, leaf in held.items():
        known[0, at] = leaf
    return _climb(leaves, known)


def _climb(leaves: int, known: dict[Place, bytes]) -> bytes:
    sizes = widths(leaves)
    at_level: list[dict[int, bytes]] = [{} for _ in sizes]
    for (level, position), value in known.items():
        at_level[level][position] = value
    for level, width in enumerate(sizes[:-1]):
        above = at_level[level + 1]
        for position, value in at_level[level].items():
            if position & 1:
                continue
            if position + 1 >= width:
                above[position >> 1] = value
            else:
                above[position >> 1] = joined(value, at_level[level][position + 1])
    return at_level[-1][0]


class PrunedTree:
    """The hashes that stand for leaves that are not held, by their places."""

    __slots__ = ("_absent", "_sizes")

    def __init__(self, leaves: int, held: Iterable[int], hashes: Iterable[bytes]) -> None:
        """Takes what `root_from` was content with."""
        self._sizes = widths(leaves)
        places = pruned_places(leaves, held)
        self._absent: dict[Place, bytes] = dict(zip(places, hashes, strict=True))

    @property
    def size(self) -> int:
        """How many hashes are held."""
        return len(self._absent)

    def hashes(self) -> list[bytes]:
        """The hashes in the order in which they travel."""
        ordered = sorted(self._absent.items(), key=lambda item: item[0][1] << item[0][0])
        return [value for _, value in ordered]

    def drop(self, at: int, leaf: bytes) -> None:
        """A held leaf is wanted no more."""
        self._put((0, at), leaf)

    def covers(self, at: int) -> Place | None:
        """The pruned subtree that a leaf is in; None where the leaf is held."""
        for level in range(len(self._sizes)):
            place = (level, at >> level)
            if place in self._absent:
                return place
        return None

    def refine(self, place: Place, finer: "PrunedTree", leaves: Mapping[int, bytes]) -> None:
        """Replaces a subtree by what another pruning of the same tree knows within it.

        `leaves` are the hashes of the leaves within it that the other holds and this
        one is not to.
        """
        level, position = place
        del self._absent[place]
        for (low, where), value in finer._absent.items():  # noqa: SLF001  # of this class
            if low <= level and where >> (level - low) == position:
                self._put((low, where), value)
        for at, leaf in leaves.items():
            self._put((0, at), leaf)

    def _put(self, place: Place, value: bytes) -> None:
        level, position = place
        while level + 1 < len(self._sizes):
            other = position ^ 1
            if other >= self._sizes[level]:
                level, position = level + 1, position >> 1
                continue
            beside = self._absent.pop((level, other), None)
            if beside is None:
                break
            value = joined(beside, value) if position & 1 else joined(value, beside)
            level, position = level + 1, position >> 1
        self._absent[level, position] = value

    def check(self, leaves: int, held: Iterable[int]) -> None:
        """Asserts the invariant."""
        expected = sorted(pruned_places(leaves, held))
        assert sorted(self._absent) == expected, "board-tree-is-whole"
