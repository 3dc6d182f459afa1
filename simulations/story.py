"""What became of members, tasks and messages in a run, gathered from its trace.

A `Story` is what the report draws: intervals and counts, in virtual seconds,
with peers by name. It knows nothing of pages.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mesh.core.outward import Accuse, Execute, Notify, Transmit
from protocols.gossip.events import MemberDown, MemberSuspected, MemberUp
from protocols.machine import SECOND_NS
from protocols.tasks.events import AttemptsFailed, TasksAccepted, TasksSettled
from simulations.observations import JobFinished, JobHanded, PeerStarted, PeerStopped
from simulations.outcome import Outcome, execute
from simulations.plan import Plan
from simulations.schedule import Clock, Conditions, Slow, end_ms, kind_of
from simulations.trace import FrameStrayed, TraceEntry, Tracer, Words

BIN_S = 0.25
"""Messages and bytes are counted in stretches of so long."""
PROTOCOLS = ("gossip", "auction", "tasks", "other")
UNTIL_PEACE = (Clock, Conditions, Slow)
"""Faults that last until all faults end, where they name no end of their own."""
SIGNED_AS = "gossip"
"""Members' records and accusations, the only signed messages, are gossip's."""


class Span(msgspec.Struct):
    """Something lasted: from, until (seconds), and as what."""

    begin: float
    end: float
    state: str


class Attempt(msgspec.Struct):
    """One attempt at one peer. `status` is the handler's, or ``lost`` with its process."""

    task: str
    custodian: str
    number: int
    skill: str
    peer: str
    begin: float
    end: float
    status: str = "running"


class TaskStory(msgspec.Struct):
    """One accepted task, as its custodian tells of it. `state` is empty where it has no end."""

    task: str
    custodian: str
    skill: str
    accepted: float
    ended: float | None = None
    state: str = ""
    attempts: list[Attempt] = []


class Struck(msgspec.Struct):
    """A fault that struck: what it was called, whom it met, and how long it lasts."""

    at: float
    kind: str
    peer: str
    lasts: float
    text: str


class Detection(msgspec.Struct):
    """An observer noticed that a process had ended. `verdict` is ``suspect`` or ``dead``."""

    stopped: float
    subject: str
    observer: str
    verdict: str
    seconds: float


