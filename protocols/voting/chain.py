"""The finalised blocks of the log as far as one elector has them, and the ledger they lead to.

Kept for others are the last `BLOCKS_KEPT` blocks, and the last one with a digest of the state
before it, together with that state: who lacks more than the blocks starts from there.

Invariants:
    one-chain: each block follows the one before it, at the next height and a later time.
    bounded-chain: what is kept for others has a limit.
"""

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, Now
from protocols.voting.blocks import (
    CLOCK_SLACK_MS,
    GENESIS,
    STATE_EVERY,
    Block,
    Order,
    decode_block,
    instance_of,
    open_order,
)
from protocols.voting.ledger import Ledger, Result, state_digest
from protocols.voting.log_messages import BlockRecord, LogBlock, LogStateRecord
from protocols.voting.marks import FINALISE, digest_of, is_proof
from protocols.voting.roll import RecoveryRoll, Roll, is_outdated, open_bundle

FIRST_EPOCH = 1
"""Whose electors settle the first height."""
BLOCKS_KEPT = 2 * STATE_EVERY
"""Finalised blocks kept for electors that lack them."""


class Applied(msgspec.Struct, frozen=True):
    """What a block led to: its orders, and the results of each."""

    height: int
    time_ms: int
    orders: tuple[Order, ...]
    results: tuple[tuple[Result, ...], ...]
    electorate: bytes


