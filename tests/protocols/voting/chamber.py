"""Whole machines that settle ballots among themselves; every message takes one tick.

Liars are what a filter makes of an honest machine's messages.
"""

import heapq
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from protocols.credentials import Succession
from protocols.effects import Blame, Effect, Emit, Perform, Persist, Send
from protocols.identity import Ed25519Keyring, Keyring
from protocols.machine import MILLISECOND_NS, Now
from protocols.statements import RootSucceeded, consent_of
from protocols.voting import ballot_commands as commands
from protocols.voting.ballot_messages import Vote
from protocols.voting.balloting import Balloting
from protocols.voting.certificate import Decision
from protocols.voting.marks import FINALISE, NOTARISE, NULLIFY, digest_of
from protocols.voting.roll import Root, make_bundle
from protocols.voting.settlement_messages import MarkSaid, Proposal
from protocols.wire import encode, seal

TICK_NS = 10 * MILLISECOND_NS
"""How long a message travels."""
ROOT = Ed25519Keyring(b"\x07" * 32, b"")
MESH = ROOT.peer
RETIRES_S = 2_000_000_000
Filter = Callable[[bytes, msgspec.Struct], Iterable[msgspec.Struct]]
"""What an elector really sends to a peer, in the place of one message."""


def signer(index: int) -> Ed25519Keyring:
    """The keyring of one elector."""
    return Ed25519Keyring(bytes([index + 1]) * 32, MESH)


def bundle(n: int, epoch: int = 1) -> bytes:
    """The electorate of the first n electors."""
    return bundle_of(range(n), epoch)


def bundle_of(places: Iterable[int], epoch: int) -> bytes:
    """The electorate of some electors, in some order."""
    root = Ed25519Keyring(b"\x07" * 32, MESH)
    return make_bundle(Root(MESH, root), epoch, tuple(signer(index).peer for index in places))


def succeeded(root: Root, successor: Keyring) -> Root:
    """The root after one."""
    consent = consent_of(successor, root.keyring.peer, RETIRES_S)
    said = seal(root.keyring, RootSucceeded(successor.peer, RETIRES_S, consent))
    return Root(root.mesh, successor, (*root.roots, Succession(said.body, said.signature)))


