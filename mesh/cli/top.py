"""The verb top: the local peers at a glance, again and again."""

import contextlib
import os
import select
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.options import DirOption, JsonOption, finite
from mesh.cli.output import NO_PEER, fail, line_of, print_json

MEDIAN_OVER_S = 10.0
ASK_S = 0.5
WARNINGS_KEPT = 50
MIB = 1024 * 1024
WIDE = 1000
NAME_COLUMNS = 8
TABLE_COLUMNS = 78
"""Of a table with names of that width; where there is room for more, names have it."""
COLUMNS = (
    ("name", "PEER", NAME_COLUMNS), ("state", "STATE", 7), ("load_ms", "LOAD", 7),
    ("busy", "SLOTS", 7), ("waiting", "QUEUE", 6), ("open", "OPEN", 6),
    ("done_per_s", "TASKS/S", 7), ("p50_ms", "P50", 8), ("cpu_percent", "CPU", 5),
    ("memory_mb", "MEMORY", 8),
)  # fmt: skip
HELP = "q or Ctrl-C ends"


def top(
    interval: Annotated[
        float,
        typer.Option(
            "--interval", callback=finite, min=0.1, max=60, help="Seconds between two looks."
        ),
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, over one interval.")] = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch the local peers: state, slots, queue, tasks a second, latency, memory, processor."""
    from mesh.local.discovery import find_folder

    watch = Watch(find_folder(at))
    try:
        if once or as_json or not sys.stdout.isatty():
            _plain(watch, interval, once, as_json)
        else:
            _live(watch, interval)
    except KeyboardInterrupt:
        # Asked to end, it has done what it was there for.
        return
    finally:
        watch.close()


class Watch:
    """Looks at the peers of a folder, and at what they wrote since the look before."""

    def __init__(self, folder: Path) -> None:
        from mesh.local.discovery import read_mesh
        from mesh.telemetry.measures import Gauge
        from mesh.telemetry.reading import Following
        from mesh.telemetry.telling import Names
        from mesh.telemetry.usage import processes

        self._folder = folder
        self._following = Following(folder, only_events=True)
        self._gauge = Gauge()
        self._names = Names({entry.id: entry.name for entry in read_mesh(folder).peers})
        self._at = time.monotonic()
        self._ended: dict[str, int] = {}
        self._processes = processes()
        self.warnings: deque[str] = deque(maxlen=WARNINGS_KEPT)

    def close(self) -> None:
        """Lets files go."""
        self._following.close()

    def look(self) -> list[dict[str, Any]]:
        """A row for each peer: those of this folder, then members elsewhere."""
        from mesh.local.discovery import read_mesh
        from mesh.telemetry.usage import processes

        self._read()
        before, self._processes = self._processes, processes()
        now = time.monotonic()
        elapsed, self._at = max(1e-6, now - self._at), now
        rows: list[dict[str, Any]] = []
        members: dict[str, dict[str, Any]] = {}
        for entry in read_mesh(self._folder).peers:
            row, seen = self._row(entry, before, elapsed)
            rows.append(row)
            members.update((member["id"], member) for member in seen)
        known = {row["id"]: row for row in rows}
        for member in sorted(members.values(), key=lambda member: str(member["name"])):
            row = known.get(member["id"]) or _row_of(member["name"], member["id"], member["state"])
            row["load_ms"] = member["load_ms"]
            if member["id"] not in known:
                rows.append(row)
        return rows

    def _read(self) -> None:
        from mesh.telemetry.telling import clock, told

        for entry in self._following.read():
            self._gauge.take(entry)
            if entry.level not in ("debug", "info"):
                text = f"{clock(entry.time)}  {entry.writer:8}  {told(entry, self._names)}"
                self.warnings.append(line_of(text))

    def _row(
        self, entry: Any, before: dict[int, Any], elapsed: float
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        from mesh.local.ask import NoAnswer, QuestionRefused, ask
        from mesh.local.discovery import running_pid
        from mesh.runtime.launcher import is_paused
        from mesh.telemetry.usage import of_tree

        row = _row_of(entry.name, entry.id, "down")
        pid = running_pid((self._folder / entry.pid_file).parent)
        measures = self._gauge.of(entry.name)
        ended = measures.ended
        row["done_per_s"] = (ended - self._ended.get(entry.name, 0)) / elapsed
        self._ended[entry.name] = ended
        median_s = measures.median_s(time.time() - MEDIAN_OVER_S)
        row["p50_ms"] = None if median_s is None else median_s * 1000
        if pid is None:
            return row, []
        usage = of_tree(pid, self._processes)
        row["memory_mb"] = usage.memory / MIB
        row["cpu_percent"] = max(0.0, usage.cpu_s - of_tree(pid, before).cpu_s) / elapsed * 100
        try:
            status = ask(Path(entry.socket), "status", timeout_s=ASK_S)
        except (NoAnswer, QuestionRefused):
            row["state"] = "paused" if pid and is_paused(pid) else "silent"
            return row, []
        row["state"] = status["state"]
        row.update(status.get("work", {}))
        return row, status["members"]


def _row_of(name: str, peer: str, state: str) -> dict[str, Any]:
    keys = ("load_ms", "slots", "running", "waiting", "open", "done_per_s", "p50_ms")
    row: dict[str, Any] = {"name": name, "id": peer, "state": state, **dict.fromkeys(keys)}
    return {**row, "memory_mb": None, "cpu_percent": None}


def _plain(watch: Watch, interval: float, once: bool, as_json: bool) -> None:
    while True:
        time.sleep(interval)
        rows = watch.look()
        if as_json:
            for row in rows:
                print_json(row)
        else:
            # Nothing is cut where nobody says how much room there is.
            for line in table(rows, WIDE):
                print(line, flush=True)
        if once:
            if all(row["state"] == "down" for row in rows):
                fail("no peer runs: `mesh up` starts them", NO_PEER)
            return


def table(rows: list[dict[str, Any]], columns: int = TABLE_COLUMNS) -> list[str]:
    """The rows as columns of fixed width, 78 characters in all where names are short."""
    longest = max((len(str(row["name"])) for row in rows), default=0)
    more = max(0, min(longest - NAME_COLUMNS, columns - TABLE_COLUMNS))
    heading = _line({key: title for key, title, _ in COLUMNS}, more)
    return [heading, *(_line({key: _cell(key, row) for key, *_ in COLUMNS}, more) for row in rows)]


def _line(cells: dict[str, str], more: int) -> str:
    shown = []
    for key, _, least in COLUMNS:
        width = least + more if key == "name" else least
        text = cells[key][:width]
        shown.append(f"{text:<{width}}" if key in ("name", "state") else f"{text:>{width}}")
    return " ".join(shown).rstrip()


def _cell(key: str, row: dict[str, Any]) -> str:
    if key == "busy":
        return f"{row['running']}/{row['slots']}" if row["slots"] is not None else ""
    value = row[key]
    if value is None:
        return ""
    match key:
        case "load_ms" | "p50_ms":
            return _duration(float(value))
        case "done_per_s":
            return f"{value:.1f}" if value < 100 else f"{value:.0f}"
        case "cpu_percent":
            return f"{value:.0f}%"
        case "memory_mb":
            return f"{value:.0f} MB"
        case _:
            return str(value)


def _duration(ms: float) -> str:
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 10_000 else f"{ms / 1000:.0f} s"


def drawn(rows: list[dict[str, Any]], warnings: list[str], columns: int, height: int) -> list[str]:
    """One screen: the table, a sum, and as many of the last warnings as there is room for."""
    alive = sum(row["state"] == "alive" for row in rows)
    rate = sum(row["done_per_s"] or 0 for row in rows)
    head = f"{alive} of {len(rows)} alive, {rate:.1f} tasks/s"
    room = columns - len(head)
    lines = [f"{head}{HELP:>{room}}" if room > len(HELP) else head, "", *table(rows, columns)]
    room = height - len(lines) - 2
    if warnings and room > 0:
        lines += ["", *warnings[-room:]]
    return [line_of(line[:columns]) for line in lines[:height]]


def _live(watch: Watch, interval: float) -> None:
    with _screen() as is_ended:
        while True:
            columns, height = shutil.get_terminal_size()
            lines = drawn(watch.look(), list(watch.warnings), columns, height)
            text = "\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J"
            sys.stdout.write(text)
            sys.stdout.flush()
            if is_ended(interval):
                return


@contextlib.contextmanager
def _screen() -> Iterator[Any]:
    """A screen of its own, and keys as they are pressed; both given back at the end."""
    import termios
    import tty

    keys = sys.stdin.fileno() if sys.stdin.isatty() else -1
    before = termios.tcgetattr(keys) if keys >= 0 else None

    def is_ended(wait_s: float) -> bool:
        if keys < 0:
            time.sleep(wait_s)
            return False
        ready, _, _ = select.select([keys], [], [], wait_s)
        return bool(ready) and os.read(keys, 64) in (b"q", b"Q", b"", b"\x04")

    sys.stdout.write("\x1b[?1049h\x1b[?25l")
    try:
        if keys >= 0:
            tty.setcbreak(keys)
        yield is_ended
    finally:
        if before is not None:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
        sys.stdout.write("\x1b[?25h\x1b[?1049l")
        sys.stdout.flush()