class Chain:
    """The log so far.

    Attributes:
        height, head, time_ms: of the last finalised block.
        epoch: of the electors that settle the next one.
        ledger: what it led to.
        recovery: the last list that is known to take over, after a block that it names.
    """

    def __init__(self, keyring: Keyring, mesh: bytes) -> None:
        """Begins before the first block."""
        self._keyring = keyring
        self._mesh = mesh
        self.height = 0
        self.head = GENESIS
        self.time_ms = 0
        self.epoch = FIRST_EPOCH
        self.ledger = Ledger()
        self._blocks: OrderedDict[int, LogBlock] = OrderedDict()
        self._start: tuple[int, LogBlock] | None = None
        self.recovery: RecoveryRoll | None = None

    # Judging.

    def next_state(self) -> bytes:
        """The state before the next block, where that block has its digest; else empty."""
        return self.ledger.state() if (self.height + 1) % STATE_EVERY == 0 else b""

    def judge(self, payload: bytes, roll: Roll, bundle: bytes, now: Now) -> bool | None:
        """Whether a block may be the next; None where its time has not come by this clock.

        Args:
            payload: the encoded block.
            roll: the electors of today.
            bundle: what proves them.
            now: the time here.
        """
        block = decode_block(payload)
        if block is None or (block.height, block.parent) != (self.height + 1, self.head):
            return False
        state = self.next_state()
        if block.state != (state_digest(state) if state else b"") or block.time_ms <= self.time_ms:
            return False
        if not block.orders and not block.electorate:
            return False
        if block.electorate and not self._is_later(block.electorate, roll, bundle):
            return False
        if not self._are_new(block, roll):
            return False
        return True if block.time_ms <= now.wall_ns // MILLISECOND_NS + CLOCK_SLACK_MS else None

    def _is_later(self, bundle: bytes, roll: Roll, today: bytes) -> bool:
        found = open_bundle(bundle, self._mesh, self._keyring)
        if found is None or isinstance(found, RecoveryRoll) or is_outdated(bundle, today):
            return False
        return found.epoch > roll.epoch

    def _are_new(self, block: Block, roll: Roll) -> bool:
        submitters = set()
        for signed in block.orders:
            order = open_order(signed, self._keyring)
            if order is None or order.submitter not in roll.electors:
                return False
            if order.submitter in submitters:
                return False
            if order.number <= self.ledger.applied(order.submitter):
                return False
            submitters.add(order.submitter)
        return True

    # Growing.

    def add(self, shown: LogBlock) -> Applied:
        """Applies the next block, which a quorum has finalised."""
        block = decode_block(shown.payload)
        assert block is not None, "a quorum accepted it"
        assert (block.height, block.parent) == (self.height + 1, self.head), "one-chain"
        assert block.time_ms > self.time_ms, "one-chain"
        state = self.next_state()
        assert block.state == (state_digest(state) if state else b""), "one-chain: the state"
        orders = []
        for signed in block.orders:
            order = open_order(signed, self._keyring)
            assert order is not None, "a quorum accepted it"
            orders.append(order)
        results = self.ledger.apply(
            ((order.submitter, order.number, order.actions) for order in orders),
            block.height,
            block.time_ms,
        )
        self.height, self.time_ms = block.height, block.time_ms
        self.head = digest_of(shown.payload)
        if block.electorate:
            later = open_bundle(block.electorate, self._mesh, self._keyring)
            assert later is not None, "a quorum accepted it"
            self.epoch = later.epoch
        self._keep(shown, state)
        self._look_at_recovery()
        return Applied(block.height, block.time_ms, tuple(orders), tuple(results), block.electorate)

    def _keep(self, shown: LogBlock, state: bytes) -> None:
        plain = msgspec.structs.replace(shown, state=b"")
        self._blocks[self.height] = plain
        if state:
            self._start = (self.height, msgspec.structs.replace(shown, state=state))
        while len(self._blocks) > BLOCKS_KEPT:
            self._blocks.popitem(last=False)

    def verified(self, shown: LogBlock) -> tuple[Block, Roll] | None:
        """The block in what another shows, and whose it is; None where nothing proves it."""
        block, proof = decode_block(shown.payload), shown.proof
        if block is None or proof.phase != FINALISE or proof.digest != digest_of(shown.payload):
            return None
        roll = open_bundle(shown.bundle, self._mesh, self._keyring)
        if roll is None or (shown.state and state_digest(shown.state) != block.state):
            return None
        instance = instance_of(roll.epoch, block.height)
        if not is_proof(proof, roll.epoch, instance, roll.electors, self._keyring):
            return None
        return block, roll

    def start_from(self, block: Block, state: bytes, epoch: int) -> None:
        """Takes the state before a block that is further than the next, and its epoch."""
        assert block.height > self.height, "one-chain"
        self.ledger.restore(state)
        self.height, self.head = block.height - 1, block.parent
        self.time_ms = min(self.time_ms, block.time_ms - 1)
        self.epoch = epoch
        self._blocks.clear()

    def recover(self, roll: RecoveryRoll) -> None:
        """Others take over after a block: what goes beyond it here is forgotten."""
        if self.recovery is None or roll.epoch > self.recovery.epoch:
            self.recovery = roll
        self._look_at_recovery()

    def is_gone(self, height: int, epoch: int) -> bool:
        """Whether a block was settled by those before a recovery, beyond where it begins."""
        roll = self.recovery
        return roll is not None and height > roll.height and epoch < roll.epoch

    def _look_at_recovery(self) -> None:
        roll = self.recovery
        if roll is None or self.epoch >= roll.epoch or self.height < roll.height:
            return
        if (self.height, self.head) == (roll.height, roll.head):
            self.epoch = roll.epoch
        else:
            self.height, self.head, self.time_ms, self.epoch = 0, GENESIS, 0, FIRST_EPOCH
            self.ledger.restore(Ledger().state())
            self._blocks.clear()
            self._start = None

    # For others, and for the next life.

    def after(self, height: int, most: int) -> list[LogBlock]:
        """What one that has this height lacks, so many blocks; a state goes with the first."""
        if height >= self.height:
            return []
        first = height + 1
        shown: list[LogBlock] = []
        if first not in self._blocks:
            if self._start is None or self._start[0] <= height:
                return []
            first, begun = self._start
            shown, first = [begun], first + 1
        last = min(self.height, first + most - 1 - len(shown))
        return shown + [self._blocks[each] for each in range(first, last + 1)]

    def records(self) -> Iterator[BlockRecord | LogStateRecord]:
        """What gives the same when it is restored."""
        if self._start is not None:
            yield BlockRecord(self._start[1])
        for shown in self._blocks.values():
            yield BlockRecord(shown)
        if self.height:
            yield LogStateRecord(
                self.height, self.head, self.time_ms, self.ledger.state(), self.epoch
            )

    def restore_state(self, record: LogStateRecord) -> None:
        """Takes a checkpoint."""
        self.ledger.restore(record.state)
        self.height, self.head, self.time_ms = record.height, record.head, record.time_ms
        self.epoch = record.epoch

    def restore_block(self, shown: LogBlock, is_past: bool) -> Applied | None:
        """Takes a block that was written down: one of the past is only kept for others."""
        block = decode_block(shown.payload)
        assert block is not None, "written by this machine"
        if not is_past:
            roll = open_bundle(shown.bundle, self._mesh, self._keyring)
            assert roll is not None, "verified before it was written"
            if isinstance(roll, RecoveryRoll):
                self.recover(roll)
            if block.height > self.height + 1:
                self.start_from(block, shown.state, roll.epoch)
            return self.add(shown)
        if shown.state:
            self._start = (block.height, shown)
        else:
            self._blocks[block.height] = shown
        return None

    def check(self) -> None:
        """Asserts the invariants."""
        self.ledger.check()
        assert len(self._blocks) <= BLOCKS_KEPT, "bounded-chain"
        heights = list(self._blocks)
        assert heights == sorted(heights), "one-chain"
        assert not heights or heights[-1] == self.height, "one-chain"
