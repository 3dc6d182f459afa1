"""The verbs for blobs: blob put, get, ls, rm."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.inputs import parse_json
from mesh.cli.options import DirOption, JsonOption, finite
from mesh.cli.output import FAILED, USAGE, fail, print_json, print_table, say

if TYPE_CHECKING:
    from mesh.client import Client
    from mesh.local.blob_requests import BlobRef

NAME_DIGITS = 64
KNOWN_FAULTS = {
    "TooLarge": "",
    "QuotaExceeded": "; `mesh blob ls` shows what is there, `mesh up --blobs` gives more room",
    "NoHolder": "; was it removed, or its peer's disk lost?",
    "HolderAway": "; `mesh peers` shows who is away",
    "UnknownBlob": "",
}

RefArgument = Annotated[
    str, typer.Argument(metavar="REF", help="A blob's name, or what `put --json` printed.")
]
PeerOption = Annotated[
    str, typer.Option("--peer", metavar="PEER", help="The local peer to ask; else any that runs.")
]


def put(
    file: Annotated[str, typer.Argument(metavar="FILE", help="- reads stdin.")],
    peer: PeerOption = "",
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a file, to 64 MiB, and print its name. It stays until it is removed."""
    content: Any = sys.stdin.buffer.read() if file == "-" else Path(file)
    if file != "-" and not Path(file).is_file():
        fail(f"there is no file {file}", USAGE)
    with _client(at, peer) as client:
        try:
            ref = _asked(lambda: client.blobs.put(content))
        except OSError as error:
            fail(f"cannot read {file}: {error.strerror or error}", FAILED)
    if as_json:
        print_json({"blob": ref.blob, "size": ref.size, "at": ref.at})
    else:
        print(ref.blob)


def get(
    ref: RefArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else stdout.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", callback=finite, min=0, help="Seconds; 60 at first.")
    ] = 60.0,
    peer: PeerOption = "",
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Get a blob, wherever it lies. What came goes on from there when it is asked for again."""
    wanted = _ref(ref)
    if as_json and output is None:
        raise typer.BadParameter("with --json the bytes go to a file", param_hint="--output")
    with _client(at, peer) as client:
        try:
            if output is None:
                sys.stdout.buffer.write(_asked(lambda: client.blobs.get(wanted, wait=wait)))
                sys.stdout.buffer.flush()
                return
            target = output
            show = _shown if sys.stderr.isatty() else None
            size = _asked(lambda: client.blobs.save(wanted, target, wait=wait, progress=show))
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            fail(f"cannot write {output}: {error.strerror or error}", FAILED)
    if as_json:
        print_json({"blob": wanted.blob, "size": size, "file": str(output)})
    else:
        say(f"{size} bytes in {output}")


def ls(peer: PeerOption = "", at: DirOption = None, as_json: JsonOption = False) -> None:
    """List the blobs that local peers hold, and how much room that takes."""
    rows, uses = [], []
    for name, client in _running(at, peer):
        with client:
            use = client.blobs.ls()
        uses.append(f"{name}: {use.used} of {use.quota} bytes")
        rows += [
            {"peer": name, "blob": row.blob, "size": row.size, "kept": row.kept}
            for row in use.blobs
        ]
    if as_json:
        for told in rows:
            print_json(told)
        return
    shown = [{**told, "kept": "put here" if told["kept"] else "a copy"} for told in rows]
    print_table(shown, ["peer", "blob", "size", "kept"])
    for line in uses:
        say(line)


def rm(
    ref: RefArgument, peer: PeerOption = "", at: DirOption = None, as_json: JsonOption = False
) -> None:
    """Remove a blob from the disks of all local peers, or of one. Status 1 where none has it."""
    from mesh.client import Refused

    wanted = _ref(ref)
    removed: list[str] = []
    for name, client in _running(at, peer):
        with client:
            try:
                if client.blobs.rm(wanted):
                    removed.append(name)
            except Refused as error:
                if error.kind != "UnknownBlob":
                    raise
    if as_json:
        print_json({"blob": wanted.blob, "removed": removed})
    elif removed:
        print(f"removed from {', '.join(removed)}")
    if not removed:
        if not as_json:
            say(f"mesh: no local peer that runs has {wanted.blob}")
        raise SystemExit(FAILED)


def _asked(ask: Any) -> Any:
    from mesh.client import Refused

    try:
        return ask()
    except Refused as error:
        if error.kind not in KNOWN_FAULTS:
            raise
        fail(f"{error.message}{KNOWN_FAULTS[error.kind]}", FAILED)


def _client(at: Path | None, peer: str) -> "Client":
    from mesh.client import Client

    if not peer:
        return Client(dir=at)
    return next(client for _, client in _running(at, peer))


def _running(at: Path | None, peer: str) -> list[tuple[str, "Client"]]:
    """The local peers that answer, or the one that is named, each with a client of its own."""
    from mesh.client import Client, NoPeer
    from mesh.local.discovery import find_folder, sockets

    found = sockets(find_folder(at))
    named = [(name, path) for name, path in found if peer in ("", name)]
    if not named:
        known = ", ".join(name for name, _ in found) or "none"
        fail(f"no local peer is named {peer!r}; there are: {known}", USAGE)
    clients = []
    for name, path in named:
        try:
            clients.append((name, Client(address=path)))
        except NoPeer:
            if peer:
                raise
    if not clients:
        raise NoPeer("no peer of this mesh runs; `mesh up` starts them")
    return clients


def _ref(text: str) -> "BlobRef":
    from mesh.local.blob_requests import ref_of

    try:
        given = ref_of(parse_json(text) if text.startswith("{") else text)
    except (ValueError, TypeError) as error:
        raise typer.BadParameter(str(error), param_hint="REF") from None
    if len(given.blob) != NAME_DIGITS or not all(c in "0123456789abcdef" for c in given.blob):
        raise typer.BadParameter("a blob's name has 64 hexadecimal digits", param_hint="REF")
    return given


def _shown(have: int, size: int) -> None:
    """Progress, for a terminal."""
    end = "\n" if have == size and size else ""
    sys.stderr.write(f"\r{have // 1024} of {size // 1024} KiB{end}")
    sys.stderr.flush()
