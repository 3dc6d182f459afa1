"""What `mesh doctor` asks the peers of a folder, and what they wrote lately."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mesh.cli.diagnosis import Finding
from mesh.cli.doctor_mesh import door
from mesh.cli.suspects import suspects

ASK_S = 2.0
SLOW_S = 0.25
CLOCK_OFF_S = 0.5
LATELY_S = 3600
LATELY = {
    "core.blamed": "peers broke a protocol, or were taken to",
    "log.lost": "events were lost: the disk did not take them",
    "recording.stopped": "flight recordings ended early",
}
DEAD_LISTED = 10_000


class Seen(msgspec.Struct):
    """What is known of one local peer. `status` is empty where it does not answer."""

    name: str
    id: str
    address: str
    pid: int | None
    is_paused: bool = False
    status: dict[str, Any] = {}
    version: str = ""
    answered_s: float = 0.0
    clock_off_s: float = 0.0
    revoked: str = ""


def ask_all(folder: Any) -> list[Seen]:
    """Asks every local peer of a `MeshFolder` that runs."""
    return [_ask(folder, entry) for entry in folder.peers()]


def _ask(folder: Any, entry: Any) -> Seen:
    from mesh.local.ask import NoAnswer, QuestionRefused, ask, greet
    from mesh.runtime.launcher import is_paused

    seen = Seen(entry.name, entry.id, entry.door, folder.peer_folder(entry.name).running_pid())
    if seen.pid is None:
        revoked = folder.peer_folder(entry.name).revoked
        if revoked.exists():
            seen.revoked = revoked.read_text(encoding="utf-8", errors="replace")
        return seen
    seen.is_paused = bool(seen.pid) and is_paused(seen.pid)
    if seen.is_paused:
        return seen
    address = Path(entry.socket)
    try:
        seen.version = greet(address, ASK_S).version
        begin, wall = time.monotonic(), time.time()
        seen.status = ask(address, "status", timeout_s=ASK_S)
    except (NoAnswer, QuestionRefused):
        return seen
    seen.answered_s = time.monotonic() - begin
    # Its answer was written somewhere between; what the way may explain is no difference.
    off = float(seen.status.get("time", wall)) - (wall + seen.answered_s / 2)
    seen.clock_off_s = math.copysign(max(0.0, abs(off) - seen.answered_s / 2), off)
    return seen


def elsewhere(peers: list[Seen]) -> set[str]:
    """Live members that are no peers of this folder."""
    return {
        member["id"]
        for peer in peers
        for member in peer.status.get("members", ())
        if member["state"] in ("alive", "suspect")
    } - {peer.id for peer in peers}


def look(folder: Any, peers: list[Seen]) -> Iterator[Finding]:
    """What the peers' answers tell."""
    running = [peer for peer in peers if peer.pid is not None]
    for peer in peers:
        yield _state(peer, bool(running))
        if not peer.is_paused:
            yield door(peer.name, peer.address, peer.pid is not None)
        yield from _agents(peer)
    answered = [peer for peer in peers if peer.status]
    if answered:
        yield _versions(answered)
        yield from _clocks(answered)
        yield from _members(answered)
        yield from _suspects(answered)
        yield from _standings(answered)
        yield from _electorate(answered)
        yield from _dead_letters(folder, answered)
    yield from _lately(folder)


def _state(peer: Seen, others_run: bool) -> Finding:
    if peer.status:
        work = peer.status.get("work", {})
        found = f"alive, answers in {peer.answered_s * 1000:.0f} ms, {work.get('open', '?')} open"
        if peer.answered_s <= SLOW_S:
            return Finding("peer", peer.name, "ok", found)
        return Finding(
            "peer", peer.name, "warning", found, "others may suspect a peer that is so busy",
            "see `mesh top`: an inline handler, or too little processor?",
        )  # fmt: skip
    if peer.revoked:
        return Finding(
            "peer", peer.name, "problem", "was revoked, and is none any more", peer.revoked,
            "`mesh invite` where an issuer is, and `mesh join` into another folder",
        )  # fmt: skip
    if peer.pid is None:
        if not others_run:
            return Finding("peer", peer.name, "ok", "does not run, as none does")
        return Finding(
            "peer", peer.name, "warning", "does not run",
            "tasks that it accepted wait until it is back", "`mesh up` starts it again",
        )  # fmt: skip
    if peer.is_paused:
        return Finding(
            "peer", peer.name, "problem", f"paused (pid {peer.pid})",
            "others take it for dead, and its tasks wait", f"`mesh resume {peer.name}`",
        )  # fmt: skip
    return Finding(
        "peer", peer.name, "problem", f"runs (pid {peer.pid}) and does not answer",
        "clients and workers of it wait", f"`mesh logs --peer {peer.name}`, or end it: {peer.pid}",
    )  # fmt: skip


