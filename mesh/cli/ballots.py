"""What `mesh why` tells of a ballot: what came of it, and how each voter here got to its answer."""

from pathlib import Path
from typing import Any

DECISIONS = "decisions"
"""Where in the mesh folder certificates are kept."""
FILE_DIGITS = 16
ASK_S = 2.0
"""How long a voter on this machine is waited for."""


def file_of(folder: Path, ballot: str) -> Path:
    """Where a ballot's certificate is kept."""
    return folder / DECISIONS / f"{ballot[:FILE_DIGITS]}.cert"


def ballot_of(folder: Path, text: str) -> str:
    """The ballot that is meant, in hexadecimal; "" where it is none.

    Args:
        folder: the mesh folder.
        text: its id, in hexadecimal or base 32; or the beginning of it, where its
            certificate is kept in the folder.
    """
    from mesh.telemetry.finding import digest_of

    word = text.strip().lower()
    if whole := digest_of(word):
        return whole
    if len(word) < FILE_DIGITS or not set(word) <= set("0123456789abcdef"):
        return ""
    ballot = str(_proven(folder, word).get("ballot", ""))
    return ballot if ballot.startswith(word) else ""


def ballot_story(folder: Path, ballot: str) -> dict[str, Any]:
    """A ballot's outcome, where its certificate is kept, and the stories of its voters.

    Args:
        folder: the mesh folder.
        ballot: its id in hexadecimal.

    Returns:
        What `mesh why --json` prints; without voters where nothing is known here.
    """
    found = _proven(folder, ballot)
    stories = _stories(folder, ballot)
    voters = [_voter(folder, ballot, vote, stories) for vote in found.get("votes", ())]
    told = {voter["peer"] for voter in voters}
    for peer, story in stories.items():
        if peer not in told:
            answer = story["result"] if story["state"] == "done" else None
            said = {"peer": peer, "answer": answer, "confidence": story["confidence"]}
            voters.append(_voter(folder, ballot, said, stories))
    skill = found.get("skill") or next((each["skill"] for each in stories.values()), None)
    keys = ("outcome", "status", "margin", "needed", "rule")
    return {
        "ballot": ballot,
        "skill": skill,
        **{key: found.get(key) for key in keys},
        "certificate": str(file_of(folder, ballot)) if found else None,
        "voters": voters,
        "missing": found.get("missing", []),
    }


def reason_of(folder: Path, ballot: str, peer: str) -> str | None:
    """Why a peer of this folder abstained: it alone knows. None where it did not, or is away."""
    from mesh.local.ask import NoAnswer, QuestionRefused, ask
    from mesh.local.discovery import sockets

    address = dict(sockets(folder)).get(peer)
    if address is None:
        return None
    try:
        told = ask(address, "abstention", {"ballot": bytes.fromhex(ballot)}, timeout_s=ASK_S)
    except (NoAnswer, QuestionRefused):
        return None
    return str(told["reason"]) if told["reason"] else None


def _proven(folder: Path, ballot: str) -> dict[str, Any]:
    """What the certificate in the folder proves; empty where there is none, or a bad one."""
    from mesh.local.discovery import read_mesh
    from mesh.runtime.decisions import read_decision
    from mesh.storage.keys import load_key
    from mesh.telemetry.telling import Names
    from protocols.identity import text_id
    from protocols.voting.certificate import CertificateRefused

    try:
        data = file_of(folder, ballot).read_bytes()
    except OSError:
        return {}
    names = Names({entry.id: entry.name for entry in read_mesh(folder).peers})
    root = load_key(folder / "root.pub", "root-public")
    try:
        return read_decision(data, root, lambda peer: names.of(text_id(peer)))
    except CertificateRefused:
        return {}


def _stories(folder: Path, ballot: str) -> dict[str, dict[str, Any]]:
    """The stories of the answers that peers of this folder have, by the peers' names."""
    from mesh.local.ask import NoAnswer, QuestionRefused, ask
    from mesh.local.discovery import sockets
    from mesh.telemetry.finding import NotFound, find

    addresses = dict(sockets(folder))
    try:
        found = find(folder, ballot)
    except NotFound:
        return {}
    stories = {}
    for task in found.roots:
        custodian = found.tasks[task].custodian
        if custodian in addresses:
            try:
                stories[custodian] = ask(addresses[custodian], "why", {"task": task})
            except (NoAnswer, QuestionRefused):
                continue
    return dict(sorted(stories.items()))


def _voter(
    folder: Path, ballot: str, vote: dict[str, Any], stories: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    peer = vote["peer"]
    silent = vote["answer"] is None and not vote.get("contradicts")
    return {
        "peer": peer,
        "answer": vote["answer"],
        "confidence": vote["confidence"],
        "contradicts": vote.get("contradicts", []),
        "reason": reason_of(folder, ballot, peer) if silent else None,
        "story": stories.get(peer),
    }


def tell_ballot(story: dict[str, Any]) -> list[str]:
    """A ballot's story in lines."""
    from mesh.cli.tasks import tell

    end = "no certificate of it is kept here"
    if story["certificate"]:
        end = f"{story['status']}, margin {story['margin']}, needed above {story['needed']}"
        if story["status"] != "undecided":
            end = f"{story['outcome']!r} is {end}"
    lines = [f"ballot {story['ballot']}: {story['skill']}, {end}"]
    for voter in story["voters"]:
        lines.append(f"{voter['peer']}: {_said(voter)}")
        if voter["story"] is None:
            lines.append("  how it came to that is known where it runs, while that is remembered")
        else:
            lines += [f"  {line}" for line in tell(voter["story"])]
    return [*lines, *(f"{peer}: not heard" for peer in story["missing"])]


def _said(voter: dict[str, Any]) -> str:
    if voter["contradicts"]:
        return "two answers: it lies"
    if voter["answer"] is None:
        if voter["story"] and voter["story"]["settled"] is None:
            return "has not answered yet"
        return f"abstains: {voter['reason']}" if voter["reason"] else "abstains"
    sure = f", {voter['confidence']:.0%} sure" if voter["confidence"] is not None else ""
    return f"{voter['answer']!r}{sure}"
