"""The nearest of many vectors."""

import array
import math
import random

import pytest

from mesh.runtime import vector_index
from mesh.runtime.vector_index import VectorIndex
from protocols.errors import Refused


def packed(*numbers: float) -> bytes:
    return array.array("f", numbers).tobytes()


def keys(index: VectorIndex, vector: bytes, count: int = 10, prefix: str = "") -> list[str]:
    return [hit.key for hit in index.nearest(vector, count, prefix)]


def test_the_nearest_by_angle_come_first_whatever_their_length() -> None:
    index = VectorIndex()
    index.take([("far", packed(-1, 0)), ("near", packed(50, 1)), ("square", packed(0, 0.1))])
    assert [(hit.key, round(hit.score, 3)) for hit in index.nearest(packed(2, 0), 3, "")] == [
        ("near", 1.0), ("square", 0.0), ("far", -1.0),
    ]  # fmt: skip


def test_it_agrees_with_a_plain_search_after_any_changes() -> None:
    rng = random.Random(7)
    index = VectorIndex()
    plain: dict[str, list[float]] = {}
    for _ in range(600):
        key = f"{rng.choice('ab')}/{rng.randrange(150)}"
        if rng.random() < 0.3:
            plain.pop(key, None)
            index.take([(key, b"")])
        else:
            plain[key] = [rng.gauss(0, 1) for _ in range(5)]
            index.take([(key, packed(*plain[key]))])
    assert len(index) == len(plain)
    wanted = [rng.gauss(0, 1) for _ in range(5)]

    def cosine(vector: list[float]) -> float:
        product = sum(x * y for x, y in zip(vector, wanted, strict=True))
        return product / math.hypot(*vector) / math.hypot(*wanted)

    for prefix in ("", "a/", "b/1", "none"):
        order = sorted(
            (key for key in plain if key.startswith(prefix)), key=lambda key: -cosine(plain[key])
        )
        assert keys(index, packed(*wanted), 10, prefix) == order[:10]


def test_vectors_of_other_lengths_are_not_compared() -> None:
    index = VectorIndex()
    index.take([("two", packed(1, 0)), ("three", packed(1, 0, 0))])
    assert keys(index, packed(1, 1)) == ["two"]
    index.take([("two", packed(1, 0, 0))])
    assert sorted(keys(index, packed(1, 1, 1))) == ["three", "two"]


def test_a_vector_of_a_length_that_nothing_has_is_refused_and_told_which_there_are() -> None:
    index = VectorIndex()
    assert keys(index, packed(1, 1)) == [], "nothing is there, of whatever length"
    index.take([("a/two", packed(1, 0)), ("b/three", packed(1, 0, 0))])
    with pytest.raises(Refused, match="a vector of 1 numbers, and the embeddings here have 2 or 3"):
        index.nearest(packed(1), 10, "")
    with pytest.raises(Refused, match="a vector of 2 numbers, and the embeddings under b/ have 3"):
        index.nearest(packed(1, 1), 10, "b/")
    assert keys(index, packed(1, 1), 10, "c/") == []


@pytest.mark.parametrize(
    "vector", [b"", b"abc", packed(0, 0), packed(math.nan, 1), packed(math.inf), bytes(4 * 4097)]
)
def test_what_is_no_vector_is_neither_kept_nor_searched(vector: bytes) -> None:
    index = VectorIndex()
    index.take([("key", packed(1, 1)), ("key", vector)])
    assert len(index) == 0
    with pytest.raises(Refused, match="BadVector"):
        index.nearest(vector, 1, "")


def test_what_does_not_fit_any_more_is_left_out_and_counted() -> None:
    index = VectorIndex(bytes_limit=4 * 2 * vector_index.ROWS_AT_FIRST)
    index.take((f"k{number}", packed(1, number)) for number in range(100))
    assert len(index) == vector_index.ROWS_AT_FIRST
    assert index.left_out == 100 - vector_index.ROWS_AT_FIRST


def test_without_numpy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with pytest.raises(Refused, match=r"pip install 'stigmesh\[vectors\]'"):
        VectorIndex().nearest(packed(1), 1, "")
