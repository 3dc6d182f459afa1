"""The verb for the mesh's root: root rotate."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.durations import parse_duration
from mesh.cli.options import DirOption, JsonOption
from mesh.cli.output import print_json
from mesh.cli.trust import ID_SHOWN, RENEW_S, ask_peer, day, open_folder, running_peers, some_peer

RETIRE_AFTER = "30d"


def rotate(
    retire_after: Annotated[
        str,
        typer.Option("--retire-after", metavar="TIME", help="How long the old root counts too."),
    ] = RETIRE_AFTER,
    root_key: Annotated[
        Path | None,
        typer.Option("--root-key", metavar="FILE", help="Where the root's key is, if elsewhere."),
    ] = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the mesh a new root key: the old one signs it, and retires after a while."""
    from mesh.cli.electors import name_anew
    from mesh.storage import authorities, succession
    from protocols.errors import ConfigurationError
    from protocols.identity import text_id
    from protocols.wire import encode

    wait_s = parse_duration(retire_after)
    folder = open_folder(at)
    entry, told = some_peer(folder)
    old = authorities.root(folder, root_key)
    place = root_key or folder.root_key
    if not folder.issuer_key.exists():
        raise ConfigurationError(
            f"{folder.path} has no issuer.key, whose credential the new root signs: run this in "
            "the folder where the mesh was founded, with --root-key FILE if that key is elsewhere"
        )
    new_seed = succession.next_root(place)
    new = authorities.of_root(folder, new_seed)
    _refuse_unfit(told, text_id(old.keyring.peer), text_id(new.keyring.peer), place)
    said = succession.succession(
        old.mesh, succession.seed_of(place), new_seed, int(time.time()) + wait_s
    )
    ask_peer(entry, "proclaim", {"statement": encode(said)})
    told = ask_peer(entry, "trust", None)
    succession.keep(folder, told["successions"])
    named = _name_issuers(folder, entry, told, new)
    aside = succession.put_in_place(folder, place)
    renewed = _renew_all(folder)
    retires = next(
        row["retires"] for row in told["roots"] if row["id"] == text_id(old.keyring.peer)
    )
    row = {
        "root": text_id(new.keyring.peer),
        "predecessor": text_id(old.keyring.peer),
        "retires": retires,
        "issuers": named,
        "renewed": renewed,
        "electors_named_anew": name_anew(folder, entry, place),
        "old_key": str(aside),
        "told": entry.name,
    }
    if as_json:
        print_json(row)
    else:
        _tell(row, place)


def _renew_all(folder: Any) -> list[str]:
    """Has the peers that run here get new credentials; their names."""
    renewed = []
    for local in running_peers(folder):
        ask_peer(local, "renew", None, RENEW_S)
        renewed.append(local.name)
    return renewed


def _name_issuers(folder: Any, entry: Any, told: dict[str, Any], new: Any) -> list[str]:
    """Has the new root name whoever may sign credentials; the ids of those that were named."""
    from mesh.storage import authorities

    authorities.reissue(folder, new)
    named = [row["id"] for row in told["issuers"] if not row["revoked"]]
    for issuer in named:
        statement, _ = new.naming(authorities.key_of(issuer))
        ask_peer(entry, "proclaim", {"statement": statement})
    return named


def _refuse_unfit(told: dict[str, Any], old: str, new: str, place: Path) -> None:
    from protocols.credentials import SUCCESSIONS_LIMIT
    from protocols.errors import ConfigurationError

    roots = told["roots"]
    present = roots[-1]["id"]
    if present == new:
        return  # an interrupted run came so far
    if present != old:
        raise ConfigurationError(
            f"{place} is not the present root's key: that one is {present}, as {len(roots)} roots "
            "say that followed each other; name its file by --root-key"
        )
    if len(roots) > SUCCESSIONS_LIMIT:
        raise ConfigurationError(
            f"the root was succeeded {SUCCESSIONS_LIMIT} times, and credentials have no room for "
            "more: found a new mesh, and let its peers join there"
        )


def _tell(row: dict[str, Any], place: Path) -> None:
    print(f"the mesh's root is {row['root'][:ID_SHOWN]}…, and {place} its key")
    print(
        f"{row['predecessor'][:ID_SHOWN]}… counts until {day(row['retires'])}; its key is in "
        f"{row['old_key']}: keep it safe until then, and destroy it"
    )
    count = len(row["issuers"])
    issuers = f", and {count} issuer{'s'[: count > 1]} that had been named" if count else ""
    print(f"named anew: the issuer of this folder{issuers}")
    if row["electors_named_anew"]:
        print("the electors are the same, named by the new root")
    else:
        print("the electors have not settled yet that the new root names them: until they do, or")
        print("`mesh electors` changes them, whoever has the old key may name others")
    print(f"new credentials: {', '.join(row['renewed'])}; peers elsewhere renew by themselves")