def _agents(peer: Seen) -> Iterator[Finding]:
    for agent in peer.status.get("agents", ()):
        if agent["state"] == "failed":
            yield Finding(
                "agent", f"{peer.name} {agent['target']}", "problem",
                str(agent["error"]).strip().splitlines()[-1] if agent["error"] else "failed",
                "its skills are not offered here", "mend it, then restart the peer",
            )  # fmt: skip


def _versions(peers: list[Seen]) -> Finding:
    versions = sorted({peer.version for peer in peers})
    pythons = sorted({str(peer.status.get("python", "?")) for peer in peers})
    found = f"stigmesh {', '.join(versions)} on Python {', '.join(pythons)}"
    if len(versions) == 1:
        return Finding("version", "peers", "ok", found)
    return Finding(
        "version", "peers", "warning", found,
        "older peers ignore what they do not know: what is new works when all are new",
        "restart the older ones from the newer installation, one at a time",
    )  # fmt: skip


def _clocks(peers: list[Seen]) -> Iterator[Finding]:
    """How far local peers are from this process, and members elsewhere from those."""
    off = {peer.name: peer.clock_off_s for peer in peers}
    far = _clocks_elsewhere(peers)
    wrong = {**off, **far}
    for name, seconds in wrong.items():
        if abs(seconds) > CLOCK_OFF_S:
            whose = "this process's" if name in off else "the local peers'"
            yield Finding(
                "clock", name, "warning", f"{seconds:+.1f} s from {whose}",
                "credentials and deadlines are read by the wall clock",
                "set it right there: chrony, or systemd-timesyncd",
            )  # fmt: skip
    agree = [seconds for seconds in off.values() if abs(seconds) <= CLOCK_OFF_S]
    if agree:
        yield Finding("clock", "peers", "ok", f"{len(agree)} local peers agree with this process")
    near = {name: seconds for name, seconds in far.items() if abs(seconds) <= CLOCK_OFF_S}
    if near:
        told = ", ".join(f"{name} {seconds:+.3f} s" for name, seconds in sorted(near.items()))
        yield Finding("clock", "elsewhere", "ok", told)


def _clocks_elsewhere(peers: list[Seen]) -> dict[str, float]:
    """The least difference that a local peer found; what messages take on the way is in it."""
    there = elsewhere(peers)
    found: dict[str, float] = {}
    for peer in peers:
        for member in peer.status["members"]:
            clock_ms = member.get("clock_ms")
            if member["id"] in there and clock_ms is not None:
                known = found.get(member["name"])
                if known is None or abs(clock_ms / 1000) < abs(known):
                    found[member["name"]] = clock_ms / 1000
    return found


def _suspects(peers: list[Seen]) -> Iterator[Finding]:
    """Who signed against itself."""
    for row in suspects([(peer.name, peer.status) for peer in peers]):
        yield Finding(
            "suspect", row["name"], "warning", f"{row['offence']} (known to {row['known_to']})",
            "it lies, or runs on a copy of its folder, perhaps twice",
            "see `mesh peers --suspects`; if it is not to be trusted, `mesh revoke` it",
        )  # fmt: skip


def _standings(peers: list[Seen]) -> Iterator[Finding]:
    """Electors that may not sign, because their disks may be older copies."""
    for peer in peers:
        standing = peer.status.get("standing", {})
        if standing.get("state") == "restored":
            yield Finding(
                "elector", peer.name, "warning", "runs on an older copy of its folder",
                "it abstains until a quorum of electors has told it what began before",
                "start the other electors: `mesh up`; it is readmitted by itself",
            )  # fmt: skip
        elif standing.get("state") == "waits":
            yield Finding(
                "elector", peer.name, "warning", "waits for a quorum of electors",
                "it signs nothing until they have told what they have seen of it",
                "start the other electors: `mesh up`",
            )  # fmt: skip
        elif standing.get("silent_ballots") or standing.get("silent_to_height"):
            yield Finding(
                "elector", peer.name, "ok",
                f"was on an older copy; leaves {standing['silent_ballots']} open ballots, and the "
                f"log up to height {standing['silent_to_height']}, to the others",
            )  # fmt: skip


