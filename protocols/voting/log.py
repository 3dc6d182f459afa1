"""The machine of the ordered log: one Simplex instance a height, one after another.

    order    an elector → all electors, which keep the last one of each
    height   the leader of a view proposes a block of the orders it has; it is settled like a
             ballot's set (`settling.py`): three delays from the proposal to the finalisation
    applied  every elector applies it (`chain.py`), and its submitter answers its callers

A height begins when there is an order to settle, or another elector speaks of it. Who speaks of
a settled one is shown the block; who hears of one further ahead asks. One is settled at a time.

Electors change through the log. A later list, signed by the mesh's root, is put into a block
and settles all heights after it, so none is ever settled by two lists.

Invariants:
    one-height: the settlement that runs here is of the height after the last block.
    bounded-log: early messages have a limit.
"""

from collections import deque
from collections.abc import Iterable

import msgspec

from protocols.effects import Blame, Effect, Persist, Send
from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, Instant, Now
from protocols.voting import log_commands as commands
from protocols.voting import log_messages as messages
from protocols.voting.blocks import Block, instance_of
from protocols.voting.chain import BLOCKS_KEPT, Applied, Chain
from protocols.voting.height import HeightWay, is_good
from protocols.voting.leasing import Leasing
from protocols.voting.ledger import state_digest
from protocols.voting.log_messages import BlockRecord, HeightMessage, LogBlock
from protocols.voting.log_return import LogReturn
from protocols.voting.newcomer import Newcomer
from protocols.voting.orders import Orders
from protocols.voting.replies import Replies
from protocols.voting.roll import RecoveryRoll, Roll
from protocols.voting.settling import Settlement
from protocols.voting.settling_faces import Said
from protocols.voting.standing import StandingRecord
from protocols.voting.standing_messages import LogEnquiry, LogSeen
from protocols.voting.succession import Succession
from protocols.wire import encode

EARLY_LIMIT = 512
"""Messages about the next height that are kept until this one is settled."""
SHOWN_LIMIT = 16
"""Blocks shown at one time to one that lacks them."""