class Story:
    """Listens to a run. Give it every entry of the trace, then call `close`."""

    def __init__(self, names: Mapping[bytes, str], duration_s: float) -> None:
        """Takes the names of peers by their ids, in the order in which they are shown.

        `duration_s` is how long faults last: those without an end of their own end then.
        """
        self._names = names
        self._duration_s = duration_s
        self._words = Words(names)
        self.peers = list(names.values())
        self.liars: dict[str, str] = {}
        """Adversaries by the peers that they bend."""
        self.processes: dict[str, list[Span]] = {name: [] for name in self.peers}
        self.views: dict[tuple[str, str], list[Span]] = {}
        """By (subject, observer): ``alive``, ``suspect``, ``dead`` or ``left``."""
        self.tasks: dict[tuple[str, str], TaskStory] = {}
        self.attempts: list[Attempt] = []
        self.faults: list[Struck] = []
        self.detections: list[Detection] = []
        self.mistaken = 0
        """How often a peer was declared dead while its process lived."""
        self.blamed: list[tuple[float, str]] = []
        self.messages: dict[str, dict[int, int]] = {name: {} for name in PROTOCOLS}
        self.bytes: dict[str, dict[int, int]] = {name: {} for name in PROTOCOLS}
        self.sent: dict[str, int] = dict.fromkeys(self.peers, 0)
        """Bytes by sender."""
        self.lost: dict[int, int] = {}
        self.end = 0.0
        self._running: dict[tuple[str, bytes, str, int], Attempt] = {}

    def hear(self, entry: TraceEntry) -> None:
        """Takes the next entry of the trace."""
        at = self.end = entry.at_ns / SECOND_NS
        match entry.detail:
            case Notify(event):
                self._event(at, entry.peer, event)
            case Transmit(_, messages):
                self._sends(at, entry.peer, messages)
            case PeerStarted() | PeerStopped() | JobHanded() | JobFinished():
                self._befalls(at, entry.peer, entry.detail)
            case FrameStrayed(_, _, "lost"):
                _count(self.lost, at, 1)
            case Accuse():
                self.blamed.append((at, f"{entry.peer} blames {self._words.text(entry)}"))
            case Execute() | None:
                pass
            case detail if entry.kind == "fault":
                self._fault(at, entry.peer, detail)

    def close(self) -> None:
        """The run is over: what still lasts ends with it."""
        for spans in (*self.processes.values(), *self.views.values()):
            if spans and spans[-1].end < 0:
                spans[-1].end = self.end
        for attempt in self._running.values():
            attempt.end = self.end

    @property
    def shown_until(self) -> float:
        """When the last thing worth showing has happened; afterwards the mesh idles."""
        last = [span.begin for spans in self._all_spans() for span in spans]
        last += [attempt.end for attempt in self.attempts]
        last += [struck.at + struck.lasts for struck in self.faults]
        last += [task.ended for task in self.tasks.values() if task.ended is not None]
        if any(task.ended is None for task in self.tasks.values()):
            return self.end
        return min(self.end, max(last, default=0.0) + 2.0)

    def _all_spans(self) -> Iterator[list[Span]]:
        yield from self.processes.values()
        yield from self.views.values()

    # Members.

    def _event(self, at: float, peer: str, event: msgspec.Struct) -> None:
        match event:
            case MemberUp():
                self._sees(at, peer, event.peer, "alive")
            case MemberSuspected():
                self._sees(at, peer, event.peer, "suspect")
            case MemberDown():
                self._sees(at, peer, event.peer, event.reason)
            case TasksAccepted():
                for task in event.tasks:
                    story = TaskStory(task, peer, event.skill, at)
                    self.tasks.setdefault((peer, task), story)
            case TasksSettled():
                for settled in event.settled:
                    known = self.tasks.get((peer, settled.task))
                    if known is not None and known.ended is None:
                        known.ended, known.state = at, settled.state
            case AttemptsFailed():
                for task, number, status, _, _ in event.attempts:
                    self._failed(peer, task, number, status)

    def _failed(self, custodian: str, task: str, number: int, status: str) -> None:
        """What the custodian made of an attempt: of a lost one, nobody else can tell."""
        known = self.tasks.get((custodian, task))
        for attempt in known.attempts if known is not None else ():
            if attempt.number == number and attempt.status == "running":
                attempt.status = status

    def _sees(self, at: float, observer: str, subject_id: bytes, state: str) -> None:
        subject = self._names.get(subject_id)
        if subject is None or subject == observer:
            return
        spans = self.views.setdefault((subject, observer), [])
        if spans and spans[-1].end < 0:
            if spans[-1].state == state:
                return
            spans[-1].end = at
        spans.append(Span(at, -1, state))
        if state in ("suspect", "dead"):
            self._detects(at, observer, subject, state)

    def _detects(self, at: float, observer: str, subject: str, verdict: str) -> None:
        process = self.processes[subject]
        if process and process[-1].state == "down":
            stopped = process[-1].begin
            self.detections.append(Detection(stopped, subject, observer, verdict, at - stopped))
        elif verdict == "dead":
            self.mistaken += 1

    # Processes and handlers.

    def _befalls(self, at: float, peer: str, event: Any) -> None:
        match event:
            case PeerStarted():
                self._process(at, peer, "up")
            case PeerStopped():
                self._process(at, peer, "down")
                for (_, observer), spans in self.views.items():
                    if observer == peer and spans and spans[-1].end < 0:
                        spans[-1].end = at
                for key in [key for key in self._running if key[0] == peer]:
                    attempt = self._running.pop(key)
                    attempt.end, attempt.status = at, "lost"
            case JobHanded():
                custodian = self._words.peer(event.custodian)
                attempt = Attempt(event.task, custodian, event.attempt, event.skill, peer, at, -1)
                self.attempts.append(attempt)
                self._running[peer, event.custodian, event.task, event.attempt] = attempt
                known = self.tasks.get((custodian, event.task))
                if known is not None:
                    known.attempts.append(attempt)
            case JobFinished():
                key = (peer, event.custodian, event.task, event.attempt)
                ended = self._running.pop(key, None)
                if ended is not None:
                    ended.end, ended.status = at, event.status

    def _process(self, at: float, peer: str, state: str) -> None:
        spans = self.processes[peer]
        if spans and spans[-1].end < 0:
            spans[-1].end = at
        spans.append(Span(at, -1, state))

    # Faults and traffic.

    def _fault(self, at: float, peer: str, detail: Any) -> None:
        text = self._words.value(detail)
        lasts = (end_ms(detail) - detail.at_ms) / 1000
        if not lasts and isinstance(detail, UNTIL_PEACE):
            lasts = max(0.0, self._duration_s - detail.at_ms / 1000)
        self.faults.append(Struck(at, kind_of(detail), peer, lasts, text))

    def _sends(self, at: float, peer: str, messages: tuple[bytes, ...]) -> None:
        for message in messages:
            protocol = protocol_of(message)
            _count(self.messages[protocol], at, 1)
            _count(self.bytes[protocol], at, len(message))
            self.sent[peer] = self.sent.get(peer, 0) + len(message)


def tell(plan: Plan) -> tuple[Outcome, Story]:
    """Executes a plan, and gathers its story."""
    told: list[Story] = []

    def listen(names: dict[bytes, str]) -> Tracer:
        told.append(Story(names, plan.scenario.duration_s))
        return told[0].hear

    outcome = execute(plan, listen)
    [story] = told
    story.close()
    liars = plan.scenario.liars
    story.liars = dict(zip(reversed(story.peers), liars, strict=False))
    return outcome, story


def protocol_of(message: bytes) -> str:
    """Which protocol an encoded message is of, from its tag, which comes first."""
    head = message[:16]
    if b"signed" in head:
        return SIGNED_AS
    for protocol in PROTOCOLS:
        if protocol.encode() + b"." in head:
            return protocol
    return "other"


def _count(bins: dict[int, int], at: float, much: int) -> None:
    index = int(at / BIN_S)
    bins[index] = bins.get(index, 0) + much