class Elector:
    """One machine, and what came of it."""

    def __init__(self, index: int, boot: int = 1) -> None:
        self.index = index
        self.keyring = signer(index)
        self.machine = Balloting(self.keyring, MESH, boot)
        self.records: list[msgspec.Struct] = []
        self.decided: list[commands.BallotDecided] = []
        self.ended: list[commands.BallotEnded] = []
        self.events: list[Any] = []
        self.blamed: list[tuple[bytes, str]] = []
        self.answer: object = "yes"
        self.delay_ns = 0
        self.decided_at = 0.0
        """In message delays."""
        self.is_dead = False
        self.signed: dict[tuple[object, ...], object] = {}
        """What it has said, in all its lives: in which place of which ballot, what."""
        self.lies: Filter | None = None

    def of(self, kind: type) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class Chamber:
    """Electors, and guests that are none."""

    def __init__(self, n: int, guests: int = 0) -> None:
        self.n = n
        self.electors = [Elector(index) for index in range(n + guests)]
        self.by_peer = {elector.keyring.peer: elector for elector in self.electors}
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self.now_ns = 0
        for elector in self.electors:
            self.submit(elector, commands.AdoptElectorate(bundle(n)))

    # What tests do.

    @property
    def now(self) -> Now:
        """The time."""
        return Now(self.now_ns, 10**18 + self.now_ns)

    @property
    def ticks(self) -> float:
        """The time, in message delays."""
        return self.now_ns / TICK_NS

    def open(self, by: int = 0, **changes: Any) -> None:
        """Somebody asks."""
        command = commands.OpenBallot(7, "review", "1", encode({"text": "x"}), close_ms=10_000)
        self.submit(self.electors[by], msgspec.structs.replace(command, **changes))

    def run(self, seconds: float = 100.0) -> None:
        """Until nothing is left to do, or so long."""
        end = self.now_ns + round(seconds * 1_000_000_000)
        while True:
            timers = [self._due(elector) for elector in self.electors if not elector.is_dead]
            timer = min((due for due in timers if due is not None), default=None)
            message = self._queue[0][0] if self._queue else None
            instants = [each for each in (timer, message) if each is not None]
            if not instants or min(instants) > end:
                self.now_ns = max(self.now_ns, end) if instants else self.now_ns
                return
            self.now_ns = max(self.now_ns, min(instants))
            if message is not None and message <= self.now_ns:
                heapq.heappop(self._queue)[2]()
            else:
                for elector in self.electors:
                    due = self._due(elector)
                    if not elector.is_dead and due is not None and due <= self.now_ns:
                        self._carry_out(elector, elector.machine.wake(self.now))
            for elector in self.electors:
                elector.machine.check()

    def kill(self, index: int, is_known: bool = True) -> None:
        """An elector is dead; others hear of it, or do not."""
        self.electors[index].is_dead = True
        for elector in self.electors if is_known else ():
            if not elector.is_dead:
                peer = self.electors[index].keyring.peer
                self.submit(elector, commands.ElectorDown(peer))

    def restart(
        self, index: int, compacted: bool = False, copy: list[msgspec.Struct] | None = None
    ) -> Elector:
        """An elector begins again from its records, or from an older copy of them."""
        old = self.electors[index]
        new = Elector(index, boot=2)
        new.answer, new.lies, new.decided = old.answer, old.lies, old.decided
        new.signed, old.is_dead = old.signed, True
        records = list(old.machine.snapshot()) if compacted else list(old.records)
        records = records if copy is None else list(copy)
        new.machine.restore(records, self.now)
        new.records = records
        self.electors[index] = self.by_peer[new.keyring.peer] = new
        self._carry_out(new, new.machine.wake(self.now))
        return new

    def submit(self, elector: Elector, command: msgspec.Struct) -> None:
        """A local command."""
        self._carry_out(elector, elector.machine.submit(command, self.now))

    def decisions(self) -> list[Decision]:
        """What those that are alive have for it, read from their certificates."""
        return [
            elector.machine.read(elector.decided[0].certificate)
            for elector in self.electors
            if elector.decided and not elector.is_dead
        ]

    # Inside.

    def _due(self, elector: Elector) -> int | None:
        return elector.machine.deadline()

    def _carry_out(self, elector: Elector, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Persist():
                    elector.records.append(effect.record)
                case Send():
                    self._send(elector, effect)
                case Perform():
                    job = effect.job
                    assert isinstance(job, commands.AskVoter)
                    self._ask(elector, job)
                case Blame():
                    elector.blamed.append((effect.peer, effect.offence))
                case Emit():
                    self._note(elector, effect.event)

    def _note(self, elector: Elector, event: Any) -> None:
        elector.events.append(event)
        if isinstance(event, commands.VoterContradicted):
            self.submit(elector, commands.KeepEvidence(event.voter, event.evidence))
        elif isinstance(event, commands.ElectorContradicted):
            self.submit(elector, commands.KeepEvidence(event.elector, event.evidence))
        if isinstance(event, commands.BallotDecided):
            elector.decided.append(event)
            elector.decided_at = self.ticks
        elif isinstance(event, commands.BallotEnded):
            elector.ended.append(event)

    def _ask(self, elector: Elector, job: commands.AskVoter) -> None:
        if elector.answer is Ellipsis:
            return  # it never answers
        value = b"" if elector.answer is None else encode(elector.answer)

        def answer() -> None:
            if not elector.is_dead:
                self.submit(elector, commands.CastAnswer(job.ballot, value))

        self._later(elector.delay_ns, answer)

    def _send(self, sender: Elector, send: Send) -> None:
        note_signed(sender, send.message)
        sent = [send.message] if sender.lies is None else sender.lies(send.to, send.message)
        for message in sent:

            def arrive(message: msgspec.Struct = message) -> None:
                receiver = self.by_peer.get(send.to)
                if receiver is not None and not receiver.is_dead:
                    peer = sender.keyring.peer
                    self._carry_out(
                        receiver, receiver.machine.receive(peer, peer, message, self.now)
                    )

            self._later(TICK_NS, arrive)

    def _later(self, delay_ns: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now_ns + delay_ns, next(self._serial), act))


def note_signed(sender: Elector, message: msgspec.Struct) -> None:
    """Asserts that whoever signed a message never signs against it, in any of its lives."""
    match message:
        case Vote() if message.elector == sender.index:
            what, place = (message.answer.choice, message.answer.confidence), (message.ballot,)
            assert sender.signed.setdefault(place, what) == what, "two answers to one ballot"
        case MarkSaid() if message.elector == sender.index:
            note_mark(sender, message.ballot, message.view, message.phase, message.digest)
        case Proposal():
            digest = digest_of(message.payload)
            note_mark(sender, message.ballot, message.view, NOTARISE, digest)


def note_mark(sender: Elector, ballot: bytes, view: int, phase: str, digest: bytes) -> None:
    """The same, of a mark."""
    said = sender.signed.setdefault((ballot, view, phase), digest)
    assert said == digest, f"two marks in the {phase} of view {view}"
    ends = {(ballot, view, NULLIFY), (ballot, view, FINALISE)}
    assert not ends <= sender.signed.keys(), "nullifies and finalises one view"
