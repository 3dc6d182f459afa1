"""All ballots of one peer: opened, answered, settled by a Simplex instance each, remembered.

    Question            Vote                     Simplex                       Decided
    opener → electors   voter → electors, passed the leader proposes S,        → opener, if it is
                        on by each at first      notarise, finalise            no elector, and
                        sight                    (`simplex.py`)                whoever is behind

A voter's answer is what its own agents return (`AskVoter`, `CastAnswer`). It is on disk before
it is shown, and said again every `RETRY_NS` until the ballot is settled. A voter without one at
its close abstains. A ballot whose deadline has passed ends here without an outcome. Where so
many electors are dead that nothing can be settled, the callers are told at once: gossip decides
whether waiting is worth it, never what is settled.

Invariants:
    one-answer: this elector signs one answer a ballot, and none in a ballot that is over.
    bounded-ballots: open ballots, and answers that came before their question, have limits.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from protocols.effects import Blame, Effect, Emit, Perform, Persist
from protocols.errors import Refused
from protocols.identity import Keyring
from protocols.machine import SECOND_NS, Instant, Now
from protocols.voting import ballot_commands as commands
from protocols.voting import ballot_messages as messages
from protocols.voting import requests
from protocols.voting.answers import (
    UNSTATED,
    AnswerSet,
    SignedAnswer,
    decode_set,
    sign_answer,
)  # fmt: skip
from protocols.voting.asking import (
    has_quorum,
    is_asked,
    is_for,
    job_of,
    question_of,
    refuse_without_quorum,
    said_by,
)
from protocols.voting.ballot import CONTRADICTED, NEW, WRONG
from protocols.voting.ballot_faces import Certifying, Settling, Trusting
from protocols.voting.ballot_history import BallotHistory
from protocols.voting.ballot_talk import RETRY_NS, BallotTalk
from protocols.voting.open_ballot import Electors
from protocols.voting.open_ballot import OpenBallot as Opened
from protocols.voting.rules import NO_CHOICE

OPEN_LIMIT, PER_OPENER_LIMIT = 256, 64
"""Ballots open here at one time, and of them those of one opener."""
BUSY_RETRY_NS = SECOND_NS // 4
MILLIONTHS = 1_000  # in a thousandth, in which confidences are signed


class Ballots:
    """What one peer has to do with ballots. Its effects go into the list that it is given."""

    def __init__(
        self,
        keyring: Keyring,
        boot: int,
        electorate: Callable[[], Electors | None],
        settling: Settling,
        certifying: Certifying,
        trust: Trusting,
        effects: list[Effect],
    ) -> None:
        """Takes who this peer is, the electorate of now, what settles, certifies and trusts."""
        self._keyring = keyring
        self._me = keyring.peer
        self._number = boot << 32
        self._electorate = electorate
        self._settling = settling
        self._certifying = certifying
        self._trust = trust
        self._effects = effects
        self._talk = BallotTalk(keyring.peer, effects)
        self._open: dict[bytes, Opened] = {}
        self._down: dict[bytes, None] = {}
        self.history = BallotHistory()

    @property
    def open_ballots(self) -> Mapping[bytes, Opened]:
        """Those that are open here, by their ids."""
        return self._open

    def resume(self, above: int, now: Now) -> None:
        """It may sign where it could not, or not any more; its requests are numbered `above`."""
        self._number = max(self._number, above)
        for opened in list(self._open.values()):
            opened.is_silent = self._trust.is_silent(opened.request)
            self._want_answer(opened, now)
            self._progress(opened, now)

    def open(self, command: commands.OpenBallot, now: Now) -> None:
        """Asks the electorate.

        Raises:
            Refused: see `OpenBallot`.
        """
        electorate = self._electorate()
        if electorate is None:
            raise Refused("NoElectorate", "this mesh has no electorate yet")
        refuse_without_quorum(electorate, self._is_down)
        asked, request = question_of(command, electorate, self._number + 1, self._keyring)
        if not self._has_room(self._me):
            raise Refused("Busy", f"{len(self._open)} ballots are open already", BUSY_RETRY_NS)
        self._number += 1
        opened = self._begin(asked, request, electorate, now)
        opened.callers.append(command.request)
        event = commands.BallotOpened(command.request, opened.id, command.skill, command.rule)
        self._effects.append(Emit(event))
        self._talk.ask(opened)
        self._progress(opened, now)

    def cast(self, command: commands.CastAnswer, now: Now) -> None:
        """Takes this voter's own answer; a second one, or one that comes late, is ignored."""
        opened = self._open.get(command.ballot)
        if opened is None or opened.own is not None or not opened.may_vote:
            return
        choice, text, reason = said_by(opened.request, opened.asked, command)
        stated = choice != NO_CHOICE and command.confidence >= 0
        confidence = command.confidence // MILLIONTHS if stated else UNSTATED
        self._say(opened, choice, text, confidence, reason, now)
        self._progress(opened, now)

    def elector_up(self, peer: bytes, now: Now) -> None:
        """A peer is alive again."""
        if peer in self._down:
            del self._down[peer]
            self._progress_all(now)

    def elector_down(self, peer: bytes, now: Now) -> None:
        """A peer is dead, as gossip has it: it is not waited for."""
        self._down[peer] = None
        self._progress_all(now)

    def settled(self, ballot: bytes, payload: bytes, proof: bytes, now: Now) -> None:
        """A Simplex instance has finalised a set."""
        opened = self._open.get(ballot)
        if opened is None:
            return
        answers = decode_set(payload)
        assert answers is not None, "accepted by a quorum"
        self._heard(opened, opened.ballot.hear_all(answers, now), b"")
        self._decide(opened, *self._certifying.certify(opened, payload, proof), now)

    # Messages.

    def on_question(self, link: bytes, message: messages.Question, now: Now) -> None:
        """A request, from its opener or from an elector that was asked what it is."""
        ballot = requests.ballot_id(message.request)
        if ballot in self._open:
            return
        if ballot in self.history:
            self._talk.tell(link, ballot, self.history.certificate(ballot), now)
            return
        request, electorate = requests.decode_request(message.request), self._electorate()
        if request is None or not is_asked(self._keyring, request, message):
            self._effects.append(Blame(link, "a ballot's question that its opener did not sign"))
            return
        if electorate is None or not is_for(request, electorate, self._me):
            return
        opener = request.opener
        if self.history.is_old(opener, request.number) or not self._has_room(opener):
            return
        opened = self._begin(message, request, electorate, now)
        for sender, vote in self._talk.take_early(ballot):
            self.on_vote(sender, vote, now)
        if ballot in self._open:
            self._progress(opened, now)

    def on_vote(self, link: bytes, message: messages.Vote, now: Now) -> None:
        """An answer, from its voter or passed on."""
        opened = self._open.get(message.ballot)
        if opened is None:
            if message.ballot in self.history:
                certificate = self.history.certificate(message.ballot)
                self._talk.tell(link, message.ballot, certificate, now)
            else:
                self._talk.keep_early(link, message)
                self._talk.wonder(link, message.ballot, now)
            return
        what = opened.ballot.hear(message.elector, message.answer, now)
        if what == WRONG:
            self._effects.append(Blame(link, "passes on an answer that its voter did not sign"))
            return
        opened.keep_text(message.answer.choice, message.text)
        if what in (NEW, CONTRADICTED):
            self._heard(opened, [(message.elector, message.answer, what)], link)
            self._progress(opened, now)

    def on_answers(self, ballot: bytes, answers: AnswerSet, now: Now) -> None:
        """Answers that somebody shows: those that were not known are, from now on."""
        opened = self._open.get(ballot)
        if opened is not None and (news := opened.ballot.hear_all(answers, now)):
            self._heard(opened, news, b"")
            self._progress(opened, now)

    def on_want(self, link: bytes, message: messages.Want, now: Now) -> None:
        """Somebody heard of a ballot and asks what it is."""
        opened = self._open.get(message.ballot)
        if opened is None:
            certificate = self.history.certificate(message.ballot)
            self._talk.tell(link, message.ballot, certificate, now)
        else:
            self._talk.show(link, opened.asked, message.ballot, now)

    def on_decided(self, link: bytes, message: messages.Decided, now: Now) -> None:
        """A certificate, for one that opened a ballot or is behind."""
        opened = self._open.get(message.ballot)
        if opened is None:
            return
        found = self._certifying.is_certificate(opened, message.certificate)
        if found is None:
            self._effects.append(Blame(link, "a certificate that does not verify"))
        else:
            self._decide(opened, message.certificate, *found, now)

    def unknown(self, link: bytes, ballot: bytes, now: Now) -> None:
        """A Simplex message came for a ballot that has no instance here."""
        if ballot in self.history:
            self._talk.tell(link, ballot, self.history.certificate(ballot), now)
        elif ballot not in self._open:
            self._talk.wonder(link, ballot, now)

    # Time.

    def wake(self, now: Now) -> None:
        """Closes, says again, gives up."""
        for opened in list(self._open.values()):
            if opened.due() > now.monotonic_ns:
                continue
            if now.monotonic_ns >= opened.ends:
                self._end(opened)
                continue
            if now.monotonic_ns >= opened.ballot.closes and opened.may_vote and not opened.own:
                self._say(opened, NO_CHOICE, b"", UNSTATED, "no answer before the close", now)
            if now.monotonic_ns >= opened.resend:
                opened.resend = now.monotonic_ns + RETRY_NS
                self._talk.again(opened)
            self._progress(opened, now)

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        return min((opened.due() for opened in self._open.values()), default=None)

    # Restart.

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Takes the records of an earlier life; open ballots go on."""
        for record, cast in self.history.restore(records):
            self._reopen(record, cast, now)

    def snapshot(self) -> Iterator[msgspec.Struct]:
        """The records that give the same when they are restored."""
        yield from self.history.records()
        for opened in self._open.values():
            yield opened.record
            if opened.own is not None:
                text = opened.texts.get(opened.own.choice, b"")
                yield messages.CastRecord(opened.id, opened.own, text)

    def check(self) -> None:
        """Asserts the invariants."""
        assert len(self._open) <= OPEN_LIMIT, "bounded-ballots"
        for opened in self._open.values():
            assert opened.id not in self.history, "one-answer"
            opened.ballot.check()
        self.history.check()
        self._talk.check()

    # Inside.

    def _is_down(self, peer: bytes) -> bool:
        return peer in self._down

    def _has_room(self, opener: bytes) -> bool:
        own = sum(opened.request.opener == opener for opened in self._open.values())
        has_room = len(self._open) < OPEN_LIMIT and own < PER_OPENER_LIMIT
        return has_room and self.history.has_room_for(opener)

    def _begin(
        self,
        asked: messages.Question,
        request: requests.Request,
        electorate: Electors,
        now: Now,
    ) -> Opened:
        opened = Opened(asked, request, electorate, self._keyring, self._is_down, now)
        opened.resend = now.monotonic_ns + RETRY_NS
        opened.is_silent = self._trust.is_silent(request)
        self._open[opened.id] = opened
        self._effects.append(Persist(opened.record))
        if opened.seat is not None:
            self._settling.begin(opened.id, electorate, opened.ballot, now)
        self._want_answer(opened, now)
        return opened

    def _reopen(
        self, record: messages.BallotRecord, cast: messages.CastRecord | None, now: Now
    ) -> None:
        request, electorate = requests.decode_request(record.asked.request), self._electorate()
        assert request is not None, "written by this machine"
        if electorate is None or electorate.epoch != request.epoch:
            # It belongs to an electorate of the past: nothing of it can be settled any more.
            self.history.add(record.asked, b"")
            return
        opened = Opened(record.asked, request, electorate, self._keyring, self._is_down, now)
        opened.shift(record, now)
        opened.is_silent = self._trust.is_silent(request)
        self._open[opened.id] = opened
        if opened.seat is not None:
            self._settling.begin(opened.id, electorate, opened.ballot, now)
        if cast is not None:
            self._take_own(opened, cast.answer, cast.text, now)
        self._want_answer(opened, now)

    def _want_answer(self, opened: Opened, now: Now) -> None:
        if opened.may_vote and opened.own is None:
            self._effects.append(Perform(job_of(opened, now)))

    def _say(
        self, opened: Opened, choice: bytes, text: bytes, confidence: int, reason: str, now: Now
    ) -> None:
        """This voter answers: on disk first, then to all."""
        answer = sign_answer(self._keyring, opened.request.epoch, opened.id, choice, confidence)
        self._effects.append(Persist(messages.CastRecord(opened.id, answer, text), sync=True))
        self._effects.append(Emit(commands.AnswerCast(opened.id, choice, confidence, reason)))
        self._take_own(opened, answer, text, now)
        assert opened.seat is not None, "a voter has a seat"
        self._talk.vote(opened, opened.seat, answer)

    def _take_own(self, opened: Opened, answer: SignedAnswer, text: bytes, now: Now) -> None:
        assert opened.own is None, "one-answer"
        assert opened.seat is not None, "a voter has a seat"
        opened.own = answer
        opened.keep_text(answer.choice, text)
        opened.ballot.hear(opened.seat, answer, now)

    def _heard(
        self, opened: Opened, news: Iterable[tuple[int, SignedAnswer, str]], link: bytes
    ) -> None:
        """Passes on what was new, and tells of who contradicted itself."""
        for voter, answer, what in news:
            if voter == opened.seat and opened.own is None:
                opened.own = answer  # said in an earlier life, whatever the disk knows
                kept = messages.CastRecord(opened.id, answer, b"")
                self._effects.append(Persist(kept, sync=True))
            if voter == opened.seat:
                self._trust.own_shown()
            self._talk.vote(opened, voter, answer, link)
            if what == CONTRADICTED:
                self._talk.contradicted(opened, voter)

    def _progress_all(self, now: Now) -> None:
        for opened in list(self._open.values()):
            self._progress(opened, now)

    def _progress(self, opened: Opened, now: Now) -> None:
        """Something is known that was not: the set may be ready, or nothing come of it."""
        if opened.seat is not None and opened.id in self._open:
            opened.has_begun = opened.has_begun or opened.ballot.is_ready(now)
            self._settling.look(opened.id, opened.has_begun, now)
        if opened.id not in self._open or opened.is_given_up:
            return
        if not has_quorum(opened.electorate, self._is_down) or not opened.ballot.can_settle():
            opened.is_given_up = True
            self._tell_end(opened, "so many electors are dead that nothing can be settled")

    def _tell_end(self, opened: Opened, reason: str) -> None:
        if opened.callers:
            event = commands.BallotEnded(tuple(opened.callers), opened.id, reason)
            self._effects.append(Emit(event))
            opened.callers.clear()

    def _decide(self, opened: Opened, file: bytes, status: str, margin: int, now: Now) -> None:
        self._effects.append(Persist(messages.DecidedRecord(opened.id, file)))
        event = commands.BallotDecided(tuple(opened.callers), opened.id, status, margin, file)
        self._effects.append(Emit(event))
        opener = opened.request.opener
        if opened.seat is not None and opener not in opened.electorate.electors:
            self._talk.tell(opener, opened.id, file, now)
        self._close(opened, file)

    def _end(self, opened: Opened) -> None:
        self._effects.append(Persist(messages.EndedRecord(opened.id), sync=True))
        self._tell_end(opened, opened.ending)
        self._close(opened, b"")

    def _close(self, opened: Opened, certificate: bytes) -> None:
        del self._open[opened.id]
        self._settling.forget(opened.id)
        self.history.add(opened.asked, certificate)
