"""Structured events: what a peer did, as JSON lines, one event per batch.

The schema is documented in `docs/reference/events.md`. Events carry ids, sizes
and counts, never payloads. What the core tells is noted with its time and written
a few milliseconds later, when whoever waits for the task has the answer, and all
of that time in one write; a kill costs the log that moment at most.
"""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import trio

from protocols.blobs.events import (
    BlobCollected,
    BlobDamaged,
    BlobFetched,
    BlobKept,
    BlobNotFetched,
)
from protocols.credentials import decode_chain
from protocols.gossip.events import CredentialRenewed
from protocols.identity import PEER_ID_BYTES, text_id
from protocols.machine import SECOND_NS
from protocols.tasks.events import (
    AttemptsFailed,
    AttemptsRan,
    AttemptsStarted,
    CancelAnswered,
    Settled,
    TaskLookedUp,
    TaskProgressed,
    TasksAccepted,
    TasksAttached,
    TasksListed,
    TasksSettled,
)
from protocols.voting.ballot_commands import BallotDecided
from protocols.voting.log_commands import PutInOrderDone

ROTATE_BYTES = 32 * 1024 * 1024
"""Size at which ``events.jsonl`` becomes ``events.1.jsonl``, replacing the one before."""
DELAY_S = 0.005
"""How long what was noted may wait to be written."""
NOTED_LIMIT = 1024
"""Noted events that are written at once."""
SHOWN_LIMIT = 1024
"""Peer ids whose text is kept."""
TASKS_NAMED_LIMIT = 256
"""Tasks in one event; a longer batch is told in several, see `pieces`."""

ANSWERS = frozenset({CancelAnswered, PutInOrderDone, TaskLookedUp, TasksAttached, TasksListed})
"""What only answers one client's question: whoever looks shall not fill the log with it."""

Event = dict[str, Any]


