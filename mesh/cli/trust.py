"""The verbs for who may take part: revoke, renew, issuer; and drain."""

import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from mesh.cli.options import DirOption, JsonOption, RoleOption, finite
from mesh.cli.output import FAILED, NO_PEER, TIMED_OUT, fail, print_json, print_table, say

PeerOrId = Annotated[
    str | None, typer.Argument(metavar="PEER", help="A peer's name or id, or an issuer's id.")
]
ASK_S = 10.0
RENEW_S = 60.0
DRAIN_S = 600.0
LOOK_S = 0.2
ID_SHOWN = 8


def revoke(
    peer: PeerOrId = None,
    serial: Annotated[
        int | None, typer.Option("--serial", metavar="N", min=1, help="One credential, by number.")
    ] = None,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Told to everybody, the peer included.")
    ] = "",
    root_key: Annotated[
        Path | None, typer.Option("--root-key", metavar="FILE", help="Sign as the root.")
    ] = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a peer or an issuer, for ever: links end at once, and every peer hears of it."""
    from mesh.cli.electors import take_off
    from mesh.storage import authorities
    from protocols.identity import peer_of_text, text_id

    if (peer is None) == (serial is None):
        raise typer.BadParameter("name a PEER, or a credential by --serial")
    folder = open_folder(at)
    entry, told = some_peer(folder, avoid=peer)
    subject = peer_of_text(id_of(entry, peer)) if peer is not None else b""
    issuers = {issuer["id"] for issuer in told["issuers"]} | authorities.issuers_here(folder)
    is_issuer = bool(subject) and text_id(subject) in issuers
    if is_issuer or root_key is not None:
        signer = authorities.root(folder, root_key)
    else:
        signer = authorities.issuer(folder, told["issuers"])
    electors = _electors_known(entry)
    replaced = is_issuer and text_id(subject) in authorities.issuers_here(folder)
    if replaced:
        # The peers of this folder change over first, so that none of them is cut off.
        authorities.replace_issuer(folder, signer)
        for local in running_peers(folder):
            ask_peer(local, "renew", None, RENEW_S)
    is_elector = bool(subject) and text_id(subject) in electors
    # It leaves by the log first: once it is cut off it would be one of the f until then.
    has_left = is_elector and take_off(folder, entry, root_key, text_id(subject))
    statement = signer.revocation(subject, serial or 0, reason)
    ask_peer(entry, "proclaim", {"statement": statement})
    row = {
        "id": text_id(subject) if subject else None,
        "serial": serial,
        "reason": reason,
        "elector": is_elector and not has_left,
        "left": has_left,
        "by": text_id(signer.keyring.peer),
        "issuer": is_issuer,
        "told": entry.name,
    }
    if as_json:
        print_json(row)
        return
    _tell_revoked(peer, row, len(electors))
    if replaced:
        print(f"{folder.path} has a new issuer.key, and its running peers have new credentials")


def _tell_revoked(peer: str | None, row: dict[str, Any], electors: int) -> None:
    what = f"serial {row['serial']}" if peer is None else f"{peer} ({row['id'][:ID_SHOWN]}…)"
    print(f"revoked {what}: {row['told']} spreads it; every peer that is up knows within seconds")
    if row["left"]:
        print(f"it was one of {electors} electors, and left by their log first")
    if row["elector"]:
        print(
            f"it is still one of {electors} electors, and counts as one of those that may be "
            f"faulty: `mesh electors remove {row['id']}`, or `replace`"
        )
    if row["issuer"]:
        print("it was an issuer: every credential that it signed is good no more")


def renew(
    peers: Annotated[
        list[str] | None, typer.Argument(metavar="[PEER]...", help="Local peers; else all.")
    ] = None,
    roles: RoleOption = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Get running local peers a newer credential now, from any issuer that is up.

    With --role they get that role too, by the issuer's key that is here.
    """
    folder = open_folder(at)
    entries = [folder.peer(name) for name in peers] if peers else running_peers(folder)
    for entry in entries:
        told = ask_peer(entry, "renew", {"roles": roles} if roles else None, RENEW_S)
        row = {"name": entry.name, **told}
        if as_json:
            print_json(row)
        else:
            has = ", ".join(told["roles"])
            print(f"{entry.name}: until {day(told['ends'])}, by {told['by'][:ID_SHOWN]}…, {has}")


