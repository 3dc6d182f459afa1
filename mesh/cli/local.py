"""The verbs for peers on this machine: up, down, peers, kill, pause, resume."""

import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mesh.cli.metrics import serve_beside
from mesh.cli.options import (
    BlobsOption,
    DirOption,
    JsonOption,
    LabelsOption,
    MemoryOption,
    MetricsOption,
    PythonOption,
    RecordingOption,
    SecretsOption,
)
from mesh.cli.output import (
    FAILED,
    NO_PEER,
    TIMED_OUT,
    dir_words,
    fail,
    print_json,
    print_table,
    say,
)
from mesh.cli.settings import peer_settings, settle
from mesh.cli.suspects import show_suspects

PeerArgument = Annotated[str, typer.Argument(metavar="PEER", help="A peer's name.")]
CONVERGE_S = 60.0
SILENT_S = 1.0
ID_SHOWN = 8


def up(
    count: Annotated[
        int | None, typer.Option("-n", "--peers", min=1, help="How many peers; 3 for a new mesh.")
    ] = None,
    agents: Annotated[
        list[str] | None,
        typer.Option(
            "--agents",
            metavar="FILE[@PEER,…]",
            help="An agent file, for all peers or the named ones; may repeat. Without any, the "
            "built-in agent `probe` runs: echo, sleep, fail, hang, crash.",
        ),
    ] = None,
    recording: RecordingOption = None,
    memory: MemoryOption = None,
    blobs: BlobsOption = None,
    python: PythonOption = None,
    labels: LabelsOption = None,
    secrets: SecretsOption = None,
    metrics: MetricsOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when all is up; else stay, and stop on Ctrl-C.")
    ] = False,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start peers on this machine, or those of an existing folder that are missing."""
    from mesh.runtime import launcher
    from protocols.errors import ConfigurationError

    begin = time.monotonic()
    workers = peer_settings(memory, blobs, python, secrets)
    path = at or Path(os.environ.get("MESH_DIR") or ".mesh")
    # It imports while keys are made, and ends with this process at the latest.
    nursery = launcher.Nursery()
    folder = launcher.prepare(path, count, agents or [], recording_mb=recording)
    settle(folder, workers, labels or [])
    runs = launcher.running(folder)
    missing = _missing(folder, runs)
    if not missing and not runs:
        nursery.close()
        fail(f"there is no peer to start: {_why_revoked(folder)}", FAILED)
    given = {
        "--agents": agents, "--recording": recording, "--memory": memory, "--blobs": blobs,
        "--python": python, "--labels": labels, "--secrets": secrets,
    }  # fmt: skip
    _tell_kept(runs, [option for option, value in given.items() if value is not None])
    try:
        nursery.start(folder, missing) if missing else nursery.close()
        try:
            _converge(folder, missing, begin, as_json)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}\n{_undo(folder, missing)}") from None
        serve_beside(folder.path, metrics)
        if not detach:
            _stay(folder, quiet=as_json)
    except KeyboardInterrupt:
        if detach:
            raise
        _drain(folder)


def _tell_kept(runs: dict[str, int], given: list[str]) -> None:
    """What was given changes nothing of peers that run."""
    if not runs or not given:
        return
    are = "is" if len(given) == 1 else "are"
    say(
        f"{', '.join(runs)} ran already, and {', '.join(given)} {are} for the next start: "
        "`mesh down`, then `mesh up`, or of one peer `mesh drain PEER --wait`, then `mesh up`"
    )
    if given == ["--agents"]:
        say("agents can also be replaced while they run: `mesh reload --all --agents FILE`")


def _undo(folder: Any, missing: list[str]) -> str:
    from mesh.runtime import launcher

    launcher.stop(folder, missing)
    undone = "the peers that this started are stopped"
    if folder.is_new and not launcher.running(folder):
        launcher.discard(folder.path)
        undone += f", and {folder.path}, which it made, is removed"
    return undone


def _missing(folder: Any, runs: dict[str, int]) -> list[str]:
    """The peers that do not run, and may."""
    names = [entry.name for entry in folder.peers() if entry.name not in runs]
    revoked = [name for name in names if folder.peer_folder(name).revoked.exists()]
    if revoked:
        say(f"revoked, and not started: {', '.join(revoked)}")
    return [name for name in names if name not in revoked]


def _why_revoked(folder: Any) -> str:
    place = folder.peer_folder(folder.peers()[0].name)
    return str(place.revoked.read_text(encoding="utf-8", errors="replace"))


def _converge(folder: Any, started: list[str], begin: float, as_json: bool) -> None:
    from mesh.runtime import launcher

    convergence = launcher.wait_converged(folder, CONVERGE_S, expected=started)
    seconds = time.monotonic() - begin
    summary = launcher.summary(folder, convergence, seconds)
    if as_json:
        print_json(summary)
    else:
        _say_up(summary, folder)
        for name in sorted(set(launcher.running(folder)) - set(convergence.statuses)):
            say(
                f"{name} runs but is paused or silent: `mesh resume {name}` lets a paused one go on"
            )
    if not convergence.converged:
        fail(
            f"not converged after {CONVERGE_S:g} s, still waiting for {convergence.waiting_for}; "
            f"the peers go on, their logs are in {folder.path}/peers",
            TIMED_OUT,
        )


def _say_up(summary: dict[str, Any], folder: Any) -> None:
    count = len(summary["peers"])
    for peer in summary["peers"]:
        print(f"  {peer['name']:10} {peer['id'][:ID_SHOWN]}  {peer['address']}  pid {peer['pid']}")
    are = "1 peer is up" if count == 1 else f"{count} peers see each other"
    print(f"{are} after {summary['seconds']:.2f} s in {summary['dir']}")
    if folder.read().seeds:
        print("`mesh peers` shows the other peers of the mesh as they are met")
    elif summary["tolerates"]:
        print(f"f={summary['tolerates']}: so many of them may be faulty and a quorum still stands")
    else:
        print("f=0: no quorum of fewer than four peers outlasts a faulty one")
    print(f"try:  mesh {_first_words(folder)}{dir_words(Path(summary['dir']))}")


def _first_words(folder: Any) -> str:
    """A verb that works here: only the built-in agent has `echo`."""
    from mesh.runtime import launcher

    probed = any(launcher.PROBE in entry.agents for entry in folder.peers())
    return "call echo greeting=hello" if probed else "peers"


def _stay(folder: Any, quiet: bool) -> None:
    from mesh.runtime import launcher

    if not quiet:
        print("Ctrl-C stops them (--detach leaves them running)", flush=True)
    while launcher.running(folder):
        time.sleep(0.5)
    say("all peers have ended")


def _drain(folder: Any) -> None:
    from mesh.runtime import launcher

    say("draining…")
    for name in launcher.stop(folder, list(launcher.running(folder))):
        say(f"{name} did not stop in time and was killed")


def down(
    peers: Annotated[
        list[str] | None, typer.Argument(metavar="[PEER]...", help="Only these; else all.")
    ] = None,
    at: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop the peers of the folder: they drain, say goodbye and end; paused ones too."""
    from mesh.runtime import launcher

    folder = _open(at)
    wanted = {folder.peer(name).name for name in peers or ()}
    names = [name for name in launcher.running(folder) if not wanted or name in wanted]
    killed = launcher.stop(folder, names)
    if as_json:
        print_json({"stopped": names, "killed": killed})
    elif not names:
        print("no peer runs")
    else:
        print(f"stopped {', '.join(names)}")
        for name in killed:
            say(f"{name} did not stop in time and was killed")