def _members(peers: list[Seen]) -> Iterator[Finding]:
    """Members that somebody here takes for suspect or dead."""
    doubted: dict[tuple[str, str], list[str]] = {}
    over: set[str] = set()
    for peer in peers:
        for member in peer.status["members"]:
            if member["state"] in ("suspect", "dead"):
                doubted.setdefault((member["name"], member["state"]), []).append(peer.name)
                if (member.get("credential_ends") or math.inf) < time.time():
                    over.add(member["name"])
    for (name, state), by in sorted(doubted.items()):
        if name in over:
            yield Finding(
                "member", name, "warning", f"{state}, as {', '.join(by)} see it: its credential "
                "has ended", "nobody listens to a peer without one",
                f"`mesh invite` where an issuer is, and there `mesh join TOKEN --name {name}`",
            )  # fmt: skip
            continue
        yield Finding(
            "member", name, "warning", f"{state}, as {', '.join(by)} see it",
            "what it ran is run elsewhere; what it had accepted waits for it",
            f"start it again, or `mesh logs --kind gossip --peer {by[0]}`",
        )  # fmt: skip


def _electorate(peers: list[Seen]) -> Iterator[Finding]:
    """What those stand that decide, by the latest list that a peer knows."""
    lists = [found for peer in peers if (found := peer.status.get("electorate"))]
    if not lists:
        return  # just started: it is told within a second
    electors = max(lists, key=lambda each: each["epoch"])["electors"]
    there = {peer.status["id"] for peer in peers}
    for peer in peers:
        there.update(
            member["id"]
            for member in peer.status["members"]
            if member["state"] in ("alive", "suspect")
        )
    yield electorate(len(electors), sum(elector in there for elector in electors))


def electorate(electors: int, alive: int) -> Finding:
    """What so many electors stand, and what they do not."""
    from protocols.quorum import quorum, tolerated

    faulty, needed = tolerated(electors), quorum(electors)
    found = f"n={electors}, f={faulty}, a quorum is {needed}, {alive} alive"
    if alive < needed:
        return Finding(
            "electorate", "mesh", "problem", found,
            "fewer live than a quorum needs: nothing can be decided",
            "start electors again until there are enough (`mesh electors ls`); where too many "
            "are lost for good, `mesh electors recover` has others decide",
        )  # fmt: skip
    if not faulty:
        return Finding(
            "electorate", "mesh", "warning", found,
            "it tolerates nobody lying: one elector of three or fewer that says different things "
            "to others cannot be outvoted. Peers that crash are another matter: tasks go on "
            "without",
            "four electors tolerate one that lies, seven two: `mesh up -n 4`, and where the mesh "
            "had fewer when it was founded, `mesh electors add`",
        )  # fmt: skip
    lies = "one that lies" if faulty == 1 else f"{faulty} that lie"
    return Finding("electorate", "mesh", "ok", f"{found}: tolerates {lies}")


def _dead_letters(folder: Any, peers: list[Seen]) -> Iterator[Finding]:
    from mesh.local.ask import NoAnswer, QuestionRefused, ask

    sockets = {entry.name: Path(entry.socket) for entry in folder.peers()}
    none = True
    for peer in peers:
        try:
            rows = ask(
                sockets[peer.name], "tasks", {"states": ["dead"], "limit": DEAD_LISTED}, ASK_S
            )
        except (NoAnswer, QuestionRefused):
            continue
        if rows:
            none = False
            skills = ", ".join(sorted({str(row["skill"]) for row in rows})[:3])
            yield Finding(
                "dead-letters", peer.name, "warning", f"{len(rows)} tasks, of {skills}",
                "their retries are used up, and nobody has looked at them",
                f"`mesh tasks --state dead`, then `mesh why {rows[0]['task']}`",
            )  # fmt: skip
    if none:
        yield Finding("dead-letters", "mesh", "ok", "none")


def _lately(folder: Any) -> Iterator[Finding]:
    """What peers complained of in the last hour."""
    from mesh.telemetry import reading

    counts: dict[tuple[str, str], int] = {}
    begin = time.time() - LATELY_S
    for entry in reading.events(folder.path, tuple(name.encode() for name in LATELY)):
        kind = entry.event["event"]
        if kind in LATELY and entry.time >= begin:
            count = int(entry.event.get("count", 1)) + int(entry.event.get("unsaid", 0))
            counts[kind, entry.writer] = counts.get((kind, entry.writer), 0) + count
    for (kind, writer), count in sorted(counts.items()):
        yield Finding(
            "events", writer, "warning", f"{count} {kind} in the last hour", LATELY[kind],
            f"`mesh logs --kind {kind} --peer {writer} --since 1h`",
        )  # fmt: skip
    if not counts:
        yield Finding("events", "mesh", "ok", "nobody blamed and nothing lost in the last hour")
