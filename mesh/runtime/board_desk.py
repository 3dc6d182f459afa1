"""The blackboard's part of the local protocol: reading, writing, following.

Reading answers at once from this peer's replica. A write is answered when it is on the
disk here, and on another peer's where one is alive. Who follows asks again and again, and
a question waits for a change; so nothing piles up here for those that are slow.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import msgspec
import trio

from mesh.local.board_requests import packed
from mesh.runtime.strong_desk import StrongDesk
from protocols.blackboard.commands import Edit, WriteBoard
from protocols.blackboard.events import BoardWritten, EntriesChanged
from protocols.blackboard.following import Change
from protocols.blackboard.keys import PHEROMONE, full_key
from protocols.blackboard.reading import Entry
from protocols.errors import Malformed, Refused
from protocols.machine import MILLISECOND_NS, Now
from protocols.wire import encode

ENTRIES_LIMIT = 10_000
"""Entries in one answer."""
WAIT_LIMIT_MS = 60_000
MICRO = 1_000_000


class Board(Protocol):
    """What is asked of the blackboard."""

    def read(self, key: str, wall_ms: int) -> Entry | None:
        """What a key reads as."""

    def scan(self, prefix: str, wall_ms: int, after: str = "", limit: int = 1000) -> list[Entry]:
        """What keys under a prefix read as."""

    def cursor(self) -> bytes:
        """From here on."""

    def changes(
        self, prefix: str, cursor: bytes, limit: int, wall_ms: int
    ) -> tuple[list[Change], bytes, bool]:
        """What changed since."""


class Names(Protocol):
    """Who knows peers by name."""

    def name_of(self, peer: bytes) -> str:
        """A peer's name."""


class Driver(Protocol):
    """Who carries commands to the core."""

    def submit(self, command: msgspec.Struct) -> object:
        """Takes a command; its events come later. May raise `Refused`."""

    def flush(self) -> None:
        """Carries out what the commands given so far have caused."""


class Happening(Protocol):
    """Something that happens once."""

    def set(self) -> None:
        """It has happened."""

    async def wait(self) -> None:
        """Waits until it has."""


class Waits(Protocol):
    """How requests wait: trio's way, or in a simulated mesh that of virtual time."""

    def event(self) -> Happening:
        """Something that may be waited for."""

    def time(self) -> float:
        """Seconds."""

    async def at_most(self, event: Happening, seconds: float) -> None:
        """Waits for an event, so long at most."""


class TrioWaits:
    """Waits under trio."""

    def event(self) -> Happening:
        """A trio event."""
        return trio.Event()

    def time(self) -> float:
        """Trio's clock."""
        return trio.current_time()

    async def at_most(self, event: Happening, seconds: float) -> None:
        """Waits for an event, so long at most."""
        with trio.move_on_after(seconds):
            await event.wait()


class _Key(msgspec.Struct):
    key: str


class _Scan(msgspec.Struct):
    prefix: str = ""
    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=ENTRIES_LIMIT)] = 1000


class _Follow(msgspec.Struct):
    prefix: str = ""
    since: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=ENTRIES_LIMIT)] = 1000
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=WAIT_LIMIT_MS)] = 0


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """One edit. `value` is the plain value; in micro-units for a deposit."""

    key: str
    action: str
    value: Any = msgspec.UNSET
    field: str = ""
    type: str = ""
    ttl_ms: int = 0
    half_life_ms: int = 0
    embedding: bytes | list[float] = b""


class _Write(msgspec.Struct):
    edits: list[_Wanted]
    durability: str = "process"


class _Waiting:
    """Somebody who waits for a write."""

    def __init__(self, done: Happening) -> None:
        self.done = done
        self.is_replicated = False