STANDINGS = {
    "restored": "runs on an older copy of its folder; as an elector it abstains until a quorum of "
    "the others has told it what began before (`mesh up` starts them)",
    "waits": "signs nothing as an elector until a quorum of the others has told what they have "
    "seen of it (`mesh up` starts them)",
}
"""What is said of electors that sign nothing now."""


def peers(
    at: DirOption = None,
    as_json: JsonOption = False,
    suspects: Annotated[
        bool,
        typer.Option(
            "--suspects",
            help="Show who signed against itself instead, by evidence that anybody can verify.",
        ),
    ] = False,
) -> None:
    """Show each peer: address, process, state, how many it sees alive, skills, and what ails."""
    from mesh.local.ask import NoAnswer, QuestionRefused, ask
    from mesh.runtime import launcher

    folder = _open(at, guess=True)
    if suspects:
        show_suspects(folder, as_json)
        return
    rows: list[dict[str, Any]] = []
    answered = False
    others: dict[str, dict[str, Any]] = {}
    for entry in folder.peers():
        pid = folder.peer_folder(entry.name).running_pid()
        row = _row(folder, entry, pid)
        if pid is not None:
            try:
                status = ask(Path(entry.socket), "status", timeout_s=SILENT_S)
            except (NoAnswer, QuestionRefused):
                row["state"] = "paused" if pid and launcher.is_paused(pid) else "silent"
            else:
                answered = True
                row.update((key, status[key]) for key in row if key in status)
                others.update((member["id"], member) for member in status["members"])
        rows.append(row)
    local = {row["id"] for row in rows}
    rows += [
        {**dict.fromkeys(rows[0]), **{k: m[k] for k in m if k in rows[0]}}
        for peer_id, m in sorted(others.items())
        if peer_id not in local
    ]
    if as_json:
        for row in rows:
            print_json(row)
    else:
        _print_peers(rows)
    if not answered:
        is_over = all(row["state"] == "revoked" for row in rows)
        what = "they were revoked" if is_over else "`mesh up` starts them again"
        fail(f"no peer answers: {what}", NO_PEER)


