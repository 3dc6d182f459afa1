"""What is to be put in order: this elector's own requests, and the last order of each elector.

An elector has one order under way. Meanwhile its requests wait, and go together into the next
one. An order is said again until it is applied; a later one of the same elector replaces it.

Invariants:
    one-order: this elector has one order under way, and its numbers grow for ever.
    bounded-orders: what waits has a limit, and one order is kept of each elector.
"""

from collections import deque
from collections.abc import Collection, Sequence

import msgspec

from protocols.effects import Blame, Effect, Emit, Send
from protocols.errors import Refused
from protocols.identity import Keyring
from protocols.machine import SECOND_NS, Instant, Now
from protocols.quorum import quorum
from protocols.voting.blocks import (
    ACTIONS_LIMIT,
    BLOCK_LIMIT,
    ORDER_LIMIT,
    ORDERS_LIMIT,
    Order,
    SignedOrder,
    open_order,
    sign_order,
)
from protocols.voting.chain import Applied
from protocols.voting.ledger import Action, Ledger, Result
from protocols.voting.log_commands import PutInOrder, PutInOrderDone
from protocols.voting.log_messages import OrderSent
from protocols.voting.roll import Roll
from protocols.wire import encode

WAITING_LIMIT = 1_024
"""Requests of this peer's own that wait for its next order."""
RETRY_NS = SECOND_NS
BUSY_RETRY_NS = SECOND_NS // 10
REQUEST_LIMIT = ORDER_LIMIT - 256
"""Bytes of the actions in one order."""
BLOCK_MARGIN = 8 * 1024
"""Bytes of a block that are not orders."""
SIGNED_MARGIN = 80
"""Bytes that an order takes in a block besides its body."""


class UnderWay(msgspec.Struct, frozen=True):
    """This elector's own order, until it is applied."""

    number: int
    requests: tuple[PutInOrder, ...]
    signed: SignedOrder


