"""One ballot as one elector knows it: who has said what, and which sets it would settle.

It is what a Simplex instance asks (`propose`, `accepts`): a payload is an encoded set of
answers (`answers.py`), and every view is about the one question of what that set is.

    waiting  some voter that may still answer has not
    ready    all have; or the close has passed; or the rule can name no winner any more
    settled  a set was finalised

A leader proposes all that it knows once it is ready and at least v - f of the v voters
have answered. An elector accepts a set that

1. holds good answers of voters of this ballot, v - f of them at least;
2. leaves nobody out that may still answer: who is left out counts as dead here, or the
   close has passed; unless the rule can name no winner whatever they would say;
3. holds every answer that this elector had first seen Δ + ε before its own close or, where
   that is earlier, before it was asked. It passed each on at once, so an honest leader had it
   in time; two that contradict each other are such an answer.

After k nullified views in a row rules 2 and 3 are dropped: where messages are slow an honest leader
may break them, and a set must be settled all the same. What is left out is in the open: the margin
that an outcome needs grows by one with each voter left out (`rules.py`).

Invariants:
    first-answer-stands: what a voter said first is never replaced, only contradicted.
    bounded-answers: at most two answers of a voter are kept.
"""

from collections.abc import Callable, Sequence

import msgspec

from protocols.identity import Keyring
from protocols.machine import Instant, Now
from protocols.quorum import tolerated
from protocols.voting.answers import (
    Answered,
    AnswerSet,
    SignedAnswer,
    decode_set,
    encode_set,
    is_choice,
    is_signed,
    set_fault,
    tally_of,
)
from protocols.voting.requests import Request
from protocols.voting.rules import Rule, Tally, is_lost, parse_rule

NEW, KNOWN, CONTRADICTED, WRONG = "new", "known", "contradicted", "wrong"
"""What an answer is to who hears it."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What an elector takes for granted of time, and for how long.

    Attributes:
        slack_ns: Δ + ε: an answer that was first seen so long before the close is with
            every honest leader by then.
        lenient_after: k: after so many nullified views anything plain is accepted.
    """

    slack_ns: int = 400_000_000
    lenient_after: int = 3