def _row(folder: Any, entry: Any, pid: int | None) -> dict[str, Any]:
    """What is told of a peer that does not answer."""
    return {
        "name": entry.name,
        "id": entry.id,
        "address": entry.door,
        "pid": pid,
        "state": _without_process(folder, entry.name) if pid is None else "silent",
        "alive": None,
        "skills": [],
        "sick": [],
        "labels": [],
        "ailing": [],
        "breakers": [],
        "standing": None,
        "credential_ends": None,
    }


def _print_peers(rows: list[dict[str, Any]]) -> None:
    shown = [_for_people(row) for row in rows]
    print_table(shown, ["name", "id", "address", "pid", "state", "alive", "skills"])
    for row in rows:
        if row["labels"]:
            print(f"{row['name']}: labels {' '.join(row['labels'])}")
        if row["standing"] and row["standing"]["state"] in STANDINGS:
            print(f"{row['name']}: {STANDINGS[row['standing']['state']]}")
        ends = row["credential_ends"]
        if ends is not None and ends < time.time():
            print(f"{row['name']}: its credential has ended, and nobody listens: `mesh doctor`")
        for ails in row["ailing"] or []:
            print(f"{row['name']}: agent {ails['agent']} cannot work: {ails['reason']}")


def _without_process(folder: Any, name: str) -> str:
    return "revoked" if folder.peer_folder(name).revoked.exists() else "down"


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    texts = {key: "" if value is None else value for key, value in row.items()}
    sick = row["sick"] or []
    skills = [f"{name} (sick)" if name in sick else name for name in row["skills"] or []]
    return {**texts, "id": str(row["id"])[:ID_SHOWN], "skills": " ".join(skills)}


def kill(peer: PeerArgument, at: DirOption = None, as_json: JsonOption = False) -> None:
    """Kill a peer at once (SIGKILL), as a crash would."""
    _send(peer, signal.SIGKILL, "killed", at, as_json)


def pause(peer: PeerArgument, at: DirOption = None, as_json: JsonOption = False) -> None:
    """Stop a peer's process without ending it (SIGSTOP)."""
    _send(peer, signal.SIGSTOP, "paused", at, as_json)


def resume(peer: PeerArgument, at: DirOption = None, as_json: JsonOption = False) -> None:
    """Let a paused peer go on (SIGCONT)."""
    _send(peer, signal.SIGCONT, "resumed", at, as_json)


def _send(peer: str, number: signal.Signals, done: str, at: Path | None, as_json: bool) -> None:
    from mesh.runtime import launcher
    from protocols.errors import ConfigurationError

    folder = _open(at)
    folder.peer(peer)
    try:
        pid = launcher.send_signal(folder, peer, number)
    except ConfigurationError as error:
        fail(str(error), FAILED)
    if as_json:
        print_json({"name": peer, "pid": pid, "signal": number.name})
    else:
        print(f"{done} {peer} (pid {pid})")


def _open(at: Path | None, guess: bool = False) -> Any:
    """The mesh that is meant. Verbs that stop or kill do not guess at the only one running."""
    from mesh.local.discovery import find_folder
    from mesh.storage.folder import MeshFolder

    return MeshFolder.open(find_folder(at, guess=guess))
