"""The verbs that decide: decide, and verify, which needs no peer and no network."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mesh.cli.ballots import file_of, reason_of
from mesh.cli.inputs import parse_inputs
from mesh.cli.options import DirOption, JsonOption, finite
from mesh.cli.output import FAILED, TIMED_OUT, USAGE, fail, print_json, print_value, say
from mesh.cli.work import InputsArgument, SkillArgument

if TYPE_CHECKING:
    from mesh.local.deciding import Decision

CloseOption = Annotated[
    float | None,
    typer.Option("--close", callback=finite, min=0.001, help="Seconds that voters may take."),
]
DeadlineOption = Annotated[
    float | None,
    typer.Option("--deadline", callback=finite, min=0.001, help="Seconds until it is given up."),
]


def decide(
    skill: SkillArgument,
    inputs: InputsArgument = None,
    voters: Annotated[
        int | None, typer.Option("--voters", min=1, help="How many electors vote; all without it.")
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            "--rule", help="majority, supermajority:2/3 (add :vetoes), unanimous or median."
        ),
    ] = "majority",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="An answer that counts; may repeat. Any without it."),
    ] = None,
    compare: Annotated[
        str, typer.Option("--compare", help="When answers are the same: text or exact.")
    ] = "",
    close: CloseOption = None,
    deadline: DeadlineOption = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="Where the proof goes.")
    ] = None,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have electors answer, each for itself, and settle it so that liars cannot bend it.

    Exit status 1 where it is undecided or came to no end, 4 where no answer came in time.
    """
    from mesh.client import Client, Refused
    from mesh.local.discovery import find_folder

    values = parse_inputs(inputs or [])
    home = find_folder(folder)
    with Client(dir=home) as client:
        try:
            decision = client.decide(
                skill, values, voters=voters, rule=rule, options=option or (), compare=compare,
                close=close, deadline=deadline,
            )  # fmt: skip
        except Refused as error:
            if as_json:
                print_json(_refusal(error.kind, error.message))
            usage = error.kind in ("InvalidBallot", "InvalidInput")
            fail(error.message, USAGE if usage else FAILED)
        except TimeoutError as error:
            fail(f"no word of the decision: {error}", TIMED_OUT)
    path = decision.save(certificate or file_of(home, decision.ballot))
    reasons = _reasons(home, decision)
    if as_json:
        print_json(_line(decision, path, reasons))
    else:
        _tell(decision, path, reasons)
    if decision.status == "undecided":
        raise SystemExit(FAILED)


def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A decision's certificate.")],
    mesh: Annotated[
        Path | None,
        typer.Option(
            "--mesh", metavar="ROOT", help="The mesh's root.pub, or its folder; else as for --dir."
        ),
    ] = None,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a decision's certificate offline, with the mesh's public root key alone.

    Exit status 1 where it proves nothing; the reason says why.
    """
    from mesh.runtime.decisions import read_decision
    from protocols.identity import text_id
    from protocols.voting.certificate import CertificateRefused

    try:
        data = file.read_bytes()
    except OSError as error:
        fail(f"{file}: {error.strerror}", USAGE)
    root = _root(mesh, folder)
    try:
        found = read_decision(data, root, text_id)
    except CertificateRefused as error:
        found = {"valid": False, "outcome": None, "reason": str(error)}
    if as_json:
        print_json(found)
    elif found["valid"]:
        print_value(found["outcome"])
        say(_verdict(found))
    else:
        say(f"mesh: {file} proves nothing: {found['reason']}")
    if not found["valid"]:
        raise SystemExit(FAILED)


def _root(given: Path | None, folder: Path | None) -> bytes:
    from mesh.local.discovery import find_folder
    from mesh.storage.keys import load_key

    place = find_folder(folder) if given is None else given
    file = place / "root.pub" if place.is_dir() else place
    if given is not None and not file.is_file():
        fail(f"there is no {file}: give --mesh the root.pub of the mesh that decided", USAGE)
    return load_key(file, "root-public")


def _verdict(found: dict[str, Any]) -> str:
    lies = found["tolerates"]
    electors, signers = found["electors"], len(found["signers"])
    return (
        f"{found['status']} under {found['rule']}: margin {found['margin']}, above "
        f"{found['needed']} is beyond the reach of {lies} {'liar' if lies == 1 else 'liars'}; "
        f"{len(found['votes'])} of {electors} voters answered, {signers} electors signed"
    )


def _reasons(home: Path, decision: "Decision") -> dict[str, str]:
    """Why voters on this machine abstained, by their ids: each knows its own, and nobody else's."""
    from mesh.local.discovery import read_mesh

    abstained = {vote.id for vote in decision.votes if vote.abstains}
    local = read_mesh(home).peers if abstained else []
    told = {
        entry.id: reason_of(home, decision.ballot, entry.name)
        for entry in local
        if entry.id in abstained
    }
    return {voter: reason for voter, reason in told.items() if reason}


def _line(decision: "Decision", path: Path, reasons: dict[str, str]) -> dict[str, Any]:
    import msgspec

    line: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(decision, certificate=b""))
    for vote in line["votes"]:
        vote["reason"] = reasons.get(vote["id"])
    return {**line, "certificate": str(path), "error": None}


def _refusal(kind: str, message: str) -> dict[str, Any]:
    return {
        "outcome": None,
        "status": "undecided",
        "margin": 0,
        "votes": [],
        "certificate": None,
        "error": {"kind": kind, "message": message},
    }


def _tell(decision: "Decision", path: Path, reasons: dict[str, str]) -> None:
    print_value(decision.outcome if decision.status != "undecided" else "undecided")
    say(f"{decision.status}: margin {decision.margin}, needed above {decision.needed}")
    for vote in decision.votes:
        said = f"{vote.answer}" if not vote.contradicts else "two answers: it lies"
        sure = f", {vote.confidence:.0%} sure" if vote.confidence is not None else ""
        if vote.abstains:
            why = reasons.get(vote.id, "only its own peer's log says why")
            said = f"abstains: {why}"
        say(f"  {vote.peer}: {said}{sure}")
    for peer in decision.missing:
        say(f"  {peer}: not heard")
    if decision.votes and all(vote.abstains for vote in decision.votes):
        say("nobody gave an answer that counts: `mesh call` with the same input shows what comes")
    if not decision.tolerates:
        say("with fewer than four electors no lie is tolerated: one of them can bend this")
    say(f"certificate: {path}; `mesh verify {shlex.quote(str(path))}` checks it anywhere")
    say(f"how voters came to their answers: mesh why {decision.ballot}")
