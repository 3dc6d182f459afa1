"""What the peers of a folder have written, as entries in order of their time.

Three kinds of files: a peer's events, its own log, and the output of its
workers. The last has no times in it: a line of it carries the time at which it
was seen, or, of the past, that at which its file was last written.
"""

import heapq
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mesh.local.discovery import NoMesh, read_mesh
from mesh.telemetry.files import Follower, lines_of

Event = dict[str, Any]
Needles = tuple[bytes, ...]

WARNINGS = frozenset(
    {
        "core.blamed", "core.command-refused", "gossip.member-down", "gossip.member-suspected",
        "log.lost", "recording.stopped", "tasks.attempts-failed",
    }
)  # fmt: skip
DETAILS = frozenset(
    {
        "auction.slots-granted", "auction.slots-won", "tasks.attempts-ran",
        "tasks.attempts-started", "tasks.progressed",
    }
)  # fmt: skip
LEVELS = ("debug", "info", "warning", "error", "critical")
PEER_LOG = re.compile(rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \[(\w+) *\] (.*)")
COLOURS = re.compile(rb"\x1b\[[0-9;]*m")
FOLDER_LOOK_S = 1.0


class Entry(msgspec.Struct, frozen=True):
    """One line of one file.

    Attributes:
        time: seconds since 1970, by the writer's clock.
        writer: the name of the peer whose file it is.
        event: as docs/reference/events.md describes it; of the other files
            ``peer.log`` and ``worker.output``, with a `text`.
        level: debug, info, warning, error or critical.
    """

    time: float
    writer: str
    event: Event
    level: str

    def as_json(self) -> Event:
        """One object for scripts."""
        return {"time": self.time, "writer": self.writer, "level": self.level, **self.event}


_decoder = msgspec.json.Decoder(dict[str, Any])


def event_of(line: bytes) -> Event | None:
    """The event on a line; None where it is none, as after a full disk."""
    try:
        event = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if not isinstance(event.get("time"), int | float) or not isinstance(event.get("event"), str):
        return None
    return event


def level_of(event: Event) -> str:
    """How much an event matters to somebody who reads along."""
    name = event["event"]
    if name == "agent.log":
        level = str(event.get("level", "info"))
        return level if level in LEVELS else "info"
    if name in WARNINGS:
        return "warning"
    return "debug" if name in DETAILS else "info"


class Source:
    """The files of one peer."""

    def __init__(self, writer: str, folder: Path) -> None:
        """Takes the peer's name and its folder."""
        self.writer = writer
        self.folder = folder

    def event_files(self) -> list[Path]:
        """Older events first."""
        return [self.folder / "events.1.jsonl", self.folder / "events.jsonl"]

    def outputs(self) -> list[Path]:
        """The logs of its workers as they are now."""
        return sorted(
            path for path in self.folder.glob("worker-*.log") if not path.name.endswith(".1.log")
        )

    def entry(self, line: bytes) -> Entry | None:
        """A line of the events."""
        event = event_of(line)
        if event is None:
            return None
        return Entry(float(event["time"]), self.writer, event, level_of(event))

    def logged(self, line: bytes, seen: float) -> Entry:
        """A line of the peer's own log."""
        plain = COLOURS.sub(b"", line)
        match = PEER_LOG.match(plain)
        if match is None:
            event = {"event": "peer.log", "text": plain.decode(errors="replace")}
            return Entry(seen, self.writer, event, "info")
        stamp, level, text = (part.decode(errors="replace") for part in match.groups())
        at = time.mktime(time.strptime(stamp, "%Y-%m-%d %H:%M:%S"))
        known = level if level in LEVELS else "info"
        return Entry(at, self.writer, {"event": "peer.log", "text": text}, known)

    def said(self, path: Path, line: bytes, seen: float) -> Entry:
        """A line that a worker printed."""
        agent = path.stem.removeprefix("worker-")
        text = line.decode(errors="replace")
        event = {"event": "worker.output", "agent": agent, "text": text}
        return Entry(seen, self.writer, event, "info")


def sources(folder: Path) -> list[Source]:
    """The local peers' files, in natural order of their names.

    Raises:
        NoMesh: there is no mesh in this folder.
    """
    return [
        Source(entry.name, (folder / entry.pid_file).parent) for entry in read_mesh(folder).peers
    ]


def events(folder: Path, wanted: Needles = ()) -> Iterator[Entry]:
    """All events of the past, merged by time; with `wanted`, of lines that hold one of these."""
    yield from heapq.merge(
        *(_events_of(source, wanted) for source in sources(folder)), key=_by_time
    )


def past(folder: Path, since: float = 0.0) -> Iterator[Entry]:
    """All that was written, merged by time, from `since` on."""
    streams = [_past_of(source) for source in sources(folder)]
    for entry in heapq.merge(*streams, key=_by_time):
        if entry.time >= since:
            yield entry


def _by_time(entry: Entry) -> float:
    return entry.time


def _events_of(source: Source, wanted: Needles) -> Iterator[Entry]:
    for path in source.event_files():
        for line in lines_of(path):
            if not wanted or any(needle in line for needle in wanted):
                entry = source.entry(line)
                if entry is not None:
                    yield entry


def _past_of(source: Source) -> Iterator[Entry]:
    streams: list[Iterator[Entry]] = [_events_of(source, ()), _log_of(source)]
    streams += [_output_of(source, path) for path in source.outputs()]
    yield from heapq.merge(*streams, key=_by_time)


def _log_of(source: Source) -> Iterator[Entry]:
    at = 0.0
    for line in lines_of(source.folder / "peer.log"):
        entry = source.logged(line, at)
        # The lines of a traceback belong to the one before them.
        at = entry.time
        yield entry


def _output_of(source: Source, path: Path) -> Iterator[Entry]:
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:
        return
    for line in lines_of(path):
        yield source.said(path, line, written)


class Following:
    """What peers write from now on; peers and workers that come are followed too.

    Args:
        folder: the mesh folder.
        only_events: leave out peers' logs and workers' output.
    """

    def __init__(self, folder: Path, only_events: bool = False) -> None:
        self._folder = folder
        self._only_events = only_events
        self._followers: dict[Path, tuple[Source, Follower]] = {}
        self._look_at = 0.0
        self._late: list[Entry] = []
        self._look(from_end=True)

    def read(self) -> list[Entry]:
        """What came since the call before the last one, in order of time.

        What was just read waits for one more call: another peer may have written
        earlier, and be read later.
        """
        if time.monotonic() >= self._look_at:
            self._look(from_end=False)
        fresh = self._fresh()
        edge = max((entry.time for entry in self._late), default=0.0)
        ready = self._late + [entry for entry in fresh if entry.time <= edge]
        self._late = [entry for entry in fresh if entry.time > edge]
        return sorted(ready, key=_by_time)

    def close(self) -> None:
        """Lets all files go."""
        for _, follower in self._followers.values():
            follower.close()

    def _look(self, from_end: bool) -> None:
        self._look_at = time.monotonic() + FOLDER_LOOK_S
        try:
            found = sources(self._folder)
        except NoMesh:
            return
        for source in found:
            paths = [source.folder / "events.jsonl"]
            if not self._only_events:
                paths += [source.folder / "peer.log", *source.outputs()]
            for path in paths:
                if path not in self._followers:
                    self._followers[path] = (source, Follower(path, from_end))

    def _fresh(self) -> list[Entry]:
        seen = time.time()
        found: list[Entry | None] = []
        for path, (source, follower) in self._followers.items():
            name = os.path.basename(path)
            for line in follower.read():
                if name == "events.jsonl":
                    found.append(source.entry(line))
                elif name == "peer.log":
                    found.append(source.logged(line, seen))
                else:
                    found.append(source.said(path, line, seen))
        return [entry for entry in found if entry is not None]
