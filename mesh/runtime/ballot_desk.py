"""Ballots between this peer's core, its agents and its clients.

A voter's answer is a task like any other: submitted to this peer itself, run by its own
agents, once for each ballot however often the peer restarts (the ids of ballot and voter are
the idempotency key). The answers of all voters are one trace, whose id is the beginning of the
ballot's. A task's end, or its refusal, goes back to the core as this voter's answer. A
client that decides waits here for the certificate, which is told as plain values.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import structlog
import trio

from mesh.core.peer import PeerCore
from mesh.runtime.decisions import described
from mesh.runtime.views import Views
from mesh.storage.electorate import load_electorate
from mesh.storage.folder import MeshFolder
from protocols.errors import Refused
from protocols.identity import text_id
from protocols.tasks.commands import SubmitTasks, TaskSpec
from protocols.tasks.events import Settled, SubmissionRefused, TasksAccepted, TasksSettled
from protocols.voting.ballot_commands import (
    AdoptElectorate,
    AnswerCast,
    AskVoter,
    BallotDecided,
    BallotEnded,
    CastAnswer,
    OpenBallot,
    ProposeElectorate,
)
from protocols.voting.log_commands import FollowElectorate
from protocols.voting.roll import BUNDLE_LIMIT
from protocols.wire import encode

STARTING_S = 0.05
"""How often it is looked whether the agents are up."""
REASONS_KEPT = 1_000
"""Ballots of which it is remembered why this peer abstained; the oldest make room."""


class Driver(Protocol):
    """Who carries commands to the core."""

    def submit(self, command: msgspec.Struct) -> object:
        """Takes a command; its events come later. May raise `Refused`."""

    def flush(self) -> None:
        """Carries out what the commands given so far have caused."""


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """The arguments of the verb ``decide``; see docs/reference/local-protocol.md."""

    skill: str
    input: dict[str, Any] = {}
    version: str = ""
    rule: str = "majority"
    compare: str = ""
    options: tuple[str, ...] = ()
    voters: int = 0
    distinct: tuple[str, ...] = ("peer",)
    close_ms: int = 60_000
    deadline_ms: int = 0


class _Abstention(msgspec.Struct):
    """Which ballot a reason is wanted of."""

    ballot: bytes


class _Waiting:
    """A client that waits for a ballot."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.end: BallotDecided | BallotEnded | None = None


