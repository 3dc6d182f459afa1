"""A ballot that is open here: what was asked, what this peer said to it, who waits for it."""

from collections.abc import Callable
from typing import Protocol

from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant, Now
from protocols.voting.answers import SignedAnswer
from protocols.voting.ballot import Ballot
from protocols.voting.ballot_messages import BallotRecord, Question, Vote
from protocols.voting.normalising import choice_of
from protocols.voting.panels import panel_of
from protocols.voting.requests import Request, ballot_id

TEXTS_BYTES = 64 * 1024
"""Bytes of answers that are kept of one ballot; beyond, a choice is known by its hash."""

LEFT_NS = 30 * SECOND_NS
"""So long after its close a ballot is settled by its own electors once there are others."""


class Electors(Protocol):
    """An electorate, as ballots need it."""

    @property
    def epoch(self) -> int:
        """Its epoch."""

    @property
    def electors(self) -> tuple[bytes, ...]:
        """Its peers, in their order."""

    def order(self, instance: bytes) -> tuple[int, ...]:
        """The order in which they lead an instance."""


class OpenBallot:
    """One open ballot.

    Attributes:
        asked: the question as it travels.
        request: what is in it.
        ballot: the answers, and the judgement of sets.
        electorate: whose ballot it is.
        seat: this peer's index there; None where it is none of them.
        callers: the numbers of the local requests that wait for it.
        own: what this peer answered.
        texts: the answers behind choices, as far as known.
        record: what is written down of it.
        ends: when it is given up here.
        resend: when this peer says again what it has to say.
        has_begun: whether its Simplex instance runs against the clock.
        is_given_up: whether the callers were told that nothing will come of it.
        is_silent: whether this peer signs nothing in it, for want of trust in its own disk.
        ending: why it ends where nothing settles it.
    """

    def __init__(
        self,
        asked: Question,
        request: Request,
        electorate: Electors,
        keyring: Keyring,
        is_down: Callable[[bytes], bool],
        now: Now,
    ) -> None:
        """Opens it; `now` is when this peer first saw it."""
        self.asked = asked
        self.request = request
        self.electorate = electorate
        electors = electorate.electors
        self.seat = electors.index(keyring.peer) if keyring.peer in electors else None
        closes = now.monotonic_ns + request.close_ms * MILLISECOND_NS
        self.ends: Instant = now.monotonic_ns + request.deadline_ms * MILLISECOND_NS
        ballot = ballot_id(asked.request)
        self.ballot = Ballot(
            request,
            ballot,
            electors,
            panel_of(ballot, len(electors), request.panel),
            keyring,
            closes,
            is_down,
        )
        wall = now.wall_ns
        self.record = BallotRecord(
            asked,
            wall + request.close_ms * MILLISECOND_NS,
            wall + request.deadline_ms * MILLISECOND_NS,
        )
        self.callers: list[int] = []
        self.own: SignedAnswer | None = None
        self.texts: dict[bytes, bytes] = {}
        self._text_bytes = 0
        self.resend: Instant = 0
        self.has_begun = False
        self.is_given_up = False
        self.is_silent = False
        self.ending = "its deadline has passed, and no quorum has settled it"

    def outlive(self, epoch: int, is_lost: bool, now: Now) -> None:
        """Those of an epoch decide from now on: if it is another's, it has a while left.

        Some of its electors may be gone for good, and one that starts again has forgotten it;
        where `is_lost`, a quorum of them is gone, and it ends at once.
        """
        soon = now.monotonic_ns
        if not is_lost:
            soon = max(self.ballot.closes, soon) + LEFT_NS
        if self.electorate.epoch != epoch and soon < self.ends:
            self.ends = soon
            self.ending = (
                "others are electors now, and those it asked have not settled it: ask again"
            )

    def shift(self, record: BallotRecord, now: Now) -> None:
        """Takes close and end from an earlier life, in which it was first seen."""
        self.record = record
        self.ballot.closes = now.monotonic_ns + record.closes_ns - now.wall_ns
        self.ends = now.monotonic_ns + record.ends_ns - now.wall_ns

    @property
    def id(self) -> bytes:
        """The ballot's id."""
        return self.ballot.id

    @property
    def may_vote(self) -> bool:
        """Whether this peer is one of its voters, and may answer."""
        is_voter = self.seat is not None and self.seat in self.ballot.voters
        return is_voter and not self.is_silent

    def keep_text(self, choice: bytes, text: bytes) -> None:
        """Keeps the answer behind a choice, if it is that and there is room."""
        if not text or choice in self.texts or choice_of(text) != choice:
            return
        if self._text_bytes + len(text) <= TEXTS_BYTES:
            self._text_bytes += len(text)
            self.texts[choice] = text

    def vote(self, voter: int, answer: SignedAnswer) -> Vote:
        """A voter's answer as it travels."""
        return Vote(self.id, voter, answer, self.texts.get(answer.choice, b""))

    def due(self) -> Instant:
        """When something of it is due next."""
        instants = [self.ends, self.resend]
        # Who only asks has nothing to do at the close.
        if self.seat is not None and (not self.has_begun or (self.may_vote and self.own is None)):
            instants.append(self.ballot.closes)
        return min(instants)