class Log:
    """The log at one peer.

    Attributes:
        instance: what settles the next height, if that has begun here.
    """

    def __init__(self, keyring: Keyring, mesh: bytes, boot: int) -> None:
        """Begins before the first block, without an electorate.

        Args:
            keyring: signs as this peer.
            mesh: the mesh's id, its root's public key.
            boot: how often this peer has started; makes its orders' numbers grow.
        """
        self._keyring = keyring
        self._me = keyring.peer
        self._mesh = mesh
        self._is_anew = boot <= 1
        self._effects: list[Effect] = []
        self._down: dict[bytes, None] = {}
        self._chain = Chain(keyring, mesh)
        self._succession = Succession(keyring, mesh, self._chain, self._effects)
        self._orders = Orders(keyring, boot, self._chain.ledger, self._effects)
        self.instance: Settlement | None = None
        self._way: HeightWay | None = None
        self._restored: list[messages.LogMarkRecord] = []
        self._early: deque[tuple[bytes, HeightMessage]] = deque(maxlen=EARLY_LIMIT)
        self._replies = Replies()
        self._return = LogReturn(keyring, self, self._is_down, self._effects)
        self._newcomer = Newcomer(self._me, self._is_down, self._effects)
        self._leasing = Leasing(
            self._me, self._chain, self._orders, self._down, self._effects, self
        )

    # Queries.

    @property
    def height(self) -> int:
        """The height of the last finalised block."""
        return self._chain.height

    @property
    def head(self) -> bytes:
        """That block's digest."""
        return self._chain.head

    @property
    def electorate(self) -> Roll | None:
        """Whose log it is."""
        return self._roll

    @property
    def _roll(self) -> Roll | None:
        return self._succession.roll

    @property
    def standing(self) -> tuple[bool, bool, int]:
        """Whether it waits, is on an older copy of its disk; the last height it is silent at."""
        return self._return.is_waiting, self._return.is_restored, self._return.bar

    def own_marks(self) -> list[messages.LogMarkRecord]:
        """What this elector has signed at the next height."""
        return self._restored if self._way is None else self._way.records

    def settled(self, after: int) -> list[LogBlock]:
        """The blocks above a height, as far as they are kept, each with its proof."""
        return self._chain.after(after, BLOCKS_KEPT)

    def state(self) -> bytes:
        """The ledger as it is here, for checkers: not a linearisable read."""
        return self._chain.ledger.state()

    # The interface of a machine.

    def submit(self, command: msgspec.Struct, now: Now) -> tuple[Effect, ...]:
        """Takes local intent.

        Raises:
            Refused: see the command.
        """
        match command:
            case commands.PutInOrder():
                self._orders.accept(command, self._roll, self._chain.epoch, self._down)
            case commands.AskLease():
                self._leasing.ask(command)
            case commands.LogElectorUp():
                self._down.pop(command.peer, None)
                self._ask(command.peer, now)
                self._return.elector_up()
            case commands.LogElectorDown():
                self._down[command.peer] = None
            case commands.FollowElectorate():
                self._follow(command.bundle)
            case commands.DoubtLog():
                self._return.own_shown()
            case _:
                raise AssertionError(f"no command of the log: {type(command).__name__}")
        return self._go_on(now)

    def receive(
        self, link: bytes, author: bytes, message: msgspec.Struct, now: Now
    ) -> tuple[Effect, ...]:
        """Takes a remote message; what does not fit is dropped, or blamed."""
        match message:
            case messages.OrderSent():
                if self._roll is not None and link in self._roll.electors:
                    self._orders.hear(link, message.order)
            case messages.LogMark() | messages.LogProposal() | messages.LogProof():
                self._on_height(link, message, now)
            case messages.LeaseAsk() | messages.LeaseAnswer():
                self._leasing.hear(link, message)
            case messages.LogWant():
                self._show(link, message.height, now)
            case messages.LogBlock():
                self._on_block(link, message, now)
            case LogEnquiry():
                self._return.on_enquiry(link, message, now)
            case LogSeen():
                self._return.on_seen(link, message)
            case _:
                raise AssertionError(f"no message of the log: {type(message).__name__}")
        return self._go_on(now)

    def wake(self, now: Now) -> tuple[Effect, ...]:
        """Does all that is due."""
        self._orders.wake(self._roll, now)
        if self.instance is not None:
            due = self.instance.deadline()
            if due is not None and due <= now.monotonic_ns:
                self.instance.wake(now)
        return self._go_on(now)

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        due = [self._orders.deadline(), self._return.deadline(), self._newcomer.deadline()]
        if self.instance is not None:
            due.append(self.instance.deadline())
        return min((instant for instant in due if instant is not None), default=None)

    def snapshot(self) -> Iterable[msgspec.Struct]:
        """The records that give today's durable state."""
        if self._succession.bundle:
            yield messages.LogElectorateRecord(self._succession.bundle)
        yield from self._return.snapshot()
        yield from self._chain.records()
        yield from self.own_marks()

    def restore(self, records: Iterable[msgspec.Struct], now: Now) -> None:
        """Takes the records of an earlier life."""
        records = list(records)
        states = [n for n, each in enumerate(records) if isinstance(each, messages.LogStateRecord)]
        past = states[-1] if states else -1
        if records or not self._is_anew:
            self._return.doubt()
        for number, record in enumerate(records):
            match record:
                case messages.LogElectorateRecord():
                    self._succession.take(record.bundle)
                    self._restored = []
                case messages.LogStateRecord():
                    self._chain.restore_state(record)
                case BlockRecord():
                    self._chain.restore_block(record.block, number < past)
                case messages.LogMarkRecord():
                    self._restored.append(record)
                case StandingRecord():
                    self._return.restore(record)
        following = self._chain.height + 1
        self._restored = [each for each in self._restored if each.height == following]

    def check(self) -> None:
        """Asserts the invariants."""
        for part in (self._chain, self._orders, self._leasing):
            part.check()
        assert len(self._early) <= EARLY_LIMIT, "bounded-log"
        if self._way is not None and self.instance is not None:
            assert self._way.height == self._chain.height + 1, "one-height"
            self.instance.check()

    # What a settlement asks.

    def propose(self, view: int, parent: bytes, now: Now) -> bytes | None:
        """A block of the orders that are here; None where there are none."""
        assert self._roll is not None, "a settlement has an electorate"
        orders = self._orders.for_block(self._roll, self._chain.height)
        later = self._succession.later
        if not orders and not later:
            return None
        chain, state = self._chain, self._chain.next_state()
        time_ms = max(chain.time_ms + 1, now.wall_ns // MILLISECOND_NS)
        digest = state_digest(state) if state else b""
        return encode(Block(chain.height + 1, chain.head, time_ms, digest, orders, later))

    def accepts(
        self, view: int, payload: bytes, parent: bytes, nullified_views: int, now: Now
    ) -> bool | None:
        """Whether a block may be the next."""
        assert self._roll is not None, "a settlement has an electorate"
        return self._chain.judge(payload, self._roll, self._succession.bundle, now)

    # Heights.

    def begin(self) -> Settlement | None:
        """The instance of the next height, where this peer settles it."""
        roll = self._roll
        if roll is None or roll.epoch != self._chain.epoch or self._me not in roll.electors:
            return None  # those of a list to come must not settle what came before
        if self.instance is None:
            height = self._chain.height + 1
            name = instance_of(roll.epoch, height)
            way = HeightWay(height, roll, self._me, self._is_down, self._return, self._effects)
            seat = roll.electors.index(self._me)
            self._way = way
            self.instance = Settlement(
                roll.epoch, name, roll.electors, seat, roll.order(name), self._keyring,
                self, way.is_down, way,
            )  # fmt: skip
            way.records.extend(self._restored)
            for record in self._restored:
                said = Said(
                    record.elector, record.view, record.phase, record.digest, record.signature
                )
                self.instance.restore(said, record.payload)
            self._restored = []
        return self.instance

    def _on_height(self, link: bytes, message: HeightMessage, now: Now) -> None:
        roll, following = self._roll, self._chain.height + 1
        if roll is None or link not in roll.electors:
            return
        if message.epoch not in (0, roll.epoch) and message.height == following:
            return  # of those before a recovery, or after one that has not got here yet
        if message.height < following:
            self._show(link, message.height - 1, now)
        elif message.height > following:
            if message.height == following + 1:
                self._early.append((link, message))
            self._ask(link, now)
        else:
            self._hear(link, message, now)

    def _hear(self, link: bytes, message: HeightMessage, now: Now) -> None:
        instance = self.begin()
        if instance is None:
            return
        if not is_good(instance, message, now):
            self._effects.append(Blame(link, "says in the log what nobody signed"))

    def _go_on(self, now: Now) -> tuple[Effect, ...]:
        """Whatever may follow from what was just told."""
        while True:
            for peer in self._return.go_on(now):
                self._ask(peer, now)
            self._newcomer.ask(self._chain.epoch, self._chain.height, now)
            if not self._return.is_waiting:
                self._orders.order_next(self._roll, now)
            is_wanted = bool(self._orders.is_any or self._succession.later or self._restored)
            instance = self.begin() if is_wanted else self.instance
            if instance is not None:
                instance.look(True, now)
            if self._way is None or self._way.over is None:
                break
            self._add(LogBlock(*self._way.over, self._succession.bundle), now)
        self._leasing.settle()
        effects = tuple(self._effects)
        self._effects.clear()
        return effects

    def _add(self, shown: LogBlock, now: Now) -> None:
        """The next block is final."""
        self._effects.append(Persist(BlockRecord(shown)))
        self.instance = self._way = None
        self._restored = []
        self._applied(self._chain.add(shown), now)

    def _applied(self, applied: Applied, now: Now) -> None:
        self._orders.applied(applied)
        if applied.electorate:
            self._switch(applied.electorate)
        early = [each for each in self._early if each[1].height == self._chain.height + 1]
        self._early.clear()
        for link, message in early:
            if self._chain.height + 1 == message.height:
                self._hear(link, message, now)

    # Behind, or ahead.

    def _is_down(self, peer: bytes) -> bool:
        return peer in self._down

    def _ask(self, peer: bytes, now: Now) -> None:
        if peer != self._me and self._replies.may(peer, "ask", self._roll, now):
            self._effects.append(Send(peer, messages.LogWant(self._chain.height)))

    def _show(self, link: bytes, height: int, now: Now) -> None:
        if link == self._me or not self._replies.may(link, "show", self._roll, now):
            return
        for shown in self._chain.after(height, SHOWN_LIMIT):
            self._effects.append(Send(link, shown))

    def _on_block(self, link: bytes, message: LogBlock, now: Now) -> None:
        found = self._chain.verified(message)
        if found is None:
            self._effects.append(Blame(link, "shows a block that no quorum settled"))
            return
        block, roll = found
        if roll.epoch > self._chain.epoch and self._succession.is_stale(message.bundle):
            return
        if isinstance(roll, RecoveryRoll):
            before = self._roll, self._chain.epoch
            self._succession.shown(message.bundle, roll)
            self._look_who_settles(*before)
        if block.height <= self._chain.height or self._chain.is_gone(block.height, roll.epoch):
            return
        if not self._succession.is_before_recovery(roll.epoch):
            self._return.on_proof(block.height, message.proof, roll)
        if block.height == self._chain.height + 1 and roll.epoch == self._chain.epoch:
            self._add(msgspec.structs.replace(message, state=b""), now)
        elif message.state and roll.epoch >= self._chain.epoch:
            self._chain.start_from(block, message.state, roll.epoch)
            self._switch(message.bundle)
            self._add(message, now)
        else:
            self._ask(link, now)

    # The electorate.

    def _follow(self, bundle: bytes) -> None:
        """The first list is taken; a later one has to go through the log."""
        before = self._roll, self._chain.epoch
        found = self._succession.follow(bundle)
        if found is not None:
            self._newcomer.follow(found)
            self._leasing.follow(found)
        self._look_who_settles(*before)

    def _look_who_settles(self, roll: Roll | None, epoch: int) -> None:
        """Where others do now than before, what was being settled is settled no more."""
        if self._roll is not None and (self._roll is not roll or self._chain.epoch != epoch):
            self.instance = self._way = None
            self._restored = []
            self._orders.keep(self._roll.electors)

    def _switch(self, bundle: bytes) -> None:
        self._succession.switch(bundle)
        if self._roll is not None:
            self._orders.keep(self._roll.electors)
