"""What is asked of a peer for the blackboard, and what its answers mean. No I/O.

`board` and `async_board` are what people use; both make these requests.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from mesh.local.errors import Refused
from mesh.local.options import checked_seconds, milliseconds

PAGE = 1000
"""Entries asked for at once."""
WAIT_S = 10.0
"""How long a peer is asked to wait for changes, before it is asked again."""
MICRO = 1_000_000

Vector = Iterable[float] | bytes
"""An embedding: numbers, or float32 little-endian."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What a key reads as.

    Attributes:
        key: in full.
        type: register, multivalue, counter, set, map, log or pheromone.
        value: the plain value.
        writer: the name of the peer that wrote last.
        updated: when, by that peer's clock, seconds since 1970.
        expires: when it ends, seconds since 1970; None for never.
        conflicts: how many other values of a register were written at the same time.
    """

    key: str
    type: str
    value: Any
    writer: str = ""
    updated: float = 0
    expires: float | None = None
    conflicts: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A key that changed.

    Attributes:
        key: in full.
        entry: what it reads as now; None where it is absent.
        cursor: where to go on after this one, at any peer: ``watch(since=change.cursor)``.
        is_reset: this is of the whole state, because where the watch went on from is too
            long ago: keys that are not told are gone.
    """

    key: str
    entry: Entry | None
    cursor: str
    is_reset: bool = False

    @property
    def value(self) -> Any:
        """The plain value; None where the key is absent."""
        return None if self.entry is None else self.entry.value


class Written(msgspec.Struct, frozen=True):
    """A write is on the peer's disk. `replicated`: on that of another peer too."""

    replicated: bool


class BoardAsked(msgspec.Struct, frozen=True):
    """One request to a peer.

    Attributes:
        verb: of the local protocol's ``ask``.
        arguments: plain.
        read: makes of the answer what the caller gets.
        is_repeatable: may be asked again where no answer came; what adds to something may not,
            for it might add twice.
    """

    verb: str
    arguments: dict[str, Any]
    read: Callable[[Any], Any]
    is_repeatable: bool = True


# Requests.


def _write(*edits: dict[str, Any], durable: bool = False, is_repeatable: bool = True) -> BoardAsked:
    arguments = {"edits": list(edits), "durability": "disk" if durable else "process"}
    return BoardAsked("board.write", arguments, lambda answer: Written(**answer), is_repeatable)


def _edit(key: str, action: str, value: Any = msgspec.UNSET, **more: Any) -> dict[str, Any]:
    edit = {"key": key, "action": action} | {name: each for name, each in more.items() if each}
    if value is not msgspec.UNSET:
        edit["value"] = msgspec.to_builtins(value, str_keys=True)
    return edit


def _put(
    key: str, value: Any, type: str, ttl: float | None, embedding: Vector | None
) -> dict[str, Any]:
    vector = b"" if embedding is None else packed(embedding)
    return _edit(key, "put", value, type=type, ttl_ms=_ms(ttl), embedding=vector)


def _ms(seconds: float | None) -> int:
    if seconds is not None and seconds <= 0:
        raise ValueError("a time to live, or a half-life, is above zero")
    if seconds is None:
        return 0
    return milliseconds(checked_seconds("a time to live, or a half-life,", seconds))


def packed(vector: Vector) -> bytes:
    """An embedding as it travels: float32, little-endian."""
    if isinstance(vector, bytes):
        return vector
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def entry_of(told: Mapping[str, Any]) -> Entry:
    """An entry as a peer tells it."""
    expires_ms = told.get("expires_ms", 0)
    return Entry(
        key=told["key"],
        type=told["type"],
        value=told["value"],
        writer=told.get("writer", ""),
        updated=told.get("updated_ms", 0) / 1000,
        expires=expires_ms / 1000 if expires_ms else None,
        conflicts=told.get("conflicts", 0),
    )


def full_prefix(prefix: str) -> str:
    """A prefix of whole keys: as with keys, one without a slash is of the space ``default``."""
    return prefix if not prefix or "/" in prefix else f"default/{prefix}"


def entry_asked(key: str) -> BoardAsked:
    """What is at a key: an `Entry`, or None."""
    return BoardAsked(
        "board.get", {"key": key}, lambda answer: None if answer is None else entry_of(answer)
    )


