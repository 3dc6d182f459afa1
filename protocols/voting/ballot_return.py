"""How an elector comes back to ballots: what it asks, what it tells, and where it stays silent.

The rule is `standing.py`'s; this is what it means for ballots. Everybody tells a restarted
elector what they have seen of it in open ballots, and its answers in the last ones that are
over, for those are on their disks, too. If it is on an older copy it signs nothing in any
request that is open here, or numbered no higher than the newest of its opener that anybody
has told it of: those began before.

Invariants:
    bounded-bars: the openers whose requests are barred have a limit.
"""

from collections.abc import Callable, Iterator

import msgspec

from protocols.effects import Effect, Emit, Persist, Send
from protocols.identity import Keyring
from protocols.machine import Instant, Now
from protocols.voting import standing_messages as messages
from protocols.voting.answers import Answered, is_signed
from protocols.voting.ballot_commands import DiskFoundOld, ElectorReadmitted
from protocols.voting.ballot_messages import Question
from protocols.voting.ballots import Ballots
from protocols.voting.certificate import answers_of
from protocols.voting.marks import is_marked
from protocols.voting.requests import REQUEST_DOMAIN, Request, ballot_id, decode_request
from protocols.voting.roll import Roll
from protocols.voting.settlements import Settlements
from protocols.voting.settling_faces import Said
from protocols.voting.standing import ASK_NS, Standing, StandingRecord

BARS_LIMIT = 16_384
"""Openers whose requests up to some number are barred; more than can be told of at one time."""


