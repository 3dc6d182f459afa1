"""What a handler may say about its end, besides returning a value."""

from typing import Any, Generic, TypeVar

from mesh.local.errors import MeshError

T = TypeVar("T")


class NoRetry(MeshError):
    """Raised by a handler when trying again, here or elsewhere, cannot help."""


class Cancelled(MeshError):
    """Raised in a plain handler that waits for a child when its own job is stopped."""


class Result(Generic[T]):
    """A value with the handler's confidence in it, from 0 to 1."""

    __slots__ = ("confidence", "value")

    def __init__(self, value: T, confidence: float | None = None) -> None:
        if confidence is not None and not 0 <= confidence <= 1:
            raise ValueError(f"confidence {confidence} is not between 0 and 1")
        self.value = value
        self.confidence = confidence


class Missing:
    """One awaited child that gave no result, in a `Partial`."""

    __slots__ = ("error", "index")

    def __init__(self, index: int, error: Exception) -> None:
        self.index = index
        self.error = error

    def __repr__(self) -> str:
        return f"Missing(index={self.index}, error={self.error!r})"


class Partial(list[Any]):
    """What `Context.gather` returns: results in order, None where one is missing."""

    def __init__(self, values: list[Any], missing: list[Missing]) -> None:
        super().__init__(values)
        self.missing = missing
