"""What changed since the last look: never missed, each key once."""

from collections.abc import Iterator

from mesh.runtime import board_follower
from mesh.runtime.board_follower import BoardFollower, Change
from protocols.blackboard.events import EntriesChanged
from protocols.blackboard.reading import Entry


class Board:
    """A blackboard of registers."""

    def __init__(self, **values: bytes) -> None:
        self.values = values
        self.passing: set[str] = set()

    def keys(self) -> Iterator[str]:
        return iter(list(self.values))

    def read(self, key: str, wall_ms: int) -> Entry | None:
        value = self.values.get(key)
        return None if value is None else Entry(key, "register", value, b"", wall_ms)

    def is_passing(self, key: str) -> bool:
        return key in self.passing


def look(follower: BoardFollower) -> dict[str, bytes | None]:
    found: list[Change] = []
    for changes in follower.changes():
        found += changes
    assert len(dict(found)) == len(found), "each key once"
    return {key: entry.value if entry else None for key, entry in found}


def changed(*keys: str, is_partial: bool = False) -> EntriesChanged:
    return EntriesChanged(keys, 1, len(keys), is_partial)


def following(board: Board) -> BoardFollower:
    return BoardFollower(board, lambda: 0)


def test_the_first_look_sees_all_and_the_next_what_changed() -> None:
    board = Board(a=b"1", b=b"2")
    follower = following(board)
    follower.changed(changed("a"))
    assert look(follower) == {"a": b"1", "b": b"2"}
    assert look(follower) == {}
    board.values = {"b": b"3"}
    follower.changed(changed("a", "b"))
    assert look(follower) == {"a": None, "b": b"3"}


def test_what_passes_with_time_is_read_at_every_look() -> None:
    board = Board(a=b"1", b=b"2")
    board.passing = {"a"}
    follower = following(board)
    look(follower)
    assert look(follower) == {"a": b"1"}
    del board.values["a"]
    assert look(follower) == {"a": None}
    assert look(follower) == {}


def test_after_more_changes_than_are_named_all_is_read_and_what_is_gone_told() -> None:
    board = Board(a=b"1", b=b"2")
    follower = following(board)
    look(follower)
    board.values = {"b": b"2", "c": b"3"}
    follower.changed(changed("c", is_partial=True))
    assert look(follower) == {"a": None, "b": b"2", "c": b"3"}


def test_more_changes_than_are_noted_are_read_as_all() -> None:
    board = Board()
    follower = following(board)
    look(follower)
    for number in range(0, board_follower.CHANGED_LIMIT + 1, 1000):
        follower.changed(changed(*(f"k{number + each}" for each in range(1000))))
    board.values = {"a": b"1"}
    assert look(follower) == {"a": b"1"}


def test_what_a_reader_could_not_take_in_is_told_again() -> None:
    board = Board(a=b"1", b=b"2")
    follower = following(board)
    look(follower)
    follower.changed(changed("a"))
    for _ in follower.changes():
        break
    follower.forget()
    assert look(follower) == {"a": b"1", "b": b"2"}
