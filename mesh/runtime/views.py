"""What a core knows, as plain values for clients: ids become text, instants seconds.

These dictionaries are a public interface (`docs/reference/cli.md`): keys may be
added, and none is ever renamed.
"""

import platform
import time
from typing import Any

import msgspec

from mesh.core.peer import PeerCore
from mesh.local.sensitive import Marks, is_marked
from protocols.auction.events import LotCleared
from protocols.credentials import decode_chain
from protocols.errors import Malformed
from protocols.identity import text_id
from protocols.machine import SECOND_NS
from protocols.tasks.events import AttemptView, ClaimsDecided, TaskView
from protocols.tasks.versions import version_order

FORKED = "wrote two things to the blackboard under one number"


def decoded(value: msgspec.Raw) -> Any:
    """An encoded value; None where it is empty.

    A worker, or another peer, may call any bytes a value: those that are none are
    shown as how many they are.
    """
    size = memoryview(value).nbytes
    try:
        return msgspec.msgpack.decode(value) if size else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {"malformed": True, "bytes": size}


def seconds(wall_ns: int) -> float | None:
    """Wall-clock nanoseconds as seconds since 1970; None for 0, which means unknown."""
    return round(wall_ns / SECOND_NS, 6) if wall_ns else None


def ends_of(credential: bytes) -> int | None:
    """When a credential ends, or the issuer's that it rests on, in wall seconds."""
    try:
        _, issuer, peer = decode_chain(credential)
    except Malformed:
        return None
    return min(issuer.not_after_s, peer.not_after_s)