class BallotDesk:
    """Has voters' questions answered by this peer's agents, and clients' by ballots."""

    def __init__(self, core: PeerCore, driver: Driver, views: Views) -> None:
        """Takes the core, the way to it, and who knows names."""
        self._me = core.peer
        self._driver = driver
        self._core = core
        self._read = core.voting.read
        self._input_fault = core.tasks.input_fault
        self._views = views
        self._log = structlog.get_logger("mesh.ballots")
        self._number = 0
        self._asked: dict[int, AskVoter] = {}
        self._early: list[AskVoter] = []
        self._agents_are_up = False
        self._tasks: dict[str, bytes] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._reasons: dict[bytes, str] = {}

    def _adopt(self, bundle: bytes) -> None:
        """Tells the core who votes, where the mesh folder says so."""
        if bundle:
            try:
                self._driver.submit(AdoptElectorate(bundle))
                self._driver.submit(FollowElectorate(bundle))
            except Refused as error:
                self._log.warning("no-electorate", reason=error.message)

    async def run(self, folder: MeshFolder, agents_are_up: Callable[[], bool]) -> None:
        """Adopts the electorate; asks again what came while the agents were still starting."""
        self._adopt(load_electorate(folder))
        self._adopt(self._core.voting.bundle)  # the log may not have got as far before it ended
        while True:
            if agents_are_up():
                break
            await trio.sleep(STARTING_S)
        await trio.sleep(STARTING_S)  # for the core to hear of their skills
        self._agents_are_up = True
        early, self._early = self._early, []
        for job in early:
            self.execute(job)
        self._driver.flush()

    # From clients.

    def verbs(self) -> dict[str, Callable[[Any], Any]]:
        """What it answers."""
        return {
            "decide": self.decide,
            "abstention": self.abstention,
            "electorate": self.electorate,
            "propose-electorate": self.propose_electorate,
        }

    async def decide(self, arguments: Any) -> dict[str, Any]:
        """Answers the verb ``decide``.

        Raises:
            Refused: the ballot cannot be held, or came to no end.
        """
        command = self._command(arguments)
        waiting = self._waiting[command.request] = _Waiting()
        try:
            self._driver.submit(command)
            self._driver.flush()
            await waiting.done.wait()
        finally:
            del self._waiting[command.request]
        end = waiting.end
        if isinstance(end, BallotEnded):
            raise Refused(
                "NoDecision", f"{end.reason}: no certificate; `mesh peers` shows who is alive"
            )
        assert end is not None, "done"
        told = described(self._read(end.certificate), self._views.name_of)
        return told | {"certificate": end.certificate}

    def abstention(self, arguments: Any) -> dict[str, Any]:
        """Answers the verb ``abstention``: why this peer abstained from a ballot, if it did.

        Raises:
            Refused: `ballot` is none.
        """
        try:
            asked = msgspec.convert(arguments, _Abstention)
        except msgspec.ValidationError as error:
            raise Refused("InvalidInput", str(error)) from None
        return {"reason": self._reasons.get(asked.ballot)}

    def electorate(self, arguments: Any) -> dict[str, Any]:
        """Answers the verb ``electorate``: who decides, as far as this peer knows.

        Raises:
            Refused: it does not know yet.
        """
        roll = self._core.voting.electorate
        if roll is None:
            raise Refused("NoElectorate", "this peer does not know yet who decides: try again")
        return {
            "epoch": roll.epoch,
            "quorum": roll.quorum,
            "tolerates": roll.tolerates,
            "electors": [text_id(elector) for elector in roll.electors],
            "log_height": self._core.log.height,
            "log_head": self._core.log.head,
        }

    def propose_electorate(self, arguments: Any) -> dict[str, Any]:
        """Answers the verb ``propose-electorate``: the electors are told, and may agree in time.

        Raises:
            Refused: see `ProposeElectorate`.
        """
        bundle = arguments.get("bundle") if isinstance(arguments, dict) else None
        if not isinstance(bundle, bytes) or len(bundle) > BUNDLE_LIMIT:
            raise Refused("InvalidInput", "`bundle` is the electorate as the root has signed it")
        self._driver.submit(ProposeElectorate(bundle))
        self._driver.flush()
        return {}

    def _command(self, arguments: Any) -> OpenBallot:
        try:
            wanted = msgspec.convert(arguments or {}, Wanted)
        except msgspec.ValidationError as error:
            raise Refused("InvalidInput", str(error)) from None
        if wanted.distinct != ("peer",):
            raise Refused("InvalidBallot", "voters are distinct by peer, and by nothing else yet")
        name, _, version = wanted.skill.partition("@")
        version = wanted.version or version or self._views.newest_version(name)
        if not version:
            raise Refused("UnknownSkill", f"no live peer hosts {name}; `mesh peers` shows skills")
        question = encode(wanted.input)
        # Else all voters would refuse it, and abstain.
        fault = self._input_fault(name, version, msgspec.Raw(question))
        if fault is not None:
            raise Refused("InvalidInput", f"{name}: {fault}")
        self._number -= 1
        return OpenBallot(
            self._number,
            name,
            version,
            question,
            rule=wanted.rule,
            folding=wanted.compare or ("number" if wanted.rule == "median" else "text"),
            options=wanted.options,
            voters=wanted.voters,
            close_ms=wanted.close_ms,
            deadline_ms=wanted.deadline_ms or wanted.close_ms + max(30_000, wanted.close_ms // 2),
        )

    # From the core.

    def execute(self, job: msgspec.Struct) -> bool:
        """Has this peer's own agents answer; False where it is another job."""
        if not isinstance(job, AskVoter):
            return False
        # Below zero: the tasks' own desk counts up from one.
        self._number -= 1
        number = self._number
        self._asked[number] = job
        task = TaskSpec(
            job.skill,
            msgspec.Raw(job.question),
            version=job.version,
            # Its voter's own: the other voters' answers are tasks of other ids.
            key=f"ballot/{job.ballot.hex()}/{text_id(self._me)}",
            strategy="direct",
            to=self._me,
            deadline_ms=job.timeout_ms,
            traceparent=_traceparent(job.ballot),
            principal="ballot",
        )
        try:
            self._driver.submit(SubmitTasks(number, (task,)))
        except Refused as error:
            self._no_answer(number, error.kind, error.message)
        return True

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        match event:
            case TasksAccepted() if event.request in self._asked:
                self._tasks[event.tasks[0]] = self._asked.pop(event.request).ballot
            case SubmissionRefused() if event.request in self._asked:
                self._no_answer(event.request, event.kind, event.message)
            case TasksSettled() if self._tasks:
                for end in event.settled:
                    self._settled(end)
            case BallotDecided() | BallotEnded():
                for request in event.requests:
                    waiting = self._waiting.get(request)
                    if waiting is not None:
                        waiting.end = event
                        waiting.done.set()
            case AnswerCast() if event.reason:
                self._reasons[event.ballot] = event.reason.partition("\n")[0]
                if len(self._reasons) > REASONS_KEPT:
                    del self._reasons[next(iter(self._reasons))]
            case _:
                pass

    # Inside.

    def _settled(self, end: Settled) -> None:
        ballot = self._tasks.pop(end.task, None)
        if ballot is None:
            return
        if end.state == "done":
            self._driver.submit(CastAnswer(ballot, bytes(end.value), end.confidence))
        else:
            reason = f"{end.state}: {end.error_message}"[:256]
            self._driver.submit(CastAnswer(ballot, b"", reason=reason))

    def _no_answer(self, number: int, kind: str, reason: str) -> None:
        job = self._asked.pop(number)
        if kind == "UnknownSkill" and not self._agents_are_up:
            # It may be hosted in a moment: abstaining is for good.
            self._early.append(job)
        else:
            self._driver.submit(CastAnswer(job.ballot, b"", reason=reason[:256]))


def _traceparent(ballot: bytes) -> str:
    """The W3C trace context of all that voters do for a ballot; nothing is above it."""
    trace = ballot.hex()[:32]
    return f"00-{trace}-{trace[:16]}-01"