def add_issuer(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="A member's name or id.")],
    root_key: Annotated[
        Path | None,
        typer.Option("--root-key", metavar="FILE", help="Where the root's key is, if elsewhere."),
    ] = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a peer an issuer: it renews others, invites and revokes, with its own key."""
    from mesh.storage import authorities
    from protocols.identity import peer_of_text

    folder = open_folder(at)
    entry, _ = some_peer(folder)
    found = id_of(entry, peer)
    statement, ends = authorities.root(folder, root_key).naming(peer_of_text(found))
    ask_peer(entry, "proclaim", {"statement": statement})
    if as_json:
        print_json({"id": found, "ends": ends, "told": entry.name})
    else:
        print(f"{peer} ({found[:ID_SHOWN]}…) is an issuer until {day(ends)}")


def list_issuers(at: DirOption = None, as_json: JsonOption = False) -> None:
    """Show who may sign credentials, who is revoked, and the roots."""
    folder = open_folder(at)
    entry, told = some_peer(folder)
    names = {row["id"]: row["name"] for row in ask_peer(entry, "peers", None)}
    rows = [
        {
            "id": issuer["id"],
            "name": names.get(issuer["id"]),
            "ends": issuer["ends"],
            "state": "revoked" if issuer["revoked"] else "issuer",
        }
        for issuer in told["issuers"]
    ]
    known = {row["id"] for row in rows}
    from mesh.storage import authorities

    revoked = {row["id"] for row in told["revocations"]}
    for here in sorted(authorities.issuers_here(folder) - known):
        state = "revoked" if here in revoked else "issuer"
        rows.append({"id": here, "name": "issuer.key", "ends": None, "state": state})
    rows += [
        {"id": root["id"], "name": None, "ends": root["retires"], "state": "root"}
        for root in told["roots"]
    ]
    if as_json:
        for row in rows:
            print_json(row)
        return
    shown = [
        {**row, "name": row["name"] or "", "ends": day(row["ends"]) if row["ends"] else ""}
        for row in rows
    ]
    print_table(shown, ["id", "name", "ends", "state"])


def drain(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="A local peer's name.")],
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has left.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout", callback=finite, metavar="SECONDS", min=0, help="How long to wait."
        ),
    ] = DRAIN_S,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a peer take no new work, finish what runs, and leave; then `mesh down` it."""
    folder = open_folder(at)
    entry = folder.peer(peer)
    ends = time.monotonic() + timeout
    told = ask_peer(entry, "drain", None)
    said = None
    while wait and told["state"] != "left" and time.monotonic() < ends:
        waits_for = _left_to_do(told)
        if not as_json and waits_for != said:
            say(f"{peer} drains: {waits_for}")
            said = waits_for
        time.sleep(LOOK_S)
        told = ask_peer(entry, "drain", None)
    if as_json:
        print_json({"name": peer, **told})
    elif told["state"] == "left":
        print(f"{peer} has left the mesh and can be stopped")
    else:
        print(f"{peer} drains: {_left_to_do(told)}")
    if wait and told["state"] != "left":
        fail(
            f"{peer} has not left after {timeout:g} s: {_left_to_do(told)}; it goes on draining, "
            "and what is undecided when it is stopped goes on when it is started again",
            TIMED_OUT,
        )


def _left_to_do(told: dict[str, Any]) -> str:
    parts = [] if told["idle"] else ["work still runs here"]
    if told["undecided"]:
        parts.append(f"{told['undecided']} tasks that it accepted are undecided")
    return ", ".join(parts) or "nothing is left to do"


# Asking local peers.


def open_folder(at: Path | None) -> Any:
    """The mesh folder that is meant; these verbs do not guess."""
    from mesh.local.discovery import find_folder
    from mesh.storage.folder import MeshFolder

    return MeshFolder.open(find_folder(at, guess=False))


def running_peers(folder: Any) -> list[Any]:
    """The local peers that run; where none does the verb ends."""
    from mesh.runtime.launcher import running

    runs = running(folder)
    entries = [entry for entry in folder.peers() if entry.name in runs]
    if not entries:
        _nobody_runs(folder)
    return entries


def _nobody_runs(folder: Any) -> NoReturn:
    fail(
        f"no peer of {folder.path} answers, and it takes one: start it by `mesh up` or "
        "`mesh serve`",
        NO_PEER,
    )


def some_peer(folder: Any, avoid: str | None = None) -> tuple[Any, dict[str, Any]]:
    """A local peer that answers, and what it keeps of the mesh's authorities."""
    from mesh.local.ask import NoAnswer, ask

    entries = sorted(running_peers(folder), key=lambda entry: avoid in (entry.name, entry.id))
    for entry in entries:
        try:
            told: dict[str, Any] = ask(Path(entry.socket), "trust", timeout_s=ASK_S)
        except NoAnswer:
            continue
        return entry, told
    _nobody_runs(folder)


def ask_peer(entry: Any, verb: str, arguments: Any, timeout_s: float = ASK_S) -> Any:
    """The answer of a local peer; where there is none the verb ends."""
    from mesh.local.ask import NoAnswer, QuestionRefused, ask

    try:
        return ask(Path(entry.socket), verb, arguments, timeout_s=timeout_s)
    except NoAnswer as error:
        fail(f"{entry.name} does not answer: {error}; `mesh peers` shows who runs", NO_PEER)
    except QuestionRefused as error:
        fail(f"{entry.name}: {error}", FAILED)


def _electors_known(entry: Any) -> list[str]:
    """Who decides, as far as a peer knows; to revoke must not fail because it does not yet."""
    from mesh.local.ask import NoAnswer, QuestionRefused, ask

    try:
        told: dict[str, Any] = ask(Path(entry.socket), "electorate", timeout_s=ASK_S)
    except (NoAnswer, QuestionRefused):
        return []
    electors: list[str] = told["electors"]
    return electors


def id_of(entry: Any, text: str) -> str:
    """The id behind a name or an id; a name must be one member's only."""
    from protocols.errors import ConfigurationError
    from protocols.identity import peer_of_text

    members = ask_peer(entry, "peers", None)
    found = sorted({row["id"] for row in members if text in (row["name"], row["id"])})
    if len(found) == 1:
        return str(found[0])
    if found:
        raise ConfigurationError(f"several members are called {text!r}: {', '.join(found)}")
    try:
        peer_of_text(text)
    except ValueError:
        known = ", ".join(sorted(row["name"] for row in members))
        raise ConfigurationError(
            f"no member is called {text!r}, and it is no id; there are {known}"
        ) from None
    return text


def day(wall_s: int) -> str:
    """A time as people write it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(wall_s))
