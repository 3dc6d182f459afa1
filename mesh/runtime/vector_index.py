"""The nearest of many vectors, by cosine: a matrix of unit vectors, and one product with it.

Vectors of different lengths live in matrices of their own. Exact, not approximate:
50,000 vectors of 384 are one pass over 77 MB.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from protocols.errors import Refused

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float32]]

DIMENSIONS_LIMIT = 4096
VECTORS_BYTES_LIMIT = 1024 * 1024 * 1024
"""Bytes of all matrices; what comes when they are full is not found, and the answer says so."""
ROWS_AT_FIRST = 64
LENGTHS_TOLD = 8
"""Lengths of embeddings that one refusal names."""
WIDER = 8
"""A search under a prefix looks at so many times more of the nearest, until it has enough."""


class Hit(msgspec.Struct, frozen=True):
    """A key, and how near it is: the cosine, from -1 to 1."""

    key: str
    score: float


def load_numpy() -> Any:
    """The module numpy.

    Raises:
        Refused: it is not installed.
    """
    try:
        import numpy
    except ImportError:
        text = (
            "search needs numpy, which this peer's Python does not have: "
            "pip install 'stigmesh[vectors]', and start the peer again"
        )
        raise Refused("NotInstalled", text) from None
    return numpy


class _Space:
    """The unit vectors of one length: row i belongs to key i."""

    def __init__(self, numpy: Any, dimensions: int) -> None:
        self._numpy = numpy
        self.matrix: Matrix = numpy.zeros((ROWS_AT_FIRST, dimensions), numpy.float32)
        self.keys: list[str] = []
        self.rows: dict[str, int] = {}

    def put(self, key: str, vector: "Matrix") -> None:
        row = self.rows.get(key)
        if row is None:
            row = self.rows[key] = len(self.keys)
            self.keys.append(key)
            if row >= len(self.matrix):
                larger = self._numpy.zeros(
                    (2 * len(self.matrix), self.matrix.shape[1]), self._numpy.float32
                )
                larger[: len(self.matrix)] = self.matrix
                self.matrix = larger
        self.matrix[row] = vector

    def remove(self, key: str) -> None:
        row = self.rows.pop(key, None)
        if row is None:
            return
        last = self.keys.pop()
        if last != key:
            # The last one moves into the gap.
            self.matrix[row] = self.matrix[len(self.keys)]
            self.keys[row], self.rows[last] = last, row


class VectorIndex:
    """Embeddings by key. Used by one thread at a time."""

    def __init__(self, bytes_limit: int = VECTORS_BYTES_LIMIT) -> None:
        """Without numpy, only `nearest` and `take` of embeddings refuse."""
        self._spaces: dict[int, _Space] = {}
        self._lengths: dict[str, int] = {}
        self._bytes_limit = bytes_limit
        self.left_out = 0

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self._lengths)

    def take(self, changes: Iterable[tuple[str, bytes]]) -> None:
        """Takes the embeddings of keys, float32 little-endian; empty where a key has none.

        What is no vector (a length that does not fit, zero, infinite, not a number) counts
        as none: only a peer that lies writes it.

        Raises:
            Refused: numpy is not installed.
        """
        numpy = load_numpy()
        for key, embedding in changes:
            vector = _unit(numpy, embedding)
            known = self._lengths.get(key)
            if known is not None and (vector is None or len(vector) != known):
                self._spaces[known].remove(key)
                del self._lengths[key]
            if vector is None:
                continue
            if key not in self._lengths and self._is_full(len(vector)):
                self.left_out += 1
                continue
            space = self._spaces.get(len(vector))
            if space is None:
                space = self._spaces[len(vector)] = _Space(numpy, len(vector))
            space.put(key, vector)
            self._lengths[key] = len(vector)

    def nearest(self, embedding: bytes, count: int, prefix: str) -> list[Hit]:
        """The keys under a prefix whose vectors are nearest, nearest first.

        Raises:
            Refused: it is no vector, or numpy is not installed.
        """
        numpy = load_numpy()
        wanted = _unit(numpy, embedding)
        if wanted is None:
            raise Refused("BadVector", "a vector has 1 to 4096 finite numbers, not all of them 0")
        space = self._spaces.get(len(wanted))
        if space is None or not space.keys:
            self._check_length(len(wanted), prefix)
            return []
        scores = space.matrix[: len(space.keys)] @ wanted
        looked = count
        while True:
            looked = min(looked, len(scores))
            rows = numpy.argpartition(-scores, looked - 1)[:looked]
            found = [row for row in rows.tolist() if space.keys[row].startswith(prefix)]
            if len(found) >= count or looked == len(scores):
                break
            looked *= WIDER
        if not found:
            self._check_length(len(wanted), prefix)
        found.sort(key=lambda row: (-scores[row], space.keys[row]))
        return [Hit(space.keys[row], round(float(scores[row]), 6)) for row in found[:count]]

    def _check_length(self, wanted: int, prefix: str) -> None:
        """Asserts that there is nothing to be found, rather than nothing of this length.

        Raises:
            Refused: BadVector, with the lengths that there are.
        """
        there = sorted(
            length
            for length, space in self._spaces.items()
            if any(key.startswith(prefix) for key in space.keys)
        )
        if there:
            lengths = " or ".join(map(str, there[:LENGTHS_TOLD]))
            where = f"under {prefix}" if prefix else "here"
            text = f"a vector of {wanted} numbers, and the embeddings {where} have {lengths}"
            raise Refused("BadVector", text)

    def _is_full(self, dimensions: int) -> bool:
        size = sum(space.matrix.nbytes for space in self._spaces.values())
        space = self._spaces.get(dimensions)
        grows = ROWS_AT_FIRST * 4 * dimensions
        if space is not None:
            grows = space.matrix.nbytes if len(space.keys) == len(space.matrix) else 0
        return size + grows > self._bytes_limit


def _unit(numpy: Any, embedding: bytes) -> Any:
    """A vector of length one; None where it is none."""
    if not embedding or len(embedding) % 4 or len(embedding) > 4 * DIMENSIONS_LIMIT:
        return None
    vector = numpy.frombuffer(embedding, "<f4").astype(numpy.float64)
    length = float(numpy.sqrt(vector @ vector))
    if not numpy.isfinite(length) or length == 0.0:
        return None
    return (vector / length).astype(numpy.float32)
