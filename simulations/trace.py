"""The trace of a run: what peers were given, what they did, and what befell them, in order.

Nothing is kept: a world that has a `tracer` calls it once for each thing that
happens, and whoever listens keeps or prints what it wants. Details are the
very objects that passed by; `Words` turns them into lines for people.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from mesh.core.admission import SIGNED_KINDS, WIRE_KINDS
from mesh.core.outward import Accuse, Execute, Notify, Outward, Transmit
from protocols.errors import Malformed
from protocols.machine import SECOND_NS, Instant
from protocols.wire import Codec, Frame, Signed, decode_frame

Kind = Literal[
    "accuse",
    "command",
    "disk",
    "event",
    "fault",
    "frame",
    "job",
    "network",
    "send",
    "wake",
    "world",
]
KINDS: dict[Kind, str] = {
    "accuse": "a core blames a peer",
    "command": "a core is told something by its own machine: clients, agents, links",
    "disk": "a peer's records are written",
    "event": "a core tells clients, agents and people something",
    "fault": "the schedule strikes, or a fault of it ends",
    "frame": "a frame reaches a core",
    "job": "a core gives its agents work, or takes it back",
    "network": "a frame is lost or doubled on its way",
    "send": "a core sends messages",
    "wake": "a core's deadline has come",
    "world": "a process starts or stops, a handler starts or ends, a client asks",
}
"""The kinds of entries, and what each means."""

SHOWN_ITEMS = 4
SHOWN_TEXT = 40
NAME_BYTES = 4


class TraceEntry(msgspec.Struct, frozen=True):
    """One thing that happened at one peer, or to the whole mesh where `peer` is empty."""

    at_ns: Instant
    peer: str
    kind: Kind
    detail: msgspec.Struct | None = None

    @property
    def what(self) -> str:
        """What it was, in a word: the type of the detail."""
        inner = self.detail
        match inner:
            case Notify(event):
                inner = event
            case Execute(job):
                inner = job
        return type(inner).__name__ if inner is not None else self.kind

    def concerns(self, text: str) -> bool:
        """Whether it speaks of this task: its id is somewhere in what passed by."""
        if self.detail is None:
            return False
        return text.encode() in msgspec.msgpack.encode(self.detail)


Tracer = Callable[[TraceEntry], None]


class FrameArrived(msgspec.Struct, frozen=True):
    """A frame from another peer is given to a core."""

    sender: bytes
    frame: bytes


class FrameStrayed(msgspec.Struct, frozen=True):
    """A frame did not arrive just once. `fate` is ``lost`` or ``doubled``."""

    to: bytes
    frame: bytes
    fate: str


class RecordsWritten(msgspec.Struct, frozen=True):
    """A group of records is on the disk, up to this number."""

    records: int
    newest: int
    size: int


def kind_of(outward: Outward) -> Kind:
    """Which kind of entry an effect of a core makes."""
    match outward:
        case Transmit():
            return "send"
        case Notify():
            return "event"
        case Execute():
            return "job"
        case Accuse():
            return "accuse"


class Wanted(msgspec.Struct, frozen=True):
    """Which entries somebody wants to see. Empty fields let everything pass."""

    peers: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    from_ns: Instant = 0
    until_ns: Instant | None = None

    def passes(self, entry: TraceEntry) -> bool:
        """Whether an entry is wanted. What befalls the whole mesh belongs to every peer."""
        if entry.at_ns < self.from_ns or (
            self.until_ns is not None and entry.at_ns > self.until_ns
        ):
            return False
        if self.peers and entry.peer and entry.peer not in self.peers:
            return False
        if self.kinds and entry.kind not in self.kinds:
            return False
        return not self.tasks or any(entry.concerns(task) for task in self.tasks)


class Words:
    """Entries as lines for people: peers by name, messages decoded, long values shortened."""

    def __init__(self, names: Mapping[bytes, str]) -> None:
        """Takes the names of peers by their ids; may grow while it is used."""
        self._names = names
        self._codec = Codec(WIRE_KINDS)
        self._signed = Codec(SIGNED_KINDS)

    def line(self, entry: TraceEntry) -> str:
        """An entry on one line: when, who, what kind, what."""
        when = f"{entry.at_ns / SECOND_NS:12.6f}"
        return f"{when}  {entry.peer or '(mesh)':9}  {entry.kind:8}  {self.text(entry)}".rstrip()

    def text(self, entry: TraceEntry) -> str:
        """What an entry says, without time, peer and kind."""
        match entry.detail:
            case None:
                return ""
            case Transmit(to, messages):
                return f"→ {self.peer(to)}: {self._messages(messages)}"
            case Notify(event):
                return self.value(event)
            case Execute(job):
                return self.value(job)
            case Accuse(peer, offence, evidence):
                return f"{self.peer(peer)}: {offence} ({len(evidence)} pieces of evidence)"
            case FrameArrived(sender, frame):
                return f"← {self.peer(sender)}: {self._frame(frame)}"
            case FrameStrayed(to, frame, fate):
                return f"{fate}: → {self.peer(to)}: {self._frame(frame)}"
            case RecordsWritten(records, newest, size):
                return f"{records} records, {size} bytes, up to number {newest}"
            case other:
                return self.value(other)

    def peer(self, peer: bytes) -> str:
        """A peer's name, or the beginning of its id where it has none."""
        return self._names.get(peer) or peer[:NAME_BYTES].hex() or "nobody"

    def value(self, value: object) -> str:
        """Any value in the words of its type; long ones are cut."""
        match value:
            case Signed():
                return self._message(value)
            case msgspec.Struct():
                fields = ", ".join(
                    f"{name}={self.value(each)}" for name, each in self._telling(value)
                )
                return f"{type(value).__name__}({fields})"
            case msgspec.Raw():
                return self._raw(bytes(value))
            case bytes():
                return self._names.get(value) or (value[:NAME_BYTES].hex() if value else "''")
            case str():
                return repr(value if len(value) <= SHOWN_TEXT else value[:SHOWN_TEXT] + "…")
            case tuple() | list():
                return self._row(value)
            case dict():
                return "{" + ", ".join(f"{k}: {self.value(v)}" for k, v in value.items()) + "}"
            case _:
                return str(value)

    def _telling(self, value: msgspec.Struct) -> Iterator[tuple[str, object]]:
        """The fields that say something: those that differ from what they are by default."""
        for field in msgspec.structs.fields(value):
            each = getattr(value, field.name)
            if field.default is msgspec.NODEFAULT or each != field.default:
                yield field.name, each

    def _row(self, values: tuple[object, ...] | list[object]) -> str:
        shown = [self.value(each) for each in values[:SHOWN_ITEMS]]
        if len(values) > SHOWN_ITEMS:
            shown.append(f"… {len(values)} in all")
        return "[" + ", ".join(shown) + "]"

    def _raw(self, data: bytes) -> str:
        try:
            return self.value(msgspec.msgpack.decode(data)) if data else "''"
        except msgspec.MsgspecError:
            return f"{len(data)} bytes"

    def _frame(self, data: bytes) -> str:
        try:
            frame: Frame = decode_frame(data)
        except Malformed:
            return f"{len(data)} bytes that are no frame"
        return self._messages(tuple(bytes(message) for message in frame.messages))

    def _messages(self, messages: tuple[bytes, ...]) -> str:
        return "; ".join(self._decoded(message) for message in messages)

    def _decoded(self, data: bytes) -> str:
        try:
            message: Any = self._codec.decode(data, len(data))
        except Malformed:
            return f"{len(data)} bytes that are no message"
        return "a message of an unknown kind" if message is None else self._message(message)

    def _message(self, message: msgspec.Struct) -> str:
        if not isinstance(message, Signed):
            return self.value(message)
        try:
            inner = self._signed.decode(message.body, len(message.body))
        except Malformed:
            inner = None
        said = message.domain if inner is None else self.value(inner)
        return f"{said} signed by {self.peer(message.author)}"
