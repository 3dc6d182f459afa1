"""The verbs for who decides: electors ls, add, remove, replace, recover."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.options import DirOption, JsonOption
from mesh.cli.output import TIMED_OUT, fail, print_json, print_table
from mesh.cli.trust import ID_SHOWN, ask_peer, id_of, open_folder, running_peers, some_peer

SETTLE_S = 30.0
LOOK_S = 0.1
TAKE_OFF_S = 5.0
"""How long a revocation waits for its elector to leave by the log."""
EPOCHS_LEFT = 16
"""Epochs between the last that a survivor knows and a recovery: lists that only the lost knew."""
PROBE = "mesh/electors"
"""A key that nobody writes: it is read to see that the new electors settle something."""

THERE = ("alive", "suspect", "paused")
"""States of electors that are not lost."""

RootKey = Annotated[
    Path | None,
    typer.Option("--root-key", metavar="FILE", help="Where the root's key is, if elsewhere."),
]
Peers = Annotated[list[str], typer.Argument(metavar="PEER...", help="Names or ids.")]


def list_electors(at: DirOption = None, as_json: JsonOption = False) -> None:
    """Show who decides: the electorate of today, and what it tolerates."""
    folder = open_folder(at)
    entry, _ = some_peer(folder)
    told = ask_peer(entry, "electorate", None)
    members = {row["id"]: row for row in ask_peer(entry, "peers", None)}
    rows = [
        {
            "id": elector,
            "name": members.get(elector, {}).get("name"),
            "state": members.get(elector, {}).get("state", "unknown"),
            "epoch": told["epoch"],
            "height": told["log_height"],
        }
        for elector in told["electors"]
    ]
    if as_json:
        for row in rows:
            print_json(row)
        return
    print_table(
        [{**row, "name": row["name"] or "?", "id": f"{row['id'][:ID_SHOWN]}…"} for row in rows],
        ["name", "id", "state"],
    )
    print(
        f"epoch {told['epoch']}: {told['quorum']} of {len(rows)} settle something, "
        f"and f={told['tolerates']} may be faulty; {entry.name} has {told['log_height']} blocks "
        "of their log"
    )


def add(
    peers: Peers, root_key: RootKey = None, at: DirOption = None, as_json: JsonOption = False
) -> None:
    """Make members electors. A quorum of today's puts the new list into the log."""
    _change(at, root_key, as_json, added=peers)


def remove(
    peers: Peers, root_key: RootKey = None, at: DirOption = None, as_json: JsonOption = False
) -> None:
    """Take electors off the list, the lost and the revoked too. They stay members."""
    _change(at, root_key, as_json, removed=peers)


