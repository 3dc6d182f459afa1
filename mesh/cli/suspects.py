"""Who signed against itself, as the peers of a folder know it: `mesh peers --suspects`."""

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mesh.cli.output import NO_PEER, fail, print_json, print_table

ASK_S = 2.0


def suspects(told: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """What peers' statuses say of suspects, each offence once, by name.

    Args:
        told: the name of each peer that answered, and its status.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, status in told:
        for row in status.get("suspects", ()):
            known = found.setdefault((row["id"], row["offence"]), {**row, "known_to": []})
            known["known_to"].append(name)
            since = [each for each in (known["since"], row["since"]) if each is not None]
            known["since"] = min(since, default=None)
    rows = sorted(found.values(), key=lambda row: (row["name"], row["offence"]))
    return [{**row, "known_to": ", ".join(row["known_to"])} for row in rows]


def show_suspects(folder: Any, as_json: bool) -> None:
    """Asks every local peer of a `MeshFolder` that runs, and prints what they know."""
    from mesh.local.ask import NoAnswer, QuestionRefused, ask

    told = []
    for entry in folder.peers():
        if folder.peer_folder(entry.name).running_pid() is None:
            continue
        try:
            told.append((entry.name, ask(Path(entry.socket), "status", timeout_s=ASK_S)))
        except (NoAnswer, QuestionRefused):
            continue
    rows = suspects(told)
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        shown = [{**row, "since": _at(row["since"])} for row in rows]
        print_table(shown, ["name", "id", "offence", "since", "known_to"])
    elif told:
        print("nobody signed against itself, as far as these peers know")
    if not told:
        fail("no peer answers: `mesh up` starts them again", NO_PEER)


def _at(since: float | None) -> str:
    if since is None:
        return ""
    moment = datetime.datetime.fromtimestamp(since, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