class BallotReturn:
    """Whether this elector may sign in ballots."""

    def __init__(
        self,
        keyring: Keyring,
        roll: Callable[[], Roll | None],
        is_down: Callable[[bytes], bool],
        effects: list[Effect],
    ) -> None:
        """Takes who this peer is, the electorate of now, who counts as dead."""
        self._keyring = keyring
        self._me = keyring.peer
        self._roll = roll
        self._is_down = is_down
        self._effects = effects
        self._standing = Standing(keyring.peer)
        self._bars: dict[bytes, int] = {}
        self._newest: dict[bytes, int] = {}
        self._replied: dict[bytes, Instant] = {}
        self._has_changed = False
        self._has_past = False
        self._ballots: Ballots
        self._settlements: Settlements

    def attach(self, ballots: Ballots, settlements: Settlements) -> None:
        """What it is about, which needs it, too."""
        self._ballots, self._settlements = ballots, settlements

    @property
    def is_waiting(self) -> bool:
        """Whether it signs nothing now."""
        return self._standing.is_waiting and self._electorate() is not None

    @property
    def is_restored(self) -> bool:
        """Whether its disk is an older copy, and it has not been readmitted."""
        return self._standing.is_restored

    # What ballots ask.

    def may_sign(self, ballot: bytes) -> bool:
        """Whether it may sign marks in an open ballot now."""
        opened = self._ballots.open_ballots.get(ballot)
        return not (opened is None or opened.is_silent or self._standing.is_waiting)

    def is_silent(self, request: Request) -> bool:
        """Whether it may sign nothing in a request's ballot, as things are now."""
        return self._standing.is_waiting or self._is_barred(request)

    def own_shown(self) -> None:
        """Somebody has shown a statement of its own that its disk did not have."""
        if self._standing.is_restored:
            return
        self._standing.doubt(is_restored=True)
        self._has_changed = True
        self._effects.append(Persist(StandingRecord(True), sync=True))
        self._effects.append(Emit(DiskFoundOld("ballots")))

    # Asking.

    def doubt(self) -> None:
        """It has started with something to remember."""
        self._has_past = True
        self._standing.doubt()

    def electorate_changed(self) -> None:
        """Others decide: an earlier life may have got so far, and signed among them.

        Those who told this one enough for the electors before need not know of that.
        """
        if self._has_past:
            self._standing.doubt(anew=True)
            self._has_changed = True

    def elector_up(self) -> None:
        """Somebody is there who may tell."""
        self._standing.ask_soon()

    def on_seen(self, link: bytes, message: messages.Seen, now: Now) -> None:
        """An elector tells what it has seen."""
        roll = self._electorate()
        if (
            roll is None
            or link not in roll.electors
            or not self._standing.is_answer(link, message.number)
        ):
            return
        for seen in message.ballots:
            self._weigh(seen, roll, now)
        for newest in message.newest:
            self._note(newest, roll)
        self._standing.hear(link)

    def _weigh(self, seen: messages.SeenBallot, roll: Roll, now: Now) -> None:
        ballot, request = ballot_id(seen.request), decode_request(seen.request)
        if ballot in self._ballots.open_ballots:
            seat = self._ballots.open_ballots[ballot].seat
            if seat is None:
                return
            if seen.answers:
                self._ballots.on_answers(ballot, (Answered(seat, seen.answers),), now)
            for mark in seen.marks:
                self._settlements.hear(ballot, _said(seat, mark), now)
            return
        # What it signed for electors of which it does not know yet is as good a sign.
        if request is None or request.epoch < roll.epoch or ballot in self._ballots.history:
            return
        is_old = self._ballots.history.is_old(request.opener, request.number)
        is_barred = is_old or self._is_barred(request)
        if not is_barred and self._is_own(seen, ballot, request.epoch):
            self.own_shown()

    def _is_own(self, seen: messages.SeenBallot, ballot: bytes, epoch: int) -> bool:
        keyring, me = self._keyring, self._me
        return any(is_signed(keyring, me, epoch, ballot, each) for each in seen.answers) or any(
            is_marked(keyring, me, epoch, ballot, m.view, m.phase, m.digest, m.signature)
            for m in seen.marks
        )

    def _note(self, newest: messages.SeenRequest, roll: Roll) -> None:
        request = decode_request(newest.request)
        if request is None or request.epoch < roll.epoch:
            return
        opener, number = request.opener, request.number
        is_news = number > max(self._newest.get(opener, -1), self._bars.get(opener, -1))
        has_room = opener in self._newest or len(self._newest) < BARS_LIMIT
        if is_news and has_room:
            verify = self._keyring.verify
            if verify(REQUEST_DOMAIN, opener, newest.request, newest.signature):
                self._newest[opener] = number

    # Going on.

    def go_on(self, now: Now) -> None:
        """Asks, and is admitted where enough have told."""
        if self._has_changed:
            self._has_changed = False
            self._ballots.resume(0, now)
        roll = self._electorate()
        if not self._standing.is_waiting or roll is None:
            return
        number, asked = self._standing.ask(roll.electors, self._is_down, now)
        self._effects.extend(Send(peer, messages.Enquiry(number)) for peer in asked)
        if self._standing.is_enough(roll.electors):
            self._admit(now)

    def _admit(self, now: Now) -> None:
        was_restored, own = self._standing.is_restored, self._newest.get(self._me, 0)
        if was_restored:
            for opened in self._ballots.open_ballots.values():
                self._bar(opened.request.opener, opened.request.number)
            for opener, number in self._newest.items():
                self._bar(opener, number)
            self._effects.append(Persist(StandingRecord(False), sync=True))
            count = len(self._ballots.open_ballots)
            self._effects.append(Emit(ElectorReadmitted("ballots", count)))
        self._newest.clear()
        self._standing.admit()
        self._ballots.resume(own, now)

    def _bar(self, opener: bytes, number: int) -> None:
        if number > self._bars.get(opener, -1):
            self._put_bar(opener, number)
            self._effects.append(Persist(messages.BarRecord(opener, number), sync=True))

    def _put_bar(self, opener: bytes, number: int) -> None:
        """The one that was put first makes room: it is of an earlier return."""
        self._bars.pop(opener, None)
        self._bars[opener] = number
        if len(self._bars) > BARS_LIMIT:
            del self._bars[next(iter(self._bars))]

    def _is_barred(self, request: Request) -> bool:
        return request.number <= self._bars.get(request.opener, -1)

    def _electorate(self) -> Roll | None:
        roll = self._roll()
        return roll if roll is not None and self._me in roll.electors else None

    # Telling.

    def on_enquiry(self, link: bytes, message: messages.Enquiry, now: Now) -> None:
        """An elector has started, and asks what was seen of it."""
        roll = self._electorate()
        if roll is None or link not in roll.electors or link == self._me:
            return
        before = self._replied.get(link)
        if before is not None and now.monotonic_ns < before + ASK_NS // 2:
            return
        self._replied[link] = now.monotonic_ns
        ballots = (*self._seen_open(link), *self._seen_over(link))
        self._effects.append(
            Send(link, messages.Seen(message.number, ballots, self._seen_newest()))
        )

    def _seen_open(self, peer: bytes) -> Iterator[messages.SeenBallot]:
        for ballot, opened in self._ballots.open_ballots.items():
            electors = opened.electorate.electors  # of its own epoch
            if peer not in electors:
                continue
            seat = electors.index(peer)
            answers = opened.ballot.answered.get(seat, ())
            marks = tuple(
                messages.SeenMark(mark.view, mark.phase, mark.digest, mark.signature)
                for mark in self._settlements.marks_of(ballot, seat)
            )
            if answers or marks:
                yield messages.SeenBallot(opened.asked.request, answers, marks)

    def _seen_over(self, peer: bytes) -> Iterator[messages.SeenBallot]:
        shown = 0
        for asked, certificate in self._ballots.history.last_certificates():
            answers = answers_of(certificate, peer)
            if answers:
                shown += 1
                yield messages.SeenBallot(asked.request, answers)
            if shown == messages.OVER_SHOWN_LIMIT:
                return

    def _seen_newest(self) -> tuple[messages.SeenRequest, ...]:
        newest: dict[bytes, tuple[int, Question]] = {}
        for opener, asked in self._ballots.history.newest().items():
            request = decode_request(asked.request)
            assert request is not None, "it was open here"
            newest[opener] = (request.number, asked)
        for opened in self._ballots.open_ballots.values():
            request = opened.request
            if request.opener not in newest or newest[request.opener][0] < request.number:
                newest[request.opener] = (request.number, opened.asked)
        shown = [each for _, each in newest.values()][: messages.NEWEST_LIMIT]
        return tuple(messages.SeenRequest(each.request, each.signature) for each in shown)

    # The next life.

    def restore(self, record: StandingRecord | messages.BarRecord) -> None:
        """Takes what an earlier life knew of its disk."""
        if isinstance(record, StandingRecord):
            self._standing.is_restored = record.is_restored
        else:
            self._put_bar(record.opener, record.number)

    def snapshot(self) -> Iterator[msgspec.Struct]:
        """The same, for the next."""
        for opener, number in self._bars.items():
            yield messages.BarRecord(opener, number)
        if self._standing.is_restored:
            yield StandingRecord(True)

    def deadline(self) -> Instant | None:
        """When somebody is to be asked again."""
        return self._standing.deadline() if self._electorate() is not None else None

    def check(self) -> None:
        """Asserts the invariant."""
        assert len(self._bars) <= BARS_LIMIT, "bounded-bars"
        assert len(self._newest) <= BARS_LIMIT, "bounded-bars"


def _said(seat: int, mark: messages.SeenMark) -> Said:
    return Said(seat, mark.view, mark.phase, mark.digest, mark.signature)