def replace(
    lost: Annotated[str, typer.Argument(metavar="LOST", help="An elector's name or id.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="A member's name or id.")],
    root_key: RootKey = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a member in the place of an elector that is lost for good."""
    _change(at, root_key, as_json, added=[new], removed=[lost])


def recover(
    peers: Peers, root_key: RootKey = None, at: DirOption = None, as_json: JsonOption = False
) -> None:
    """Have others decide where too many electors are lost for good to settle anything."""
    folder = open_folder(at)
    row = recover_electorate(folder, root_key, peers)
    if as_json:
        print_json(row)
        return
    print(
        f"epoch {row['epoch']}: {len(row['electors'])} electors, f={row['tolerates']}; they go on"
    )
    print(f"after block {row['height']}, and what only the lost had settled is gone")


def _change(
    at: Path | None,
    root_key: Path | None,
    as_json: bool,
    added: list[str] | None = None,
    removed: list[str] | None = None,
) -> None:
    folder = open_folder(at)
    entry, _ = some_peer(folder)
    row = change_electors(folder, entry, root_key, added or [], removed or [])
    if as_json:
        print_json(row)
        return
    n = len(row["electors"])
    print(f"epoch {row['epoch']}: {n} electors, f={row['tolerates']}, settled by {row['by']} of")
    print(f"the {row['before']} before; `mesh electors ls` shows them")


def change_electors(
    folder: Any, entry: Any, root_key: Path | None, added: list[str], removed: list[str]
) -> dict[str, Any]:
    """Signs the next electorate, has today's settle it, and waits until it has.

    Args:
        folder: where a peer of the mesh runs.
        entry: that peer.
        root_key: the file of the root's key, if it is not in the folder.
        added: names or ids of members.
        removed: names or ids of electors.

    Returns:
        What the verbs print.

    Raises:
        ConfigurationError: the key is not there, or such a list makes no sense.
    """
    from mesh.storage.electorate import present_root
    from protocols.errors import ConfigurationError
    from protocols.identity import peer_of_text
    from protocols.quorum import quorum, tolerated
    from protocols.voting.roll import make_bundle

    root = present_root(folder, root_key)
    told = ask_peer(entry, "electorate", None)
    today: list[str] = told["electors"]
    leaving = [_elector_of(entry, today, text) for text in removed]
    coming = [id_of(entry, text) for text in added]
    if already := [text for text, each in zip(added, coming, strict=True) if each in today]:
        raise ConfigurationError(f"{already[0]} is an elector already")
    places = dict(zip(leaving, coming, strict=False))
    # A successor takes the very place of whom it replaces, and the others keep theirs.
    electors = [places.pop(each, each) for each in today if each not in leaving or each in places]
    electors += [each for each in coming if each not in electors]
    if not electors:
        raise ConfigurationError("somebody must decide: the last elector cannot be removed")
    _check_list(electors)
    epoch = told["epoch"] + 1
    bundle = make_bundle(root, epoch, tuple(map(peer_of_text, electors)))
    ask_peer(entry, "propose-electorate", {"bundle": bundle})
    _await_epoch(entry, epoch, electors, told)
    _await_newcomers(folder, electors)
    return {
        "epoch": epoch,
        "electors": electors,
        "quorum": quorum(len(electors)),
        "tolerates": tolerated(len(electors)),
        "added": coming,
        "removed": leaving,
        "by": told["quorum"],
        "before": len(today),
    }


def recover_electorate(folder: Any, root_key: Path | None, peers: list[str]) -> dict[str, Any]:
    """Signs a list that takes over without the electors of today, and waits until it decides.

    Args:
        folder: where a peer runs that has the log; of those that run the furthest one counts.
        root_key: the file of the root's key, if it is not in the folder.
        peers: names or ids of members: all electors from now on.

    Returns:
        What the verb prints.

    Raises:
        ConfigurationError: the key is not there, a quorum is, or such a list makes no sense.
    """
    from mesh.storage.electorate import present_root
    from protocols.errors import ConfigurationError
    from protocols.identity import peer_of_text
    from protocols.quorum import quorum, tolerated
    from protocols.voting.roll import make_recovery

    root = present_root(folder, root_key)
    told = [(ask_peer(entry, "electorate", None), entry) for entry in running_peers(folder)]
    having = [each for each in told if each[1].id in each[0]["electors"]]
    if not having:
        raise ConfigurationError(
            "no elector runs in this folder, and it takes one that has the log: run this on a "
            "host where `mesh electors ls` shows one"
        )
    last, entry = max(having, key=lambda each: (each[0]["epoch"], each[0]["log_height"]))
    states = {row["id"]: row["state"] for row in ask_peer(entry, "peers", None)}
    today: list[str] = last["electors"]
    left = [each for each in today if states.get(each) in THERE]
    if len(left) >= last["quorum"]:
        raise ConfigurationError(
            f"{len(left)} of the {len(today)} electors are there, and {last['quorum']} settle a "
            "change: `mesh electors replace` and `remove` lose nothing"
        )
    electors = [id_of(entry, text) for text in peers]
    _check_list(electors)
    if entry.id not in electors:
        raise ConfigurationError(f"name {entry.name} too: it has the log, which the others get")
    epoch = last["epoch"] + EPOCHS_LEFT
    named = tuple(map(peer_of_text, electors))
    bundle = make_recovery(root, epoch, named, last["log_height"], last["log_head"])
    ask_peer(entry, "propose-electorate", {"bundle": bundle})
    _await_newcomers(folder, electors)
    return {
        "epoch": epoch,
        "electors": electors,
        "quorum": quorum(len(electors)),
        "tolerates": tolerated(len(electors)),
        "height": last["log_height"],
        "lost": [each for each in today if each not in left],
        "before": len(today),
    }


def name_anew(folder: Any, entry: Any, root_key: Path) -> bool:
    """Has the present root, which succeeded another, sign the electors of today.

    Args:
        folder: where the root was succeeded.
        entry: a peer that runs there.
        root_key: the file of the present root's key.

    Returns:
        Whether they have settled it. Where they have not soon, they are the electors none the
        less, and named by the former root until they do or are changed.
    """
    from mesh.storage.electorate import present_root
    from protocols.identity import peer_of_text
    from protocols.voting.roll import make_bundle

    if not folder.electorate.exists():
        return True
    told = ask_peer(entry, "electorate", None)
    epoch, electors = told["epoch"] + 1, tuple(map(peer_of_text, told["electors"]))
    bundle = make_bundle(present_root(folder, root_key), epoch, electors)
    ask_peer(entry, "propose-electorate", {"bundle": bundle})
    return bool(_is_epoch(entry, epoch)["epoch"] >= epoch)


def _is_epoch(entry: Any, epoch: int) -> Any:
    """What a peer says of the electors, once an epoch has begun, or after a while."""
    until = time.monotonic() + TAKE_OFF_S
    while True:
        told = ask_peer(entry, "electorate", None)
        if told["epoch"] >= epoch or time.monotonic() > until:
            return told
        time.sleep(LOOK_S)


def take_off(folder: Any, entry: Any, root_key: Path | None, elector: str) -> bool:
    """Takes an elector off the list before it is revoked, where the others can at once.

    Args:
        folder: where a peer of the mesh runs.
        entry: that peer.
        root_key: the file of the root's key, if it is not in the folder.
        elector: its id.

    Returns:
        Whether it is one no more. It is where the key is not there, no quorum is without it,
        or they have not settled it soon: a revocation does not wait for that.
    """
    from mesh.storage.electorate import present_root
    from protocols.errors import ConfigurationError
    from protocols.identity import peer_of_text
    from protocols.voting.roll import make_bundle

    try:
        root = present_root(folder, root_key)
    except ConfigurationError:
        return False
    told = ask_peer(entry, "electorate", None)
    states = {row["id"]: row["state"] for row in ask_peer(entry, "peers", None)}
    others = [each for each in told["electors"] if each != elector]
    if not others or sum(states.get(each) in THERE for each in others) < told["quorum"]:
        return False
    epoch = told["epoch"] + 1
    bundle = make_bundle(root, epoch, tuple(map(peer_of_text, others)))
    ask_peer(entry, "propose-electorate", {"bundle": bundle})
    return elector not in _is_epoch(entry, epoch)["electors"]


def _check_list(electors: list[str]) -> None:
    from protocols.errors import ConfigurationError
    from protocols.voting.roll import ELECTORS_LIMIT

    if len(set(electors)) != len(electors):
        raise ConfigurationError("each elector can be named once only")
    if len(electors) > ELECTORS_LIMIT:
        raise ConfigurationError(f"there are at most {ELECTORS_LIMIT} electors")


def _elector_of(entry: Any, today: list[str], text: str) -> str:
    """An elector by its name or id; one that gossip has forgotten has only its id."""
    from protocols.errors import ConfigurationError

    found = text if text in today else id_of(entry, text)
    if found not in today:
        raise ConfigurationError(f"{text} is no elector: `mesh electors ls` shows who is")
    return found


def _await_epoch(entry: Any, epoch: int, electors: list[str], before: dict[str, Any]) -> None:
    from protocols.errors import ConfigurationError

    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        told = ask_peer(entry, "electorate", None)
        if told["epoch"] >= epoch:
            if told["epoch"] == epoch and told["electors"] != electors:
                raise ConfigurationError(
                    f"another list of epoch {epoch} was settled first: see `mesh electors ls`, "
                    "and change that one"
                )
            return
        time.sleep(LOOK_S)
    fail(
        f"{before['quorum']} of the {len(before['electors'])} electors must agree, and have not "
        f"within {SETTLE_S:.0f} s: `mesh peers` shows who is alive. They may still settle it "
        "when enough of them are; the electorate stays as it is until then",
        TIMED_OUT,
    )


def _await_newcomers(folder: Any, electors: list[str]) -> None:
    """Waits until a quorum of the new list settles something: then it has the whole log."""
    from mesh.local.ask import NoAnswer, QuestionRefused, ask

    asking = [entry for entry in running_peers(folder) if entry.id in electors]
    if not asking:
        return  # its electors are on other hosts, and get there by themselves
    read = {"actions": [{"do": "transact", "reads": [PROBE]}]}
    until, error = time.monotonic() + SETTLE_S, ""
    while time.monotonic() < until:
        for entry in asking:  # one that is new itself has to get the log first
            try:
                ask(Path(entry.socket), "strong", read, timeout_s=SETTLE_S)
                return
            except (NoAnswer, QuestionRefused) as refusal:
                error = str(refusal)
        time.sleep(LOOK_S)
    fail(
        f"the new electors are settled, and have not got the whole log yet: {error}; keep those "
        "of before running until `mesh board strong get` answers",
        TIMED_OUT,
    )
