"""The blackboard as scripts and plain handlers use it.

It knows nothing of how requests travel. Every peer holds all of the blackboard, so reading
asks no other peer.

Keys are ``space/name``; one without a slash is of the space ``default``. Values are what
JSON can say, and what becomes that: dataclasses, structs, dates and the like.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from mesh.local.board_queries import BoardQueries
from mesh.local.board_requests import (
    PAGE,
    BoardAsked,
    Change,
    Edits,
    Entry,
    Vector,
    Written,
    changes_asked,
    changes_of,
    entry_asked,
    mark_asked,
    page_asked,
)
from mesh.local.strong import StrongBoard

T = TypeVar("T")


class Board(BoardQueries):
    """The blackboard, for callers that wait.

    Every change is on the peer's disk when the call returns, and on that of another peer
    where one is alive.
    """

    def __init__(self, ask: Callable[[BoardAsked], Any]) -> None:
        """Takes what sends a request and waits for its answer."""
        self._ask = ask

    @property
    def strong(self) -> StrongBoard:
        """A few keys and leases on which a quorum agrees before a call returns."""
        return StrongBoard(self._ask)

    # Reading.

    def get(self, key: str, default: Any = None) -> Any:
        """The plain value at a key; `default` where it is absent."""
        entry: Entry | None = self._ask(entry_asked(key))
        return default if entry is None else entry.value

    def entry(self, key: str) -> Entry | None:
        """The value at a key with its type, writer and conflicts; None where it is absent."""
        found: Entry | None = self._ask(entry_asked(key))
        return found

    def ls(self, prefix: str = "", *, limit: int | None = None) -> Iterator[Entry]:
        """The entries whose keys begin with a prefix, in the order of their keys.

        As with keys, a prefix without a slash is of the space ``default``; "" is all.
        They are read piece by piece, so what changes meanwhile may be seen or not.
        """
        after, left = "", limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page: list[Entry] = self._ask(page_asked(prefix, after, size))
            yield from page
            if len(page) < size:
                return
            after = page[-1].key
            left = None if left is None else left - len(page)

    def sense(self, key: str) -> float:
        """What is left at a key of all deposits; 0.0 where nothing is.

        Raises:
            Refused: WrongType, where something else than marks is there.
        """
        return float(self._ask(mark_asked(key)))

    def watch(self, prefix: str = "", *, since: str | None = None) -> Iterator[Change]:
        """Changes of keys that begin with a prefix, as they come, for ever.

        A key that changed several times between two looks is told once, as it is now.

        Args:
            prefix: "" for all.
            since: the cursor of a change that was seen, also at another peer; "" tells all
                that is there first; without it, only what changes from now on.
        """
        while True:
            answer = self._ask(changes_asked(prefix, since))
            yield from changes_of(answer, since)
            since = answer["cursor"]

    # Writing.

    def write(self, edits: Edits, *, durable: bool = False) -> Written:
        """Makes several changes together, or none: ``board.write(Edits().put(…).add(…))``.

        With `durable` each of the two disks has synced them, and a power cut loses none.
        """
        written: Written = self._ask(edits.asked(durable))
        return written

    def put(
        self,
        key: str,
        value: Any,
        *,
        type: str = "",
        ttl: float | None = None,
        embedding: Vector | None = None,
        durable: bool = False,
    ) -> Written:
        """Sets a register. The last writer wins; with ``type="multivalue"`` conflicts show.

        Args:
            key: where.
            value: what JSON can say, at most 48 KiB of it.
            type: "" keeps the key's, or makes a register.
            ttl: seconds after which it reads as absent.
            embedding: what `search` compares.
            durable: survives a power cut too.

        Raises:
            Refused: WrongType, TooLarge, OverQuota, NotAllowed, SchemaMismatch, BadKey.
        """
        edits = Edits().put(key, value, type=type, ttl=ttl, embedding=embedding)
        return self.write(edits, durable=durable)

    def put_many(self, values: Mapping[str, Any], *, ttl: float | None = None) -> Written:
        """Sets several registers, together or not at all; at most 4,096."""
        edits = Edits()
        for key, value in values.items():
            edits.put(key, value, ttl=ttl)
        return self.write(edits)

    def delete(self, key: str) -> Written:
        """Removes what is at a key, of whatever type; what others write meanwhile stays."""
        return self.write(Edits().delete(key))

    def increment(self, key: str, by: int = 1) -> Written:
        """Counts a counter up, or down."""
        return self.write(Edits().increment(key, by))

    def add(self, key: str, element: Any) -> Written:
        """Puts an element into a set."""
        return self.write(Edits().add(key, element))

    def remove(self, key: str, element: Any) -> Written:
        """Takes an element out of a set; one that another adds meanwhile stays."""
        return self.write(Edits().remove(key, element))

    def set(self, key: str, field: str, value: Any) -> Written:
        """Sets a field of a map."""
        return self.write(Edits().set(key, field, value))

    def unset(self, key: str, field: str) -> Written:
        """Removes a field of a map."""
        return self.write(Edits().unset(key, field))

    def append(self, key: str, item: Any, *, ttl: float | None = None) -> Written:
        """Adds an item to a log."""
        return self.write(Edits().append(key, item, ttl=ttl))

    def deposit(self, key: str, amount: float = 1.0, *, half_life: float | None = None) -> Written:
        """Leaves a mark that evaporates: half of it is gone after `half_life` seconds.

        Without a half-life it takes that of the key's last deposit, or ten minutes.
        """
        return self.write(Edits().deposit(key, amount, half_life=half_life))

    def prefix(self, prefix: str, schema: type[T] | None = None) -> "BoardPrefix[T]":
        """The entries below a prefix, their values of a type: ``board.prefix("runs", Run)``."""
        return BoardPrefix(self, prefix, schema)


class BoardPrefix(Generic[T]):
    """Entries below one prefix, with values of one type."""

    def __init__(self, board: Board, prefix: str, schema: type[T] | None) -> None:
        self._board = board
        self._prefix = prefix.rstrip("/") + "/"
        self._schema = schema

    def put(self, name: str, value: T, *, ttl: float | None = None) -> Written:
        """Sets an entry.

        Raises:
            TypeError: the value is not of the type.
        """
        return self._board.put(self._prefix + name, checked(value, self._schema), ttl=ttl)

    def get(self, name: str) -> T | None:
        """An entry's value; None where it is absent.

        Raises:
            msgspec.ValidationError: somebody wrote what is not of the type.
        """
        value = self._board.get(self._prefix + name)
        return None if value is None else typed(value, self._schema)

    def delete(self, name: str) -> Written:
        """Removes an entry."""
        return self._board.delete(self._prefix + name)

    def ls(self) -> Iterator[tuple[str, T]]:
        """All entries, by name."""
        for entry in self._board.ls(self._prefix):
            yield entry.key[len(self._prefix) :], typed(entry.value, self._schema)


def checked(value: T, schema: type[T] | None) -> T:
    """The value, which is of the type.

    Raises:
        TypeError: it is not.
    """
    if schema is not None:
        try:
            typed(msgspec.to_builtins(value, str_keys=True), schema)
        except msgspec.ValidationError as error:
            raise TypeError(f"not a {schema.__name__}: {error}") from None
    return value


def typed(value: Any, schema: type[T] | None) -> T:
    """A plain value as one of a type.

    Raises:
        msgspec.ValidationError: it is none.
    """
    found: T = value if schema is None else msgspec.convert(value, schema)
    return found
