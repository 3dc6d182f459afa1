"""The verb that replaces agents while their peers run."""

import contextlib
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.options import DirOption, JsonOption
from mesh.cli.output import FAILED, NO_PEER, TIMED_OUT, USAGE, fail, print_json, say
from mesh.local.discovery import PeerEntry

MARGIN_S = 10.0
LOOK_S = 0.5
"""How often files are looked at with `--watch`."""


def reload(
    peer: Annotated[
        str | None, typer.Argument(metavar="[PEER]", help="The peer whose agents are replaced.")
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--all", help="All running peers of the folder, one after the other.")
    ] = False,
    file: Annotated[
        Path | None,
        typer.Option("--agents", metavar="FILE", help="This agent file alone; else all of them."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and replace whenever a file changes.")
    ] = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace agents by what their files say now; what runs is finished by the old ones.

    A file that cannot be used leaves its old agent as it is, and ends the round.
    """
    from mesh.local.discovery import find_folder
    from mesh.runtime import launcher
    from mesh.storage.folder import MeshFolder

    if (peer is None) != everywhere:
        fail("say whose agents to replace: a peer's name, or --all", USAGE)
    folder = MeshFolder.open(find_folder(at))
    runs = launcher.running(folder)
    names = [folder.peer(peer).name] if peer is not None else list(runs)
    if not names or names[0] not in runs:
        fail(f"{f'{peer} does not run' if peer else 'no peer runs'}: `mesh up` starts it", NO_PEER)
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(folder, names, file, as_json)
    else:
        kept = _round([folder.peer(name) for name in names], file, as_json)
        if kept:
            fail(kept, FAILED)


def _round(entries: list[PeerEntry], file: Path | None, as_json: bool) -> str:
    """Replaces at one peer after the other; says why it ended early, or ""."""
    for entry in entries:
        rows = _reload(entry, file)
        for row in rows:
            _say(entry.name, row, as_json)
        if not all(row["replaced"] for row in rows):
            return f"{entry.name} goes on with the agents it had; no further peer was asked"
    return ""


def _watch(folder: Any, names: list[str], file: Path | None, as_json: bool) -> None:
    """Replaces what changed, until no peer runs."""
    from mesh.runtime import launcher

    seen: dict[Path, tuple[int, int]] | None = None
    while running := [folder.peer(name) for name in names if name in launcher.running(folder)]:
        runs = {Path(target): None for entry in running for target in entry.agents}
        now = _stamps([path for path in runs if file is None or path == file.resolve()])
        if seen is None:
            say(f"watching {', '.join(map(str, now)) or 'nothing'}; Ctrl-C ends it")
        for path in [path for path in now if seen is not None and seen.get(path) != now[path]]:
            concerned = [entry for entry in running if str(path) in entry.agents]
            kept = _round(concerned, path, as_json)
            if kept:
                say(kept)
        seen = {**(seen or {}), **now}
        time.sleep(LOOK_S)
    say("all peers have ended")


def _stamps(files: list[Path]) -> dict[Path, tuple[int, int]]:
    """When each file changed last, and its size; one that is just being replaced is left out."""
    stamps = {}
    for path in files:
        with contextlib.suppress(OSError):
            status = path.stat()
            stamps[path] = (status.st_mtime_ns, status.st_size)
    return stamps


def _reload(entry: PeerEntry, file: Path | None) -> list[dict[str, Any]]:
    from mesh.local.ask import NoAnswer, QuestionRefused, ask
    from mesh.runtime.replacing import REPLACE_S

    wanted = "" if file is None else str(file.resolve())
    within_s = REPLACE_S * max(1, len(entry.agents)) + MARGIN_S
    try:
        rows: list[dict[str, Any]] = ask(
            Path(entry.socket), "reload", {"file": wanted}, timeout_s=within_s
        )
    except NoAnswer as error:
        fail(f"{entry.name}: {error}", NO_PEER if error.refused else TIMED_OUT)
    except QuestionRefused as error:
        fail(f"{entry.name}: {error}", FAILED)
    if not rows:
        what = f"the agent file {file}" if file is not None else "any agent file"
        fail(f"{entry.name} does not run {what}", USAGE)
    return rows


def _say(name: str, row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"peer": name, **row})
        return
    if row["replaced"]:
        print(f"{name}: replaced {row['target']}")
    else:
        say(f"{name}: {row['target']} stays as it was: {row['error']}")
    if row["kept"]:
        say(
            f"{name}: {', '.join(row['kept'])} run in the peer itself and stay as they were; "
            "`mesh kill` and `mesh up` start it anew"
        )
