"""The verb doctor: is this machine, this folder and this mesh as it should be?"""

import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mesh.cli.diagnosis import Finding
from mesh.cli.options import DirOption, JsonOption
from mesh.cli.output import FAILED, line_of, print_json

MARKS = {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}
COLOURS = {"warning": "\x1b[33m", "problem": "\x1b[31m"}
MARK_WIDTH = 7
INDENT = " " * (MARK_WIDTH + 2)


def doctor(at: DirOption = None, as_json: JsonOption = False) -> None:
    """Look for what is wrong, or soon will be; says why, and what to try.

    Works without a running mesh, and without any. Status 1 where there is a problem.
    """
    counts = dict.fromkeys(MARKS, 0)
    for finding in examine(at):
        counts[finding.level] += 1
        if as_json:
            print_json(msgspec.to_builtins(finding))
        else:
            for line in told(finding, shutil.get_terminal_size().columns):
                print(_coloured(finding.level, line_of(line)))
    if not as_json:
        print(summed(counts))
    if counts["problem"]:
        raise SystemExit(FAILED)


def examine(at: Path | None) -> Iterator[Finding]:
    """Everything that is looked at, in the order in which it is told.

    Raises:
        NoMesh: a folder was named, and holds no mesh.
    """
    from mesh.cli import doctor_live, doctor_machine, doctor_mesh
    from mesh.local.discovery import find_folder
    from mesh.local.errors import NoPeer
    from mesh.storage.folder import MeshFolder

    try:
        path = find_folder(at)
    except NoPeer as error:
        if at is not None:
            raise
        yield from doctor_machine.look(Path.cwd(), 1, True)
        yield Finding(
            "mesh", "folder", "warning", str(error).partition("\n")[0],
            "only this machine could be looked at", "name a mesh folder by --dir",
        )  # fmt: skip
        return
    folder = MeshFolder.open(path)
    peers = doctor_live.ask_all(folder)
    yield from doctor_machine.look(path, _size_of(peers), not doctor_live.elsewhere(peers))
    yield from doctor_mesh.look(folder)
    yield from doctor_live.look(folder, peers)


def _size_of(peers: list[Any]) -> int:
    """How many members the mesh has, as far as anybody here knows."""
    return max([len(peers), *(len(peer.status.get("members", ())) + 1 for peer in peers)])


def told(finding: Finding, columns: int) -> list[str]:
    """A finding in lines no longer than the terminal is wide."""
    width = max(40, columns)
    first = f"{MARKS[finding.level]:{MARK_WIDTH}}  {finding.check}: {finding.subject}: "
    lines = textwrap.wrap(
        first + finding.found, width, subsequent_indent=INDENT, break_on_hyphens=False
    )
    for word, text in (("why", finding.why), ("try", finding.remedy)):
        if text:
            lines += textwrap.wrap(
                f"{word}  {text}",
                width,
                initial_indent=INDENT,
                subsequent_indent=f"{INDENT}     ",
                break_on_hyphens=False,
            )
    return lines


def summed(counts: dict[str, int]) -> str:
    """The last line."""
    problems, warnings = counts["problem"], counts["warning"]
    if not problems and not warnings:
        return f"all {counts['ok']} findings are as they should be"
    return (
        f"{problems} problem{'s'[: problems != 1]}, {warnings} warning{'s'[: warnings != 1]}, "
        f"{counts['ok']} ok"
    )


def _coloured(level: str, line: str) -> str:
    colour = COLOURS.get(level, "") if sys.stdout.isatty() else ""
    if not colour or not line.startswith(MARKS[level]):
        return line
    return f"{colour}{line[:MARK_WIDTH]}\x1b[0m{line[MARK_WIDTH:]}"
