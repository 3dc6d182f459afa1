"""The verb logs: what all local peers write, merged by time, and followed."""

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.options import DirOption, JsonOption
from mesh.cli.output import line_of, print_json

POLL_S = 0.2
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LINES = ("peer", "peer.log", "worker", "worker.output")
"""Kinds that are no events: a peer's own log, and what its workers print."""
COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m", "debug": "\x1b[2m"}


def logs(
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what comes; Ctrl-C ends it.")
    ] = False,
    peer: Annotated[
        list[str] | None, typer.Option("--peer", help="Only of this peer; may repeat.")
    ] = None,
    task: Annotated[str, typer.Option("--task", help="Only what names this task.")] = "",
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only events of this name or group, as tasks; may repeat."),
    ] = None,
    level: Annotated[
        str, typer.Option("--level", help="At least debug, info, warning, error or critical.")
    ] = "debug",
    since: Annotated[
        str, typer.Option("--since", metavar="10m", help="Only so recent: s, m, h or d.")
    ] = "",
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the local peers and their workers wrote, merged by time.

    With -f and without --since it begins with what comes now.
    """
    from mesh.local.discovery import find_folder, read_mesh
    from mesh.telemetry import reading
    from mesh.telemetry.telling import Names

    folder = find_folder(at)
    known = read_mesh(folder).peers
    _refuse_unknown(peer or [], [entry.name for entry in known])
    if level not in reading.LEVELS:
        raise typer.BadParameter(
            f"{level!r} is no level; there are {', '.join(reading.LEVELS)}", param_hint="--level"
        )
    for each in kind or []:
        _check_kind(each)
    wanted = _Wanted(peer or [], task, kind or [], reading.LEVELS.index(level))
    show = _Shown(Names({entry.id: entry.name for entry in known}), as_json, follow)
    try:
        _run(folder, wanted, show, _seconds(since), follow)
    except KeyboardInterrupt:
        # Asked to end, it has done what it was there for.
        return


def _run(
    folder: Path, wanted: "_Wanted", show: "_Shown", since: float | None, follow: bool
) -> None:
    from mesh.telemetry import reading

    # Before the past is read, so that nothing is missed in between.
    following = reading.Following(folder) if follow else None
    if since is not None or not follow:
        begin = time.time() - since if since is not None else 0.0
        for entry in reading.past(folder, begin):
            if wanted.takes(entry):
                show(entry)
    while following is not None:
        for entry in following.read():
            if wanted.takes(entry):
                show(entry)
        time.sleep(POLL_S)


def _check_kind(kind: str) -> None:
    from mesh.runtime.event_kinds import check_kind
    from protocols.errors import Refused

    if kind in LINES:
        return
    try:
        check_kind(kind)
    except Refused as error:
        raise typer.BadParameter(
            f"{error.message}; and there are peer.log and worker.output", param_hint="--kind"
        ) from None


def _refuse_unknown(wanted: list[str], known: list[str]) -> None:
    for name in wanted:
        if name not in known:
            raise typer.BadParameter(
                f"no peer of this folder is named {name!r}; there are {', '.join(known) or 'none'}",
                param_hint="--peer",
            )


def _seconds(text: str) -> float | None:
    """What ``10m`` means; None for nothing."""
    if not text:
        return None
    number, unit = (text[:-1], UNITS.get(text[-1])) if text[-1] in UNITS else (text, 1)
    try:
        value = float(number)
    except ValueError:
        value = -1
    if unit is None or not 0 <= value < float("inf"):
        raise typer.BadParameter(
            f"{text!r} is no duration; write 30s, 10m, 2h or 1d", param_hint="--since"
        )
    return value * unit


class _Wanted:
    """Which entries are asked for."""

    def __init__(self, peers: list[str], task: str, kinds: list[str], level: int) -> None:
        self._peers = peers
        self._task = task
        self._kinds = kinds
        self._level = level

    def takes(self, entry: Any) -> bool:
        from mesh.telemetry.reading import LEVELS

        if self._peers and entry.writer not in self._peers:
            return False
        if LEVELS.index(entry.level) < self._level:
            return False
        kind = entry.event["event"]
        if self._kinds and not any(
            kind == wanted or kind.startswith(f"{wanted}.") for wanted in self._kinds
        ):
            return False
        return not self._task or _names(entry.event, self._task)


def _names(value: Any, task: str) -> bool:
    """Whether an event is about a task, wherever in it the id stands."""
    if isinstance(value, dict):
        return any(_names(item, task) for item in value.values())
    if isinstance(value, list):
        return any(_names(item, task) for item in value)
    return bool(value == task)


class _Shown:
    """Prints entries: for people cut to the terminal's width, for pipes whole."""

    def __init__(self, names: Any, as_json: bool, is_live: bool) -> None:
        self._names = names
        self._is_live = is_live
        self._as_json = as_json
        self._is_terminal = sys.stdout.isatty()
        self._is_coloured = self._is_terminal and not os.environ.get("NO_COLOR")

    def __call__(self, entry: Any) -> None:
        from mesh.telemetry.telling import clock, told

        if self._as_json:
            print_json(entry.as_json())
            return
        line = line_of(f"{clock(entry.time)}  {entry.writer:8}  {told(entry, self._names)}")
        if self._is_terminal:
            width = shutil.get_terminal_size().columns
            line = line if len(line) <= width else f"{line[: width - 1]}…"
        colour = COLOURS.get(entry.level, "") if self._is_coloured else ""
        print(
            f"{colour}{line}\x1b[0m" if colour else line, flush=self._is_live or self._is_terminal
        )