class BoardDesk:
    """Answers what clients and handlers ask of the blackboard."""

    def __init__(
        self,
        board: Board,
        driver: Driver,
        now: Callable[[], Now],
        names: Names,
        waits: Waits | None = None,
    ) -> None:
        """Takes the blackboard, the way to write, a clock, who knows names, and how to wait."""
        self._waits = waits or TrioWaits()
        self._board = board
        self._driver = driver
        self._now = now
        self._name_of = names.name_of
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}
        self._changed = self._waits.event()
        self._strong = StrongDesk(driver)

    def verbs(self) -> dict[str, Callable[[Any], Any]]:
        """The verbs of ``ask``, and what answers them."""
        return {
            "board.get": self.get,
            "board.scan": self.scan,
            "board.write": self.write,
            "board.changes": self.changes,
            "strong": self._strong.put_in_order,
        }

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        if isinstance(event, BoardWritten):
            waiting = self._waiting.get(event.request)
            if waiting is not None:
                waiting.is_replicated = event.replicated
                waiting.done.set()
        elif isinstance(event, EntriesChanged):
            self._changed.set()
            self._changed = self._waits.event()
        else:
            self._strong.notify(event)

    def get(self, arguments: Any) -> dict[str, Any] | None:
        """Answers ``board.get``."""
        key = full_key(_converted(arguments, _Key).key)
        entry = self._board.read(key, self._wall_ms())
        return None if entry is None else self.shown(entry)

    def scan(self, arguments: Any) -> list[dict[str, Any]]:
        """Answers ``board.scan``."""
        wanted = _converted(arguments, _Scan)
        found = self._board.scan(wanted.prefix, self._wall_ms(), wanted.after, wanted.limit)
        return [self.shown(entry) for entry in found]

    async def write(self, arguments: Any) -> dict[str, Any]:
        """Answers ``board.write``, when it is stored."""
        wanted = _converted(arguments, _Write)
        self._number += 1
        number = self._number
        command = WriteBoard(number, tuple(_edit(each) for each in wanted.edits), wanted.durability)
        waiting = self._waiting[number] = _Waiting(self._waits.event())
        try:
            self._driver.submit(command)
            self._driver.flush()
            await waiting.done.wait()
        finally:
            del self._waiting[number]
        return {"replicated": waiting.is_replicated}

    async def changes(self, arguments: Any) -> dict[str, Any]:
        """Answers ``board.changes``, when there are some or the time is up."""
        wanted = _converted(arguments, _Follow)
        if wanted.since is None:
            began = self._board.cursor()
        else:
            began = _cursor(wanted.since)
        ends = self._waits.time() + wanted.wait_ms / 1000
        cursor = began
        while True:
            changed = self._changed
            try:
                found, cursor, is_reset = self._board.changes(
                    wanted.prefix, cursor, wanted.limit, self._wall_ms()
                )
            except Malformed as error:
                raise Refused("BadCursor", f"{error}: take one that a change came with") from None
            left = ends - self._waits.time()
            if found or is_reset or left <= 0:
                break
            await self._waits.at_most(changed, left)
        return {
            "changes": [self._change(each) for each in found],
            "began": _text(began),
            "cursor": _text(cursor),
            "reset": is_reset,
        }

    def shown(self, entry: Entry) -> dict[str, Any]:
        """An entry as plain values."""
        value: Any = msgspec.Raw(entry.value)
        if entry.type == PHEROMONE:
            value = msgspec.msgpack.decode(entry.value) / MICRO
        told = {
            "key": entry.key,
            "type": entry.type,
            "value": value,
            "writer": self._name_of(entry.writer),
            "updated_ms": entry.stamp_ms,
        }
        if entry.expires_ms:
            told["expires_ms"] = entry.expires_ms
        if entry.conflicts:
            told["conflicts"] = entry.conflicts
        return told

    def _change(self, change: Change) -> dict[str, Any]:
        entry = None if change.entry is None else self.shown(change.entry)
        return {"key": change.key, "entry": entry}

    def _wall_ms(self) -> int:
        return self._now().wall_ns // MILLISECOND_NS


def _converted(arguments: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(arguments if arguments is not None else {}, kind)
    except msgspec.ValidationError as error:
        raise Refused("InvalidInput", str(error)) from None


def _edit(wanted: _Wanted) -> Edit:
    return Edit(
        wanted.key,
        wanted.action,
        b"" if wanted.value is msgspec.UNSET else encode(wanted.value),
        wanted.field,
        wanted.type,
        wanted.ttl_ms,
        wanted.half_life_ms,
        wanted.embedding if isinstance(wanted.embedding, bytes) else packed(wanted.embedding),
    )


def _cursor(text: str) -> bytes:
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Refused("BadCursor", f"{text[:40]!r} is no cursor: take a change's") from None


def _text(cursor: bytes) -> str:
    return base64.b64encode(cursor, altchars=b"-_").decode()