def public(event: msgspec.Struct) -> Event:
    """An event as plain values: ids as text, payloads as sizes."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str), f"{type(event).__name__} has no tag"
    shape = _SHAPES.get(type(event))
    fields = shape(event) if shape is not None else _plain(event)
    return {"event": tag, **fields}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bytes):
        return _shown(value)
    if isinstance(value, msgspec.Raw):
        return {"bytes": memoryview(value).nbytes}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


@lru_cache(maxsize=SHOWN_LIMIT)
def _shown(value: bytes) -> str:
    return text_id(value) if len(value) == PEER_ID_BYTES else value.hex()


def _accepted(event: TasksAccepted) -> Event:
    tasks = list(event.tasks[:TASKS_NAMED_LIMIT])
    row: Event = {"skill": event.skill, "trace": event.trace}
    if event.parent:
        row["parent"] = event.parent
    if event.span:
        row["span"] = event.span
    return {**row, "count": len(event.tasks), "tasks": tasks}


def _started(event: AttemptsStarted) -> Event:
    named = event.attempts[:TASKS_NAMED_LIMIT]
    return {
        "peer": text_id(event.peer),
        "lot": event.lot,
        "skill": event.skill,
        "count": len(event.attempts),
        "tasks": [key.task for key in named],
        "attempts": [key.attempt for key in named],
    }


def _ran(event: AttemptsRan) -> Event:
    named = event.attempts[:TASKS_NAMED_LIMIT]
    traces = [ran.trace for ran in named]
    row: Event = {
        "peer": text_id(event.peer),
        "skill": event.skill,
        "trace": traces[0] if traces.count(traces[0]) == len(traces) else "",
        "count": len(event.attempts),
        "tasks": [ran.task for ran in named],
        "attempts": [ran.attempt for ran in named],
        "statuses": [ran.status for ran in named],
        "waited_us": [ran.waited_us for ran in named],
        "held_us": [ran.held_us for ran in named],
        "elapsed_us": [ran.elapsed_us for ran in named],
    }
    if not row["trace"]:
        row["traces"] = traces
    return row


def _failed(event: AttemptsFailed) -> Event:
    names = ("task", "attempt", "status", "message", "retried")
    rows = [dict(zip(names, row, strict=True)) for row in event.attempts[:TASKS_NAMED_LIMIT]]
    peer = text_id(event.peer) if event.peer else ""
    return {"peer": peer, "count": len(event.attempts), "attempts": rows}


def _settled(event: TasksSettled) -> Event:
    states: dict[str, int] = {}
    for settled in event.settled:
        states[settled.state] = states.get(settled.state, 0) + 1
    rows = [_settled_row(settled) for settled in event.settled[:TASKS_NAMED_LIMIT]]
    return {"count": len(event.settled), "states": states, "tasks": rows}


def _settled_row(settled: Settled) -> Event:
    row: Event = {"task": settled.task, "state": settled.state, "attempts": settled.attempts}
    if settled.error_kind:
        row["error"] = settled.error_kind
    row["bytes"] = memoryview(settled.value).nbytes
    row["elapsed_us"] = settled.elapsed_us
    return row


def _progressed(event: TaskProgressed) -> Event:
    return {
        "task": event.task,
        "attempt": event.attempt,
        "fraction": event.fraction / 1_000_000,
        "text": event.text,
    }


def _renewed(event: CredentialRenewed) -> Event:
    _, issuer, peer = decode_chain(event.credential)
    told = {"serial": peer.serial, "ends": peer.not_after_s, "by": text_id(issuer.subject)}
    return {"peer": text_id(event.peer), **told}


def _decided(event: BallotDecided) -> Event:
    shown: Event = _plain(event)
    return shown | {"certificate": {"bytes": len(event.certificate)}}


def _blob(event: Any) -> Event:
    """A name as people type it; the number is only of its desk."""
    shown: Event = _plain(event)
    shown.pop("number", None)
    return shown | {"blob": event.blob.hex()}


_SHAPES: dict[type[msgspec.Struct], Callable[[Any], Event]] = {
    BallotDecided: _decided,
    **dict.fromkeys((BlobCollected, BlobDamaged, BlobFetched, BlobKept, BlobNotFetched), _blob),
    TasksAccepted: _accepted,
    AttemptsStarted: _started,
    AttemptsRan: _ran,
    AttemptsFailed: _failed,
    TasksSettled: _settled,
    TaskProgressed: _progressed,
    CredentialRenewed: _renewed,
}


_BATCHES: dict[type[msgspec.Struct], str] = {
    TasksAccepted: "tasks",
    AttemptsStarted: "attempts",
    AttemptsRan: "attempts",
    AttemptsFailed: "attempts",
    TasksSettled: "settled",
}
"""The field of an event that names many tasks."""


def pieces(event: msgspec.Struct) -> Sequence[msgspec.Struct]:
    """An event of many tasks as several, none of more than `TASKS_NAMED_LIMIT`."""
    field = _BATCHES.get(type(event))
    many = getattr(event, field) if field else ()
    if field is None or len(many) <= TASKS_NAMED_LIMIT:
        return (event,)
    starts = range(0, len(many), TASKS_NAMED_LIMIT)
    return [
        msgspec.structs.replace(event, **{field: many[start : start + TASKS_NAMED_LIMIT]})
        for start in starts
    ]


class EventLog:
    """Appends events to a peer's ``events.jsonl``, which is bounded."""

    def __init__(self, path: Path, peer: str, wall_ns: Callable[[], int]) -> None:
        """Takes the file, the peer's name, and the wall clock."""
        self._path = path
        self._peer = peer
        self._wall_ns = wall_ns
        self._file = self._open()
        self._size = path.stat().st_size
        self._lost = 0
        self._torn = False
        self._noted: list[tuple[int, msgspec.Struct]] = []
        self._has_noted = trio.Event()
        self._grown = trio.Event()
        self.appended = 0
        """How often something was appended; see `grown`."""

    async def grown(self) -> None:
        """Waits until something is appended."""
        await self._grown.wait()

    def note(self, event: msgspec.Struct) -> None:
        """Appends an event of the core soon, with the time that it is now; answers are none."""
        if type(event) in ANSWERS:
            return
        self._noted.append((self._wall_ns(), event))
        if len(self._noted) >= NOTED_LIMIT:
            self.write_noted()
        self._has_noted.set()

    async def run(self) -> None:
        """Writes what was noted until cancelled."""
        while True:
            await self._has_noted.wait()
            await trio.sleep(DELAY_S)
            self._has_noted = trio.Event()
            self.write_noted()

    def write_noted(self) -> None:
        """Writes at once what was noted."""
        noted, self._noted = self._noted, []
        if noted:
            lines = [
                self._line(public(piece), wall_ns)
                for wall_ns, event in noted
                for piece in pieces(event)
            ]
            self._append(lines)

    def write(self, event: Event) -> None:
        """Appends one event at once, after those that were noted before."""
        self.write_noted()
        self._append([self._line(event, self._wall_ns())])

    def _append(self, lines: Sequence[bytes]) -> None:
        """Appends lines in one write.

        Where the disk refuses, they are lost and the peer goes on: what must not
        be lost is in the journal. The next event that is taken follows a
        ``log.lost`` with how many were not.
        """
        data = b"".join(lines)
        if self._lost:
            lost = self._line({"event": "log.lost", "count": self._lost}, self._wall_ns())
            data = (b"\n" if self._torn else b"") + lost + data
        try:
            if self._size + len(data) > ROTATE_BYTES:
                self._rotate()
            written = os.write(self._file, data)
        except OSError:
            self._lost += len(lines)
            return
        self._size += written
        self.appended += 1
        if self._grown.statistics().tasks_waiting:
            self._grown.set()
            self._grown = trio.Event()
        if written == len(data):
            self._lost, self._torn = 0, False
        else:
            # How many of them were whole is not worth counting.
            self._lost, self._torn = self._lost + len(lines), True

    def close(self) -> None:
        """Writes what was noted, and closes the file."""
        self.write_noted()
        os.close(self._file)

    def _line(self, event: Event, wall_ns: int) -> bytes:
        line = {"time": round(wall_ns / SECOND_NS, 6), "peer": self._peer, **event}
        return msgspec.json.encode(line) + b"\n"

    def _rotate(self) -> None:
        self._path.replace(self._path.with_suffix(".1.jsonl"))
        full, self._file, self._size = self._file, self._open(), 0
        os.close(full)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