def mark_asked(key: str) -> BoardAsked:
    """What is left at a key of all deposits; 0.0 where nothing is."""

    def left(answer: Any) -> float:
        if answer is None:
            return 0.0
        entry = entry_of(answer)
        if entry.type != "pheromone":
            raise Refused(
                "WrongType", f"{entry.key} is a {entry.type}, and sense reads a pheromone: use get"
            )
        return float(entry.value)

    return BoardAsked("board.get", {"key": key}, left)


def page_asked(prefix: str, after: str, limit: int) -> BoardAsked:
    """Entries of a prefix in the order of their keys, from after one on."""
    arguments = {"prefix": full_prefix(prefix), "after": after, "limit": limit}
    return BoardAsked("board.scan", arguments, lambda answer: [entry_of(each) for each in answer])


def changes_asked(prefix: str, since: str | None) -> BoardAsked:
    """What changed since a cursor; waits for it. See `changes_of`."""
    arguments: dict[str, Any] = {
        "prefix": full_prefix(prefix),
        "limit": PAGE,
        "wait_ms": milliseconds(WAIT_S),
    }
    if since is not None:
        arguments["since"] = since
    return BoardAsked("board.changes", arguments, lambda answer: answer)


def changes_of(answer: Mapping[str, Any], since: str | None) -> Iterator[Change]:
    """The changes of an answer; only the last has the cursor from which all of them are past."""
    told = answer["changes"]
    for left, each in zip(range(len(told))[::-1], told, strict=True):
        entry = None if each["entry"] is None else entry_of(each["entry"])
        cursor = answer["cursor"] if not left else since or answer["began"]
        yield Change(key=each["key"], entry=entry, cursor=cursor, is_reset=answer["reset"])


class Edits:
    """Edits that are made together or not at all; see `Board.write`."""

    def __init__(self) -> None:
        self.edits: list[dict[str, Any]] = []
        self.is_repeatable = True

    def _add(self, edit: dict[str, Any], *, is_repeatable: bool = True) -> "Edits":
        self.edits.append(edit)
        self.is_repeatable = self.is_repeatable and is_repeatable
        return self

    def put(
        self,
        key: str,
        value: Any,
        *,
        type: str = "",
        ttl: float | None = None,
        embedding: Vector | None = None,
    ) -> "Edits":
        """Sets a register, or with ``type="multivalue"`` one that shows conflicts."""
        return self._add(_put(key, value, type, ttl, embedding))

    def delete(self, key: str) -> "Edits":
        """Removes what is at a key, of whatever type."""
        return self._add(_edit(key, "delete"))

    def increment(self, key: str, by: int = 1) -> "Edits":
        """Counts up, or down."""
        return self._add(_edit(key, "increment", by), is_repeatable=False)

    def add(self, key: str, element: Any) -> "Edits":
        """Puts an element into a set."""
        return self._add(_edit(key, "add", element))

    def remove(self, key: str, element: Any) -> "Edits":
        """Takes an element out of a set."""
        return self._add(_edit(key, "remove", element))

    def set(self, key: str, field: str, value: Any) -> "Edits":
        """Sets a field of a map."""
        return self._add(_edit(key, "set", value, field=field))

    def unset(self, key: str, field: str) -> "Edits":
        """Removes a field of a map."""
        return self._add(_edit(key, "unset", field=field))

    def append(self, key: str, item: Any, *, ttl: float | None = None) -> "Edits":
        """Adds an item to a log."""
        edit = _edit(key, "append", item, ttl_ms=_ms(ttl))
        return self._add(edit, is_repeatable=False)

    def deposit(self, key: str, amount: float = 1.0, *, half_life: float | None = None) -> "Edits":
        """Leaves a mark that evaporates: half of it is gone after `half_life` seconds."""
        edit = _edit(key, "deposit", round(amount * MICRO), half_life_ms=_ms(half_life))
        return self._add(edit, is_repeatable=False)

    def asked(self, durable: bool) -> BoardAsked:
        """The request."""
        return _write(*self.edits, durable=durable, is_repeatable=self.is_repeatable)