class Views:
    """Answers questions about one peer from its core."""

    def __init__(self, core: PeerCore, name: str, door: str, pid: int) -> None:
        """Takes the core, which is only read, and what the core does not know of its process."""
        self._core = core
        self._name = name
        self._door = door
        self._pid = pid

    def name_of(self, peer: bytes) -> str:
        """A peer's short name where it is known, else its text id; "" for no peer."""
        if not peer:
            return ""
        if peer == self._core.peer:
            return self._name
        for member in self._core.gossip.members():
            if member.peer == peer:
                return member.name
        return text_id(peer)

    def status(self) -> dict[str, Any]:
        """What this peer says of itself and of every member it knows."""
        mine = self._core.hosted_skills()
        members = self.members()
        alive = sum(1 for member in members if member["state"] in ("alive", "suspect"))
        myself = self._core.gossip.myself()
        return {
            "name": self._name,
            "id": text_id(self._core.peer),
            "address": self._door,
            "pid": self._pid,
            "state": "alive",
            "alive": alive + 1,
            "skills": mine,
            "sick": self._core.sick_skills(),
            "labels": list(self._core.labels),
            "boot": self._core.boot,
            "credential_ends": ends_of(myself.credential) if myself else None,
            "breakers": self.breakers(),
            "members": members,
            "work": self._work(),
            "suspects": self.suspects(),
            "standing": self.standing(),
            "electorate": self._electorate(),
            "time": time.time(),
            "python": platform.python_version(),
        }

    def _electorate(self) -> dict[str, Any] | None:
        """Who decides, as far as this peer knows."""
        roll = self._core.voting.electorate
        if roll is None:
            return None
        return {"epoch": roll.epoch, "electors": [text_id(each) for each in roll.electors]}

    def _work(self) -> dict[str, Any]:
        """How busy this peer is: its own tasks that are open, and the jobs that it runs."""
        busy = self._core.tasks.occupancy
        return {
            "open": self._core.tasks.undecided,
            "slots": sum(each.slots for each in busy),
            "running": sum(each.running for each in busy),
            "waiting": sum(each.waiting for each in busy),
        }

    def suspects(self) -> list[dict[str, Any]]:
        """Who signed against itself, by evidence that is kept here; `since` where it is known."""
        found = [
            (each.peer, each.offence, each.since_ns) for each in self._core.voting.suspects()
        ] + [(writer, FORKED, 0) for writer in self._core.board.forked]
        return [
            {
                "name": self.name_of(peer),
                "id": text_id(peer),
                "offence": offence,
                "since": seconds(since),
            }
            for peer, offence, since in found
        ]

    def standing(self) -> dict[str, Any]:
        """How far this peer may sign as an elector, as it may trust its own disk."""
        ballots, log = self._core.voting, self._core.log
        waits, is_old, silent = ballots.standing
        log_waits, log_is_old, bar = log.standing
        state = "restored" if is_old or log_is_old else "waits" if waits or log_waits else "signs"
        left = bar if bar > log.height else 0
        return {"state": state, "silent_ballots": silent, "silent_to_height": left}

    def peers(self) -> list[dict[str, Any]]:
        """This peer and every other member, as this peer sees them."""
        mine = self.status()
        members: list[dict[str, Any]] = mine.pop("members")
        return [mine, *members]

    def skills(self) -> list[dict[str, Any]]:
        """Every skill that an alive member hosts, and by whom."""
        hosts: dict[str, list[str]] = {name: [self._name] for name in self._core.hosted_skills()}
        for member in self.members():
            if member["state"] in ("alive", "suspect"):
                for name in member["skills"]:
                    hosts.setdefault(name, []).append(member["name"])
        return [{"skill": name, "peers": peers} for name, peers in sorted(hosts.items())]

    def newest_version(self, skill: str) -> str:
        """The highest version of a skill that an alive member hosts; "" for none."""
        hosted = [row["skill"].partition("@") for row in self.skills()]
        versions = [version for name, _, version in hosted if name == skill]
        return max(versions, key=version_order, default="")

    def find_peer(self, text: str) -> bytes | None:
        """The peer of this name or text id; None where nobody is known by it."""
        if text == self._name:
            return self._core.peer
        for member in self._core.gossip.members():
            if text in (member.name, text_id(member.peer)):
                return member.peer
        return self._core.peer if text == text_id(self._core.peer) else None

    def members(self) -> list[dict[str, Any]]:
        """Every other member, by name."""
        rows = [
            {
                "name": member.name,
                "id": text_id(member.peer),
                "address": member.door,
                "state": member.state,
                "incarnation": member.incarnation,
                "skills": [f"{skill.name}@{skill.version}" for skill in member.skills],
                "sick": [f"{skill.name}@{skill.version}" for skill in member.skills if skill.sick],
                "labels": list(member.labels),
                "load_ms": member.load,
                "clock_ms": member.clock_ms,
                "credential_ends": ends_of(member.credential),
            }
            for member in self._core.gossip.members()
        ]
        return sorted(rows, key=lambda row: str(row["name"]))

    def task(self, view: TaskView) -> dict[str, Any]:
        """A task as `mesh task` prints it."""
        failed = view.error_kind or view.error_message
        return {
            "task": view.task,
            "state": view.state,
            "result": self._shown(view),
            "error": {"kind": view.error_kind, "message": view.error_message} if failed else None,
            "attempts": view.attempts,
            "incomplete": view.incomplete,
            "producer": self.name_of(view.producer) or None,
            "skill": f"{view.skill}@{view.version}",
            "custodian": self.name_of(view.custodian),
            "parent": view.parent or None,
            "trace": view.traceparent or None,
            "key": view.key or None,
            "strategy": view.strategy,
            "progress": view.progress or None,
            "confidence": view.confidence / 1_000_000 if view.confidence >= 0 else None,
            "accepted": seconds(view.accepted_wall_ns),
            "settled": seconds(view.settled_wall_ns),
            "redriven": seconds(view.redriven_wall_ns),
            "reason": _reason(view) if view.state == "dead" else None,
            "exclusive": _exclusive(view),
            "waits_for": view.waits_for or None,
        }

    def _shown(self, view: TaskView) -> Any:
        """A result, what is sensitive in it masked: whoever submitted it is told it all."""
        value = decoded(view.value)
        schema = self._core.tasks.output_schema(view.skill, view.version).decode()
        return Marks(schema).masked(value) if is_marked(schema) else value

    def breakers(self, skill: str = "") -> list[dict[str, Any]]:
        """This peer's circuit breakers for others, of a skill or of all that were in use lately."""
        return [
            {
                "peer": self.name_of(view.peer),
                "skill": f"{view.skill}@{view.version}",
                "state": view.state,
                "faults": view.faults,
                "outcomes": view.outcomes,
                "budget_left": view.budget_left,
                "retry_s": round(view.retry_ns / SECOND_NS, 3),
            }
            for view in self._core.tasks.breakers(skill)
        ]

    def listed(self, view: TaskView) -> dict[str, Any]:
        """A task as `mesh tasks` lists it: its result is for `mesh task` to show."""
        row = self.task(view)
        del row["result"]
        return row

    def why(self, view: TaskView) -> dict[str, Any]:
        """A task's story: its attempts, and the lots in which their slots were won, or claimed."""
        lots: dict[str, dict[str, Any]] = {}
        claims: dict[str, dict[str, Any]] = {}
        for attempt in view.history:
            decided = self._core.tasks.decision(attempt.lot) if attempt.lot else None
            if decided is not None:
                claims[attempt.lot] = self._decision(decided)
            story = self._core.auction.lot_story(attempt.lot) if attempt.lot else None
            if story is not None:
                lots[attempt.lot] = self._lot(story)
        return {
            **self.task(view),
            "history": [self._attempt(attempt) for attempt in view.history],
            "lots": list(lots.values()),
            "claims": list(claims.values()),
            "children": list(view.children),
            "breakers": self.breakers(view.skill),
        }

    def _attempt(self, attempt: AttemptView) -> dict[str, Any]:
        return {
            "attempt": attempt.attempt,
            "lot": attempt.lot or None,
            "peer": self.name_of(attempt.peer),
            "started": seconds(attempt.started_wall_ns),
            "ended": seconds(attempt.ended_wall_ns),
            "status": attempt.status,
            "message": attempt.message,
            "fencing_token": attempt.fencing_token or None,
        }

    def _decision(self, decided: ClaimsDecided) -> dict[str, Any]:
        return {
            "lot": decided.lot,
            "claims": [
                {"peer": self.name_of(peer), "places": places, "load_ms": load_ms, "given": given}
                for peer, places, load_ms, given in decided.claims
            ],
        }

    def _lot(self, story: LotCleared) -> dict[str, Any]:
        return {
            "lot": story.lot,
            "skill": f"{story.skill}@{story.version}",
            "units": story.units,
            "awarded": story.awarded,
            "opened": seconds(story.opened_wall_ns),
            "cleared": seconds(story.cleared_wall_ns),
            "bids": [
                {
                    "bidder": self.name_of(bid.bidder),
                    "units": bid.units,
                    "completion_ms": bid.first_completion_us / 1000,
                    "cost": bid.first_cost / 1_000_000,
                    "confidence": bid.confidence / 1_000_000,
                    "multiplier": bid.multiplier / 1_000_000,
                    "slots": bid.slots_won,
                    "outcome": bid.outcome,
                }
                for bid in story.bids
            ],
        }


def _exclusive(view: TaskView) -> str | None:
    """The key of an exclusive task; None for any other."""
    return None if view.exclusive is None else view.exclusive or view.task


def _reason(view: TaskView) -> str:
    """Why a dead letter is one, in a word."""
    return {"PoisonTask": "poison", "PeerGone": "peer-gone"}.get(view.error_kind, "retries")
