"""Several peers' ballots in one room: what they send arrives at once, unless somebody is cut off.

What settles them is a stand-in that only writes down what it is told.
"""

from collections import deque
from typing import Any, NamedTuple

import msgspec

from protocols.effects import Blame, Effect, Emit, Perform, Persist, Send
from protocols.quorum import tolerated
from protocols.voting import ballot_messages as messages
from protocols.voting.answers import decode_set, tally_of
from protocols.voting.ballot import Ballot
from protocols.voting.ballot_commands import AskVoter, CastAnswer, OpenBallot
from protocols.voting.ballots import Ballots
from protocols.voting.open_ballot import OpenBallot as Opened
from protocols.wire import encode
from tests.protocols.voting.voters import at, keyrings


class Electorate(NamedTuple):
    epoch: int
    electors: tuple[bytes, ...]

    def order(self, instance: bytes) -> tuple[int, ...]:
        return tuple(range(len(self.electors)))


class Settling:
    """Remembers the instances, and which of them run against the clock."""

    def __init__(self) -> None:
        self.instances: dict[bytes, Ballot] = {}
        self.ready: dict[bytes, bool] = {}

    def begin(self, ballot: bytes, electorate: Any, application: Ballot, now: Any) -> None:
        self.instances[ballot] = application

    def look(self, ballot: bytes, is_ready: bool, now: Any) -> None:
        self.ready[ballot] = is_ready

    def forget(self, ballot: bytes) -> None:
        self.instances.pop(ballot, None)
        self.ready.pop(ballot, None)


class Trusting:
    """A disk that is as it was left."""

    def may_sign(self, ballot: bytes) -> bool:
        return True

    def is_silent(self, request: Any) -> bool:
        return False

    def own_shown(self) -> None:
        raise AssertionError("a disk that keeps everything lacks an answer")


class Certifying:
    """A certificate here is the set itself."""

    def certify(self, opened: Opened, payload: bytes, proof: bytes) -> tuple[bytes, str, int]:
        answers = decode_set(payload)
        assert answers is not None
        voters = len(opened.ballot.voters)
        tally = tally_of(opened.request.rule, voters, tolerated(voters), answers)
        return payload, tally.status, tally.margin

    def is_certificate(self, opened: Opened, file: bytes) -> tuple[str, int] | None:
        return None if decode_set(file) is None else ("certified", 3)


class Seat:
    """One peer in the hall."""

    def __init__(self, index: int, electorate: Electorate, boot: int = 1) -> None:
        self.keyring = keyrings(32)[index]
        self.peer = self.keyring.peer
        self.effects: list[Effect] = []
        self.settling = Settling()
        self.electorate: Electorate | None = electorate
        self.ballots = Ballots(
            self.keyring, boot, lambda: self.electorate, self.settling, Certifying(), Trusting(),
            self.effects,
        )  # fmt: skip
        self.records: list[msgspec.Struct] = []
        self.events: list[Any] = []
        self.jobs: list[AskVoter] = []
        self.blamed: list[tuple[bytes, str]] = []
        self.is_cut_off = False

    def take(self) -> list[Send]:
        """Carries out everything but what is sent, which it returns."""
        sent: list[Send] = []
        for effect in self.effects:
            match effect:
                case Send():
                    sent.append(effect)
                case Persist():
                    self.records.append(effect.record)
                case Emit():
                    self.events.append(effect.event)
                case Perform():
                    assert isinstance(effect.job, AskVoter)
                    self.jobs.append(effect.job)
                case Blame():
                    self.blamed.append((effect.peer, effect.offence))
        self.effects.clear()
        self.ballots.check()
        return sent

    def of(self, kind: type) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


class Hall:
    """Electors, and guests that are none."""

    def __init__(self, electors: int, guests: int = 0) -> None:
        peers = tuple(keyring.peer for keyring in keyrings(electors))
        self.electorate = Electorate(1, peers)
        self.seats = [Seat(index, self.electorate) for index in range(electors + guests)]
        self.by_peer = {seat.peer: seat for seat in self.seats}
        self.sent: list[tuple[bytes, Send]] = []
        self.seconds = 0.0

    def open(self, by: int = 0, **changes: Any) -> bytes:
        """Somebody asks; returns the ballot."""
        command = OpenBallot(7, "review", "1", encode({"text": "x"}), close_ms=10_000)
        command = msgspec.structs.replace(command, **changes)
        self.seats[by].ballots.open(command, at(self.seconds))
        self.deliver()
        return self.id

    @property
    def id(self) -> bytes:
        """The ballot that was asked for last."""
        return next(seat.jobs[-1].ballot for seat in self.seats if seat.jobs)

    def cast(self, voter: int, said: object, confidence: int = -1) -> None:
        """A voter's agents have answered; None for no answer."""
        value = b"" if said is None else encode(said)
        command = CastAnswer(self.id, value, confidence, "" if value else "failed")
        self.seats[voter].ballots.cast(command, at(self.seconds))
        self.deliver()

    def at(self, seconds: float) -> None:
        """Time passes."""
        self.seconds = seconds
        for seat in self.seats:
            seat.ballots.wake(at(seconds))
        self.deliver()

    def deliver(self) -> None:
        """All that was sent arrives."""
        queue: deque[tuple[bytes, Send]] = deque()
        self._collect(queue)
        while queue:
            sender, send = queue.popleft()
            self.sent.append((sender, send))
            seat = self.by_peer.get(send.to)
            if seat is None or seat.is_cut_off or self.by_peer[sender].is_cut_off:
                continue
            receive(seat, sender, send.message, self.seconds)
            self._collect(queue)

    def _collect(self, queue: deque[tuple[bytes, Send]]) -> None:
        for seat in self.seats:
            queue.extend((seat.peer, send) for send in seat.take())

    def down(self, index: int) -> None:
        """Everybody else holds a peer dead."""
        for seat in self.seats:
            seat.ballots.elector_down(self.seats[index].peer, at(self.seconds))
        self.deliver()


def receive(seat: Seat, sender: bytes, message: Any, seconds: float) -> None:
    """One message arrives."""
    now, ballots = at(seconds), seat.ballots
    match message:
        case messages.Question():
            ballots.on_question(sender, message, now)
        case messages.Vote():
            ballots.on_vote(sender, message, now)
        case messages.Want():
            ballots.on_want(sender, message, now)
        case messages.Decided():
            ballots.on_decided(sender, message, now)
