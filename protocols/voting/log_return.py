"""How an elector comes back to the log: what it asks, what it tells, where it stays silent.

The rule is `standing.py`'s; this is what it means for the log. An elector signs nothing before
a quorum has told its height and what marks of this elector it has seen at the next one, and
before this elector has caught up with them. If it is on an older copy it leaves two heights
more to the others: its earlier life signed at a height whose predecessor a quorum had finalised,
and the height before that one every elector of that quorum had, one of those that told among them.
Where nothing is settled without it (two electors) it signs on instead, and keeps to all that
the other has shown.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from protocols.effects import Effect, Emit, Persist, Send
from protocols.identity import Keyring
from protocols.machine import Instant, Now
from protocols.quorum import quorum
from protocols.voting.ballot_commands import DiskFoundOld, ElectorReadmitted
from protocols.voting.blocks import instance_of
from protocols.voting.log_messages import LogMarkRecord
from protocols.voting.marks import Proof, is_marked
from protocols.voting.roll import Roll
from protocols.voting.settling import Settlement
from protocols.voting.settling_faces import Said
from protocols.voting.standing import ASK_NS, Standing, StandingRecord
from protocols.voting.standing_messages import LogEnquiry, LogSeen, SeenMark

HEIGHTS_LEFT = 2
"""Heights after the last that an elector on an older copy leaves to the others."""


class Heights(Protocol):
    """The log, as an elector that comes back needs it."""

    instance: Settlement | None

    @property
    def height(self) -> int:
        """Of the last finalised block."""

    @property
    def electorate(self) -> Roll | None:
        """Whose log it is."""

    def own_marks(self) -> Iterable[LogMarkRecord]:
        """What this elector has signed at the next height."""

    def begin(self) -> Settlement | None:
        """What settles the next height, if this peer does."""


class LogReturn:
    """Whether this elector may sign in the log."""

    def __init__(
        self,
        keyring: Keyring,
        log: Heights,
        is_down: Callable[[bytes], bool],
        effects: list[Effect],
    ) -> None:
        """Takes who this peer is, its log, and who counts as dead."""
        self._keyring = keyring
        self._me = keyring.peer
        self._log = log
        self._is_down = is_down
        self._effects = effects
        self._standing = Standing(keyring.peer)
        self._bar = 0
        self._shown: dict[bytes, LogSeen] = {}
        self._replied: dict[bytes, Instant] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether it signs nothing now."""
        return self._standing.is_waiting and self._electorate() is not None

    @property
    def is_restored(self) -> bool:
        """Whether its disk is an older copy, and it has not been readmitted."""
        return self._standing.is_restored

    @property
    def bar(self) -> int:
        """The last height at which it signs nothing."""
        return self._bar

    def may_sign(self, height: int) -> bool:
        """Whether it may sign at a height now."""
        return not self._standing.is_waiting and height > self._bar

    def own_shown(self) -> None:
        """Somebody has shown a statement of its own that its disk did not have."""
        is_known = self._standing.is_restored or self._log.height + 1 <= self._bar
        if not is_known:
            self._standing.doubt(is_restored=True)
            self._effects.append(Persist(StandingRecord(True, self._bar), sync=True))
            self._effects.append(Emit(DiskFoundOld("log")))

    # Asking.

    def doubt(self) -> None:
        """It has started with something to remember."""
        self._standing.doubt()

    def elector_up(self) -> None:
        """Somebody is there who may tell."""
        self._standing.ask_soon()

    def on_seen(self, link: bytes, message: LogSeen) -> None:
        """An elector tells how far it is, and what it has seen."""
        roll = self._electorate()
        is_answer = self._standing.is_answer(link, message.number)
        if roll is None or link not in roll.electors or not is_answer:
            return
        self._standing.hear(link, message.height)
        self._shown[link] = message
        if message.height > self._log.height and self._is_own(message, roll):
            self.own_shown()  # to sign there it must have had the blocks that its disk lacks

    def _is_own(self, message: LogSeen, roll: Roll) -> bool:
        instance = instance_of(roll.epoch, message.height + 1)
        return any(
            is_marked(
                self._keyring, self._me, roll.epoch, instance,
                mark.view, mark.phase, mark.digest, mark.signature,
            )
            for mark in message.marks
        )  # fmt: skip

    def on_proof(self, height: int, proof: Proof, roll: Roll) -> None:
        """A block is settled, by a proof that this elector may have a part in."""
        if self._me not in roll.electors or height <= self._bar:
            return
        seat = roll.electors.index(self._me)
        if all(elector != seat for elector, _ in proof.signatures):
            return
        what = (proof.view, proof.phase)
        is_next = height == self._log.height + 1
        if not is_next or all((own.view, own.phase) != what for own in self._log.own_marks()):
            self.own_shown()

    # Going on.

    def go_on(self, now: Now) -> list[bytes]:
        """Asks, and is admitted where enough have told; returns who is ahead."""
        roll = self._electorate()
        if not self._standing.is_waiting or roll is None:
            return []
        for shown in list(self._shown.values()):
            instance = self._log.begin() if shown.marks else None
            if shown.height == self._log.height and instance is not None:
                for mark in shown.marks:
                    instance.hear(_said(roll.electors.index(self._me), mark), now)
        number, asked = self._standing.ask(roll.electors, self._is_down, now)
        self._effects.extend(Send(peer, LogEnquiry(number)) for peer in asked)
        if self._standing.is_enough(roll.electors, self._log.height):
            self._admit(roll)
            return []
        return self._standing.ahead(self._log.height)

    def _admit(self, roll: Roll) -> None:
        if self._standing.is_restored:
            can_be_missed = quorum(len(roll.electors)) < len(roll.electors)
            self._bar = self._log.height + HEIGHTS_LEFT if can_be_missed else self._bar
            self._effects.append(Persist(StandingRecord(False, self._bar), sync=True))
            self._effects.append(Emit(ElectorReadmitted("log", self._bar)))
        self._shown.clear()
        self._standing.admit()

    def _electorate(self) -> Roll | None:
        roll = self._log.electorate
        return roll if roll is not None and self._me in roll.electors else None

    # Telling.

    def on_enquiry(self, link: bytes, message: LogEnquiry, now: Now) -> None:
        """An elector has started, and asks what was seen of it."""
        roll = self._electorate()
        if roll is None or link not in roll.electors or link == self._me:
            return
        before = self._replied.get(link)
        if before is not None and now.monotonic_ns < before + ASK_NS // 2:
            return
        self._replied[link] = now.monotonic_ns
        instance = self._log.instance
        marks = tuple(
            SeenMark(mark.view, mark.phase, mark.digest, mark.signature)
            for mark in ([] if instance is None else instance.marks_of(roll.electors.index(link)))
        )
        self._effects.append(Send(link, LogSeen(message.number, self._log.height, marks)))

    # The next life.

    def restore(self, record: StandingRecord) -> None:
        """Takes what an earlier life knew of its disk."""
        self._standing.is_restored, self._bar = record.is_restored, record.bar

    def snapshot(self) -> Iterator[StandingRecord]:
        """The same, for the next."""
        if self._standing.is_restored or self._bar:
            yield StandingRecord(self._standing.is_restored, self._bar)

    def deadline(self) -> Instant | None:
        """When somebody is to be asked again."""
        return self._standing.deadline() if self._electorate() is not None else None


def _said(seat: int, mark: SeenMark) -> Said:
    return Said(seat, mark.view, mark.phase, mark.digest, mark.signature)
