"""Structured events: what a peer did, as JSON lines, one event per batch.

The schema is documented in `docs/reference/events.md`. Events carry ids, sizes
and counts, never payloads. Each line is one write, so that what happened
before a kill can be read after it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from protocols.identity import PEER_ID_BYTES, text_id
from protocols.machine import SECOND_NS
from protocols.tasks.events import (
    AttemptsFailed,
    AttemptsStarted,
    Settled,
    TaskProgressed,
    TasksAccepted,
    TasksSettled,
)

ROTATE_BYTES = 32 * 1024 * 1024
"""Size at which ``events.jsonl`` becomes ``events.1.jsonl``, replacing the one before."""
TASKS_NAMED_LIMIT = 256
"""Task ids in one event; a longer batch names the first ones and says how many there are."""

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
        return text_id(value) if len(value) == PEER_ID_BYTES else value.hex()
    if isinstance(value, msgspec.Raw):
        return {"bytes": memoryview(value).nbytes}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _accepted(event: TasksAccepted) -> Event:
    tasks = list(event.tasks[:TASKS_NAMED_LIMIT])
    return {"skill": event.skill, "trace": event.trace, "count": len(event.tasks), "tasks": tasks}


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


_SHAPES: dict[type[msgspec.Struct], Callable[[Any], Event]] = {
    TasksAccepted: _accepted,
    AttemptsStarted: _started,
    AttemptsFailed: _failed,
    TasksSettled: _settled,
    TaskProgressed: _progressed,
}


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

    def write(self, event: Event) -> None:
        """Appends one event.

        Where the disk refuses, the event is lost and the peer goes on: what must not
        be lost is in the journal. The next event that is taken follows a
        ``log.lost`` with how many were not.
        """
        data = self._line(event)
        if self._lost:
            lost = self._line({"event": "log.lost", "count": self._lost})
            data = (b"\n" if self._torn else b"") + lost + data
        try:
            if self._size + len(data) > ROTATE_BYTES:
                self._rotate()
            written = os.write(self._file, data)
        except OSError:
            self._lost += 1
            return
        self._size += written
        if written == len(data):
            self._lost, self._torn = 0, False
        else:
            self._lost, self._torn = self._lost + 1, True

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _line(self, event: Event) -> bytes:
        line = {"time": round(self._wall_ns() / SECOND_NS, 6), "peer": self._peer, **event}
        return msgspec.json.encode(line) + b"\n"

    def _rotate(self) -> None:
        self._path.replace(self._path.with_suffix(".1.jsonl"))
        full, self._file, self._size = self._file, self._open(), 0
        os.close(full)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
