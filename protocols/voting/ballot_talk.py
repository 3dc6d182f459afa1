"""Who is told what of a ballot, and how often.

What is said to one peer about one ballot in answer to something of its own (what is
this? here is the certificate) is said at most once in `RETRY_NS`, so that no exchange
grows by itself.
"""

from collections import OrderedDict
from collections.abc import Iterable

from protocols.effects import Blame, Effect, Emit, Send
from protocols.machine import SECOND_NS, Instant, Now
from protocols.voting.answers import SignedAnswer, contradiction
from protocols.voting.ballot_commands import VoterContradicted
from protocols.voting.ballot_messages import Decided, Question, Vote, Want
from protocols.voting.open_ballot import OpenBallot

RETRY_NS = SECOND_NS
TOLD_LIMIT = 4096
"""Replies that are remembered, so as not to repeat them at once."""
EARLY_LIMIT = 1024
"""Answers kept that came before their question."""


class BallotTalk:
    """What one peer says about ballots, as effects in the list that it is given."""

    def __init__(self, me: bytes, effects: list[Effect]) -> None:
        """Takes who this peer is."""
        self._me = me
        self._effects = effects
        self._replied: OrderedDict[tuple[bytes, bytes, str], Instant] = OrderedDict()
        self._early: OrderedDict[tuple[bytes, int, bytes], Vote] = OrderedDict()

    def ask(self, opened: OpenBallot) -> None:
        """The question goes to all electors."""
        self._to_electors(opened, opened.asked, ())

    def vote(self, opened: OpenBallot, voter: int, answer: SignedAnswer, link: bytes = b"") -> None:
        """An answer goes to all electors but its voter and whoever brought it."""
        voters = opened.electorate.electors
        self._to_electors(opened, opened.vote(voter, answer), (voters[voter], link))

    def again(self, opened: OpenBallot) -> None:
        """What is this peer's own to say: the question to those that are silent, its answer."""
        electors = opened.electorate.electors
        if opened.request.opener == self._me:
            silent = {electors[voter] for voter in opened.ballot.missing()}
            heard = [elector for elector in electors if elector not in silent]
            self._to_electors(opened, opened.asked, heard)
        if opened.own is not None and opened.seat is not None:
            self._to_electors(opened, opened.vote(opened.seat, opened.own), ())

    def wonder(self, link: bytes, ballot: bytes, now: Now) -> None:
        """Asks what a ballot is that somebody speaks of."""
        if link != self._me and self._may_reply(link, ballot, "want", now):
            self._effects.append(Send(link, Want(ballot)))

    def tell(self, to: bytes, ballot: bytes, certificate: bytes, now: Now) -> None:
        """Shows a certificate to one that is behind."""
        if certificate and to != self._me and self._may_reply(to, ballot, "decided", now):
            self._effects.append(Send(to, Decided(ballot, certificate)))

    def show(self, link: bytes, asked: Question, ballot: bytes, now: Now) -> None:
        """Says what a ballot is."""
        if self._may_reply(link, ballot, "question", now):
            self._effects.append(Send(link, asked))

    def contradicted(self, opened: OpenBallot, voter: int) -> None:
        """A voter has signed two answers."""
        peer = opened.electorate.electors[voter]
        answers = opened.ballot.answered[voter]
        evidence = contradiction(opened.request.epoch, opened.id, answers)
        self._effects.append(Emit(VoterContradicted(opened.id, peer, evidence)))
        if peer != self._me:
            self._effects.append(Blame(peer, "signed two answers to one ballot", (evidence,)))

    # Answers that came before their question.

    def keep_early(self, link: bytes, vote: Vote) -> None:
        """Keeps an answer for when its question comes; the oldest makes room."""
        self._early[(vote.ballot, vote.elector, link)] = vote
        if len(self._early) > EARLY_LIMIT:
            self._early.popitem(last=False)

    def take_early(self, ballot: bytes) -> list[tuple[bytes, Vote]]:
        """The answers that came before a question, and who brought each."""
        keys = [key for key in self._early if key[0] == ballot]
        return [(key[2], self._early.pop(key)) for key in keys]

    # Inside.

    def _to_electors(
        self, opened: OpenBallot, message: Question | Vote, but: Iterable[bytes]
    ) -> None:
        left_out = {self._me, *but}
        for elector in opened.electorate.electors:
            if elector not in left_out:
                self._effects.append(Send(elector, message))

    def _may_reply(self, to: bytes, ballot: bytes, what: str, now: Now) -> bool:
        key = (to, ballot, what)
        before = self._replied.get(key)
        if before is not None and now.monotonic_ns < before + RETRY_NS:
            return False
        self._replied.pop(key, None)
        self._replied[key] = now.monotonic_ns
        if len(self._replied) > TOLD_LIMIT:
            self._replied.popitem(last=False)
        return True

    def check(self) -> None:
        """Asserts the limits."""
        assert len(self._early) <= EARLY_LIMIT, "bounded-ballots"
        assert len(self._replied) <= TOLD_LIMIT, "bounded-ballots"
