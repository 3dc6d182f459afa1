"""The verbs for many hosts: init, invite, join, serve."""

import os
import platform
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.options import DirOption, JsonOption, RoleOption
from mesh.cli.output import FAILED, NO_PEER, dir_words, fail, print_json, say
from mesh.cli.settings import checked_secrets
from mesh.cli.trust import ask_peer

NameOption = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="The peer's name; this host's if nothing is said."),
]
NewDirOption = Annotated[
    Path | None,
    typer.Option("--dir", metavar="FOLDER", help="The mesh folder; else $MESH_DIR, then .mesh."),
]
STDIN = "-"


def init(
    name: NameOption = None,
    mesh_name: Annotated[
        str, typer.Option("--mesh", metavar="NAME", help="What people call the mesh.")
    ] = "",
    agents: Annotated[
        list[str] | None,
        typer.Option("--agents", metavar="FILE", help="An agent file of this peer; may repeat."),
    ] = None,
    at: NewDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Found a mesh: its root key, an issuer, and this host's peer. Nothing is started."""
    from mesh.runtime.launcher import PROBE, discard, place_agents
    from mesh.storage.authority import create_mesh, enrol
    from mesh.storage.electorate import found_electorate
    from protocols.errors import ConfigurationError

    path, peer = _new_folder(at), _host_name() if name is None else name
    was_there = path.exists()
    placed = place_agents(agents or [], [peer])[peer]
    folder = create_mesh(path, mesh_name or path.absolute().parent.name)
    try:
        enrol(folder, peer, agents=placed or [PROBE])
        found_electorate(folder)
    except ConfigurationError:
        if not was_there:
            discard(path)
        raise
    entry, mesh = folder.peer(peer), folder.read()
    if as_json:
        print_json(
            {"mesh": mesh.mesh, "name": peer, "id": entry.id, "dir": str(folder.path)},
        )
        return
    print(f"founded the mesh {mesh.name!r}, {mesh.mesh}")
    print(f"in {folder.path}, with the peer {peer!r}")
    print(f"keep {folder.root_key} safe: whoever has it decides who belongs to the mesh")
    print(f"next:  mesh serve{dir_words(path)}")


def invite(
    valid: Annotated[
        str, typer.Option("--valid", metavar="TIME", help="How long, such as 90s, 15m, 2h, 7d.")
    ] = "15m",
    doors: Annotated[
        list[str] | None,
        typer.Option(
            "--door",
            metavar="HOST:PORT",
            help="Another address at which this peer's door can be reached; may repeat.",
        ),
    ] = None,
    roles: RoleOption = None,
    peer: Annotated[
        str | None, typer.Option("--peer", metavar="NAME", help="Which local peer invites.")
    ] = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a token that lets one newcomer join, once, for a short time."""
    from mesh.cli.durations import parse_duration
    from protocols.identity import peer_of_text
    from protocols.invitations.token import SECRET_BYTES, Token, encode_token, invitation_keyring

    valid_s = parse_duration(valid)
    folder = _open(at)
    entry = _inviting_peer(folder, peer)
    mesh = peer_of_text(folder.read().mesh)
    secret = os.urandom(SECRET_BYTES)  # drawn here: the peer learns the public half only
    key = invitation_keyring(secret, mesh).peer.hex()
    wanted = {"key": key, "valid_s": valid_s, "roles": roles or []}
    told = _ask_to_invite(folder, entry, wanted)
    addresses = _addresses([*(doors or []), *told["doors"]])
    door_key = bytes.fromhex(told["door_key"])
    text = encode_token(Token(mesh, door_key, secret, told["not_after"], addresses))
    if all(address.startswith("tcp://127.") for address in addresses):
        say(
            f"the door of {entry.name} is on loopback, so this token works on this machine only: "
            "see `listen` and `advertise` in docs/how-to/many-hosts.md"
        )
    if as_json:
        print_json(
            {
                "token": text,
                "mesh": folder.read().mesh,
                "doors": list(addresses),
                "not_after": told["not_after"],
                "peer": entry.name,
            }
        )
        return
    say(f"valid for {valid}, for one newcomer; on its host:  mesh join TOKEN")
    print(text)


def join(
    token: Annotated[
        str, typer.Argument(metavar="TOKEN", help="What `mesh invite` printed; - reads it.")
    ],
    name: NameOption = None,
    agents: Annotated[
        list[str] | None,
        typer.Option("--agents", metavar="FILE", help="An agent file of this peer; may repeat."),
    ] = None,
    at: NewDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make this host's keys, and get them a credential by a token. Nothing is started."""
    import trio

    from mesh.local.discovery import SeedEntry
    from mesh.runtime.joining import Joined, JoinFailed
    from mesh.runtime.joining import join as ask_to_join
    from mesh.runtime.launcher import PROBE, place_agents
    from mesh.storage.settling import Settling
    from protocols.errors import ConfigurationError
    from protocols.identity import text_id
    from protocols.invitations.token import NotAToken, decode_token

    try:
        read = decode_token(sys.stdin.read() if token == STDIN else token)
    except NotAToken as error:
        raise ConfigurationError(str(error)) from None
    path, peer = _new_folder(at), _host_name() if name is None else name
    placed = place_agents(agents or [], [peer])[peer]
    settling = Settling(path, read.mesh, peer)

    async def knock() -> Joined:
        return await ask_to_join(read, settling.keys, peer)

    try:
        joined = trio.run(knock)
    except JoinFailed as failed:
        again = ""
        if failed.is_certain:
            settling.give_up()
        else:
            again = f"\nthe keys in {path} are kept: the same command asks again as the same peer"
        status = NO_PEER if failed.kind == "nobody-answers" else FAILED
        fail(f"did not join: {failed.kind}: {failed.message}{again}", status)
    seeds = [
        SeedEntry(id=text_id(seed.peer), door=seed.door, curve=seed.curve.hex())
        for seed in joined.seeds
    ]
    folder = settling.settle(joined.chain, joined.mesh_name, seeds)
    if placed or not settling.is_readmitted:
        folder.update_peer(peer, agents=placed or [PROBE])
    _tell_joined(folder, path, peer, settling.is_readmitted, as_json)


def _tell_joined(folder: Any, path: Path, peer: str, is_readmitted: bool, as_json: bool) -> None:
    mesh, entry = folder.read(), folder.peer(peer)
    runs = bool(folder.peer_folder(peer).running_pid())
    if runs:
        # It finds what lies in its folder when it is asked to renew.
        ask_peer(entry, "renew", None)
    if as_json:
        print_json({"mesh": mesh.mesh, "name": peer, "id": entry.id, "dir": str(folder.path)})
        return
    done = "readmitted to" if is_readmitted else "joined"
    print(f"{done} the mesh {mesh.name!r}, {mesh.mesh}" if mesh.name else f"{done} {mesh.mesh}")
    print(f"in {folder.path}, as the peer {peer!r}")
    if not runs:
        print(f"next:  mesh serve{dir_words(path)}")


def serve(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="A TOML file: docs/how-to/many-hosts.md."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="The address to listen on.")
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option("--advertise", metavar="HOST", help="By which others reach this host."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Which peer of the folder, if it has several."),
    ] = None,
    at: DirOption = None,
) -> None:
    """Run one peer in the foreground, for systemd, containers and terminals."""
    from mesh.local.sizes import bytes_of, worker_limit
    from mesh.runtime.launcher import place_agents
    from mesh.runtime.serve_file import ServeFile, command, read_serve_file, with_hosts
    from mesh.storage.folder import MeshFolder
    from protocols.errors import ConfigurationError

    if config is not None:
        wanted = read_serve_file(config)
        folder = MeshFolder(at or Path(wanted.dir))
        if not folder.exists():
            place = shlex.quote(str(folder.path))
            raise ConfigurationError(
                f"there is no mesh in {folder.path}: found one by `mesh init --dir {place}`, "
                f"or join one by `mesh join TOKEN --dir {place}`"
            )
    else:
        folder = _open(at)
        wanted = ServeFile(dir=str(folder.path))
    wanted = with_hosts(wanted, host or "", advertise or "")
    entries = folder.peers()
    peer = name or wanted.name or (entries[0].name if len(entries) == 1 else "")
    if not peer:
        known = ", ".join(entry.name for entry in entries) or "none"
        raise ConfigurationError(f"say which peer of {folder.path} to serve, by --name: {known}")
    folder.peer(peer)
    folder.update_peer(
        peer,
        agents=None if wanted.agents is None else place_agents(wanted.agents, [peer])[peer],
        recording_mb=wanted.recording,
        worker_memory=None if wanted.memory is None else worker_limit(wanted.memory),
        blob_quota=None if wanted.blobs is None else bytes_of(wanted.blobs),
        python=wanted.python,
        labels=wanted.labels,
        secrets=wanted.secrets and checked_secrets(Path(wanted.secrets)),
    )
    sys.stdout.flush()
    sys.stderr.flush()
    words = command(folder.path, peer, wanted.serving())
    # This process becomes the peer: who started it signals, and waits for, the right one.
    os.execv(words[0], words)  # noqa: S606  no shell is wanted


def _new_folder(at: Path | None) -> Path:
    return at or Path(os.environ.get("MESH_DIR") or ".mesh")


def _host_name() -> str:
    """This host's name as a peer may have it."""
    kept = re.sub(r"[^A-Za-z0-9._-]", "-", platform.node().partition(".")[0]).strip("-._")
    return kept[:48] or "peer"


def _open(at: Path | None) -> Any:
    from mesh.local.discovery import find_folder
    from mesh.storage.folder import MeshFolder

    return MeshFolder.open(find_folder(at, guess=False))


def _inviting_peer(folder: Any, name: str | None) -> Any:
    """The local peer that is to invite: the one that is named, or the first that runs."""
    from mesh.runtime.launcher import running
    from protocols.errors import ConfigurationError

    if not folder.issuer_key.exists():
        raise ConfigurationError(
            f"no peer of {folder.path} is an issuer, so none can invite: run `mesh invite` where "
            "the mesh was founded"
        )
    if name is not None:
        return folder.peer(name)
    runs = running(folder)
    for entry in folder.peers():
        if entry.name in runs:
            return entry
    place = shlex.quote(str(folder.path))
    fail(
        f"the peer that invites must run, and none of {folder.path} does: start it by "
        f"`mesh serve --dir {place}`, or `mesh up --dir {place}`",
        NO_PEER,
    )


def _ask_to_invite(folder: Any, entry: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    from mesh.local.ask import NoAnswer, QuestionRefused, ask

    try:
        told: dict[str, Any] = ask(Path(entry.socket), "invite", wanted, timeout_s=10.0)
    except NoAnswer as error:
        fail(
            f"the peer that invites must run, and {entry.name} does not answer ({error}): start it "
            f"by `mesh serve --dir {shlex.quote(str(folder.path))}`",
            NO_PEER,
        )
    except QuestionRefused as error:
        fail(f"{entry.name} does not invite: {error}", FAILED)
    return told


def _addresses(words: list[str]) -> tuple[str, ...]:
    """Addresses for a token, each once."""
    from mesh.runtime.sockets import Address
    from protocols.invitations.token import DOORS_LIMIT

    found: dict[str, None] = {}
    for word in words:
        text = word if "://" in word else f"tcp://{word}"
        try:
            found[str(Address.parse(text))] = None
        except ValueError:
            raise typer.BadParameter(
                f"{word[:80]!r} is not HOST:PORT", param_hint="--door"
            ) from None
    if len(found) > DOORS_LIMIT:
        raise typer.BadParameter(f"a token has room for {DOORS_LIMIT} addresses, not {len(found)}")
    return tuple(found)