class Ballot:
    """The answers to one request, and the judgement of proposed sets.

    Attributes:
        request: what it is about.
        id: the hash of the request.
        voters: the indices of the electors that vote.
        liars: how many of them may lie.
        closes: when this elector waits no longer.
        answered: what each voter said, by index: one answer, or two.
    """

    def __init__(
        self,
        request: Request,
        ballot: bytes,
        electors: Sequence[bytes],
        voters: Sequence[int],
        keyring: Keyring,
        closes: Instant,
        is_down: Callable[[bytes], bool],
        pace: Pace | None = None,
    ) -> None:
        """Begins with no answers.

        Args:
            request: the request.
            ballot: its id.
            electors: the electorate's peers in their order.
            voters: the indices of those that vote: all of them, or a panel.
            keyring: verifies answers.
            closes: the monotonic instant of this elector's own close.
            is_down: whether a peer counts as dead here; it is then not waited for.
            pace: the numbers; None for the usual ones.
        """
        self.request = request
        self.id = ballot
        self.voters = tuple(voters)
        self.liars = tolerated(len(self.voters))
        self.closes = closes
        self.answered: dict[int, tuple[SignedAnswer, ...]] = {}
        self._seen: dict[int, tuple[Instant, ...]] = {}
        self._electors = electors
        self._keyring = keyring
        self._counts_as_dead = is_down
        self._pace = pace or Pace()
        self._allowed = frozenset(voters)
        self._rule: Rule = parse_rule(request.rule)

    # Answers.

    def hear(self, voter: int, answer: SignedAnswer, now: Now) -> str:
        """Takes an answer, and says what it was: new, known, contradicted or wrong."""
        if voter not in self._allowed or not is_choice(self.request.rule, answer):
            return WRONG
        known = self.answered.get(voter, ())
        if any(not answer.contradicts(other) for other in known) or len(known) == 2:
            return KNOWN
        epoch = self.request.epoch
        if not is_signed(self._keyring, self._electors[voter], epoch, self.id, answer):
            return WRONG
        self.answered[voter] = (*known, answer)
        self._seen[voter] = (*self._seen.get(voter, ()), now.monotonic_ns)
        return CONTRADICTED if known else NEW

    def hear_all(self, answers: AnswerSet, now: Now) -> list[tuple[int, SignedAnswer, str]]:
        """Takes what is in a set, and says which of it was new, or contradicts what was known."""
        news = []
        for answered in answers:
            for answer in answered.answers:
                what = self.hear(answered.elector, answer, now)
                if what in (NEW, CONTRADICTED):
                    news.append((answered.elector, answer, what))
        return news

    def missing(self) -> list[int]:
        """The voters that have not answered, as far as known here."""
        return [voter for voter in self.voters if voter not in self.answered]

    def answers(self) -> AnswerSet:
        """All that is known, as a set."""
        return tuple(
            Answered(voter, tuple(sorted(self.answered[voter])))
            for voter in self.voters
            if voter in self.answered
        )

    def tally(self) -> Tally:
        """What is known, counted."""
        return tally_of(self.request.rule, len(self.voters), self.liars, self.answers())

    def is_ready(self, now: Now) -> bool:
        """Whether there is nothing to wait for."""
        if now.monotonic_ns >= self.closes:
            return True
        missing = self.missing()
        return all(map(self._is_down, missing)) or self._is_lost(self.answers())

    def can_settle(self) -> bool:
        """Whether enough voters can have answered in the end, as it looks from here."""
        silent = sum(map(self._is_down, self.missing()))
        return len(self.voters) - silent >= self._least()

    # What a Simplex instance asks.

    def propose(self, view: int, parent: bytes, now: Now) -> bytes | None:
        """All that is known, once there is nothing to wait for; None before."""
        if not self.is_ready(now) or len(self.answered) < self._least():
            return None
        return encode_set(self.answers())

    def accepts(
        self, view: int, payload: bytes, parent: bytes, nullified_views: int, now: Now
    ) -> bool | None:
        """Whether a set is one to settle; None where that takes time to tell."""
        answers = decode_set(payload)
        if answers is None or len(answers) < self._least() or self._fault(answers) is not None:
            return False
        if nullified_views >= self._pace.lenient_after:
            return True
        if self._leaves_out(answers, min(self.closes, now.monotonic_ns)):
            return False
        if self._is_lost(answers):
            return True
        there = {answered.elector for answered in answers}
        open_still = [v for v in self.voters if v not in there and not self._is_down(v)]
        if open_still and now.monotonic_ns < self.closes:
            return None
        return True

    # Inside.

    def _is_down(self, voter: int) -> bool:
        return self._counts_as_dead(self._electors[voter])

    def _least(self) -> int:
        return len(self.voters) - self.liars

    def _fault(self, answers: AnswerSet) -> str | None:
        ballot = (self.request.epoch, self.id)
        electors, rule = self._electors, self.request.rule
        return set_fault(self._keyring, electors, self.voters, ballot, rule, answers)

    def _is_lost(self, answers: AnswerSet) -> bool:
        said = [answered.counted for answered in answers]
        return is_lost(self._rule, len(self.voters), self.liars, said)

    def _leaves_out(self, answers: AnswerSet, until: Instant) -> bool:
        """Whether a set lacks what this elector knew long enough before an instant."""
        there = {answered.elector: answered.answers for answered in answers}
        for voter, known in self.answered.items():
            held = there.get(voter, ())
            if len(held) == 2:
                continue  # it contradicts itself, whatever else it may have said
            for answer, seen in zip(known, self._seen[voter], strict=True):
                is_old = seen < until - self._pace.slack_ns
                if is_old and not any(not answer.contradicts(other) for other in held):
                    return True
        return False

    def check(self) -> None:
        """Asserts the invariants."""
        for known in self.answered.values():
            assert 1 <= len(known) <= 2, "bounded-answers"
            assert len(known) == 1 or known[0].contradicts(known[1]), "first-answer-stands"