class Orders:
    """The orders that one elector knows."""

    def __init__(self, keyring: Keyring, boot: int, ledger: Ledger, effects: list[Effect]) -> None:
        """Takes who this peer is, what was applied, and where effects go."""
        self._keyring = keyring
        self._me = keyring.peer
        self._number = boot << 32
        self._ledger = ledger
        self._effects = effects
        self._pool: dict[bytes, tuple[int, SignedOrder]] = {}
        self._waiting: deque[PutInOrder] = deque()
        self._own: UnderWay | None = None
        self._resend: Instant = 0
        self.leases: list[PutInOrderDone] = []
        """Answers to requests with numbers below zero: those of `Leasing`."""

    @property
    def is_any(self) -> bool:
        """Whether there is something to settle."""
        return bool(self._pool)

    # Own requests.

    def accept(
        self, command: PutInOrder, roll: Roll | None, epoch: int, down: Collection[bytes]
    ) -> None:
        """Takes a request of this peer's own.

        Raises:
            Refused: see `PutInOrder`.
        """
        if roll is None:
            raise Refused("NoElectorate", "this mesh has no electorate yet")
        if self._me not in roll.electors:
            raise Refused(
                "NotAnElector", "this peer is no elector: ask one (`mesh electors ls` shows them)"
            )
        if roll.epoch != epoch:
            raise Refused("Busy", "this peer has not caught up with the log", RETRY_NS)
        require_quorum(roll, down)
        size = len(encode(command.actions))
        if not command.actions or len(command.actions) > ACTIONS_LIMIT or size > REQUEST_LIMIT:
            text = f"1 to {ACTIONS_LIMIT} actions of together {REQUEST_LIMIT} bytes, not {size}"
            raise Refused("TooLarge", text)
        if len(self._waiting) >= WAITING_LIMIT:
            raise Refused("Busy", f"{WAITING_LIMIT} requests wait already", BUSY_RETRY_NS)
        self._waiting.append(command)

    def order_next(self, roll: Roll | None, now: Now) -> None:
        """Makes the next order, of as much as fits of what waits."""
        if self._own is not None or not self._waiting or roll is None:
            return
        batch: list[PutInOrder] = []
        actions: list[Action] = []
        size = 0
        while self._waiting:
            following = self._waiting[0].actions
            size += len(encode(following))
            count = len(actions) + len(following)
            if batch and (count > ACTIONS_LIMIT or size > REQUEST_LIMIT):
                break
            batch.append(self._waiting.popleft())
            actions.extend(following)
        self._number = max(self._number, self._ledger.applied(self._me)) + 1
        signed = sign_order(self._keyring, self._number, tuple(actions))
        self._own = UnderWay(self._number, tuple(batch), signed)
        self._pool[self._me] = (self._number, signed)
        self._send(roll, now)

    def _send(self, roll: Roll, now: Now) -> None:
        assert self._own is not None, "one-order"
        self._resend = now.monotonic_ns + RETRY_NS
        for elector in roll.electors:
            if elector != self._me:
                self._effects.append(Send(elector, OrderSent(self._own.signed)))

    def wake(self, roll: Roll | None, now: Now) -> None:
        """Says again what is not applied yet."""
        if self._own is not None and roll is not None and now.monotonic_ns >= self._resend:
            self._send(roll, now)

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""
        return self._resend if self._own is not None else None

    # Others' orders.

    def hear(self, link: bytes, signed: SignedOrder) -> None:
        """Takes an elector's order from itself."""
        order = open_order(signed, self._keyring)
        if order is None or order.submitter != link:
            self._effects.append(Blame(link, "an order that it did not sign"))
            return
        known = self._pool.get(link)
        last = self._ledger.applied(link) if known is None else known[0]
        if order.number > last:
            self._pool[link] = (order.number, signed)

    def for_block(self, roll: Roll, height: int) -> tuple[SignedOrder, ...]:
        """The orders of a block, as many as it holds; each height begins with another elector."""
        first = height % len(roll.electors)
        orders: list[SignedOrder] = []
        size = BLOCK_MARGIN
        for elector in (*roll.electors[first:], *roll.electors[:first]):
            if elector not in self._pool:
                continue
            signed = self._pool[elector][1]
            size += len(signed.body) + SIGNED_MARGIN
            if size > BLOCK_LIMIT:
                break
            orders.append(signed)
        return tuple(orders)

    # What came of them.

    def applied(self, applied: Applied) -> None:
        """A block was applied: answers this elector's own requests."""
        for order, results in zip(applied.orders, applied.results, strict=True):
            if self._is_own(order):
                self._answer(results, applied)
        for submitter, (number, _) in list(self._pool.items()):
            if number <= self._ledger.applied(submitter):
                del self._pool[submitter]
        if self._own is not None and self._own.number <= self._ledger.applied(self._me):
            # It was among blocks that came as a state: what it led to is not known here.
            self._give_up(applied)

    def _is_own(self, order: Order) -> bool:
        """An earlier life on a later disk may have used the number for something else."""
        if self._own is None or order.submitter != self._me or order.number != self._own.number:
            return False
        asked = (action for request in self._own.requests for action in request.actions)
        return order.actions == tuple(asked)

    def keep(self, electors: Sequence[bytes]) -> None:
        """Only these submit from now on."""
        self._pool = {who: order for who, order in self._pool.items() if who in electors}

    def _answer(self, results: tuple[Result, ...], applied: Applied) -> None:
        assert self._own is not None, "one-order"
        place = 0
        for command in self._own.requests:
            found = results[place : place + len(command.actions)]
            place += len(command.actions)
            done = PutInOrderDone(command.request, applied.height, applied.time_ms, found)
            if command.request < 0:
                self.leases.append(done)
            else:
                self._effects.append(Emit(done))
        self._own = None

    def _give_up(self, applied: Applied) -> None:
        assert self._own is not None, "one-order"
        count = sum(len(command.actions) for command in self._own.requests)
        self._answer((Result(False, "unknown"),) * count, applied)

    def check(self) -> None:
        """Asserts the invariants."""
        assert len(self._waiting) <= WAITING_LIMIT, "bounded-orders"
        assert len(self._pool) <= ORDERS_LIMIT, "bounded-orders"
        assert self._own is None or self._own.number <= self._number, "one-order"


def require_quorum(roll: Roll, down: Collection[bytes]) -> None:
    """Looks whether so many electors are alive that they can settle anything.

    Raises:
        Refused: `NoQuorum`.
    """
    count, needed = len(roll.electors), quorum(len(roll.electors))
    alive = sum(peer not in down for peer in roll.electors)
    if alive < needed:
        raise Refused(
            "NoQuorum",
            f"{alive} of {count} electors are alive, and {needed} are needed: "
            "start the others again (`mesh up` on the same folder), or have others decide if "
            "they are lost for good (`mesh electors recover`)",
        )
