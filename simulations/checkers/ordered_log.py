"""The ordered log: one chain of blocks, each proven, and histories that are linearisable.

Invariants:
    log-agreement: no two final blocks at a height differ, and equal heights are equal states.
    log-soundness: every final block is proven by the electors of its height alone, and
        follows the last. Those of a height are named by the last block below it that names any.
    log-results: what callers are told is what the blocks lead to, by a second ledger.
    log-real-time: who asks after another was answered comes after it.
    log-linearisable: for each key some order explains all answers, by them alone.
"""

from collections.abc import Iterator

import msgspec

from protocols.machine import Instant
from protocols.voting.blocks import Block, Order
from protocols.voting.leasing import PREFIX
from protocols.voting.ledger import Result, Transact
from protocols.voting.log_commands import PutInOrderDone
from protocols.voting.log_messages import LogBlock
from simulations.auditing import Electorate, height_instance, payload_digest
from simulations.ledger_model import LedgerModel
from simulations.linearisability import NEVER, Operation, is_linearisable
from simulations.observations import Sent
from simulations.peer import SimulatedPeer
from simulations.voting_load import Ordered
from simulations.world import Violation, World

FIRST_EPOCH = 1
UNKNOWN = "unknown"
"""The answer of one that has caught up by a state."""


class OneLog:
    """The blocks of all honest electors are one chain."""

    hears = (LogBlock,)

    def __init__(self, electorate: Electorate) -> None:
        self._electorate = electorate
        self.blocks: dict[int, bytes] = {}
        """The final payload at each height, as far as anybody has shown it."""
        self._epochs: dict[int, int] = {}
        """Whose electors settled it."""
        self._complete = 0
        """Up to here all blocks are known."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes the blocks that honest electors show."""
        if isinstance(event, Sent) and peer.liar is None and self._electorate.is_sound(world):
            assert isinstance(event.message, LogBlock)
            self._take(world, peer, event.message)

    def _take(self, world: World, peer: SimulatedPeer, shown: LogBlock) -> None:
        block = msgspec.msgpack.decode(shown.payload, type=Block)
        if self.blocks.get(block.height) == shown.payload:
            return
        proof = msgspec.msgpack.decode(msgspec.msgpack.encode(shown.proof))
        epoch, _ = world.rolls.get(shown.bundle, (0, ()))
        instance = height_instance(epoch, block.height)
        fault = "nobody has signed its electors"
        if epoch:
            fault = self._electorate.proof_fault(epoch, proof, instance, shown.payload)
        if fault:
            raise Violation(f"log-soundness: {peer.name}, height {block.height}: {fault}")
        if block.height in self.blocks:
            raise Violation(f"log-agreement: {peer.name} has another block {block.height}")
        self.blocks[block.height] = shown.payload
        self._epochs[block.height] = epoch

    def look(self, world: World) -> None:
        """Takes what is new before nobody keeps it any more."""
        if self._electorate.is_sound(world):
            while self._complete + 1 in self.blocks:
                self._complete += 1
            for peer in self._electorate.able(world):
                assert peer.core is not None, "it runs"
                for shown in peer.core.log.settled(self._complete):
                    self._take(world, peer, shown)

    def finish(self, world: World) -> None:
        """All blocks of all honest electors, and what they lead to."""
        if not self._electorate.is_sound(world):
            return
        states: dict[int, bytes] = {}
        for peer in self._electorate.able(world):
            assert peer.core is not None, "it runs"
            for shown in peer.core.log.settled(0):
                self._take(world, peer, shown)
            state = peer.core.log.state()
            if states.setdefault(peer.core.log.height, state) != state:
                raise Violation(f"log-agreement: {peer.name} has come to another state")
        world.coverage["blocks of the log"] += len(self.blocks)
        epoch = FIRST_EPOCH
        for height, payload in sorted(self.blocks.items()):
            block = msgspec.msgpack.decode(payload, type=Block)
            before = self.blocks.get(height - 1)
            if before is not None and payload_digest(before) != block.parent:
                raise Violation(f"log-soundness: block {height} follows another than the last")
            is_known = before is not None or height == 1
            if is_known and self._epochs[height] != epoch:
                raise Violation(f"log-soundness: block {height} is not of epoch {epoch}")
            epoch = world.rolls[block.electorate][0] if block.electorate else self._epochs[height]


class _Asked(msgspec.Struct):
    """A request that was taken, and what came of it."""

    command: Ordered
    began: Instant
    ended: Instant = NEVER
    height: int = 0
    results: tuple[Result, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether its caller knows what came of it."""
        return self.ended < NEVER


class LogIsLinearisable:
    """What callers were told, against the blocks, the clock, and each other."""

    hears = (Ordered, PutInOrderDone)

    def __init__(self, electorate: Electorate, log: OneLog) -> None:
        self._electorate = electorate
        self._log = log
        self._asked: dict[int, _Asked] = {}
        self._told: dict[tuple[int, bytes], list[Result]] = {}
        """The answers at one height at one peer, in their order."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of what was asked and answered; what a liar says came of it is not."""
        match event:
            case Ordered():
                self._asked[event.request] = _Asked(event, world.now)
            case PutInOrderDone() if peer.liar is None:
                self._answered(world, peer, event)

    def _answered(self, world: World, peer: SimulatedPeer, event: PutInOrderDone) -> None:
        if any(result.reason == UNKNOWN for result in event.results):
            world.coverage["an order is answered: unknown"] += 1
            return
        asked = self._asked[event.request]
        if asked.is_known:
            raise Violation(f"log-results: {peer.name} answers {event.request} twice")
        asked.ended, asked.height, asked.results = world.now, event.height, event.results
        self._told.setdefault((event.height, peer.peer), []).extend(event.results)
        world.coverage["an order is answered"] += 1
        for result in event.results:
            world.coverage[f"an action is {result.reason or 'done'}"] += 1

    def finish(self, world: World) -> None:
        """Judges the whole history."""
        if not self._electorate.is_sound(world):
            return
        self._check_time()
        self._check_results()
        histories: dict[str, list[Operation]] = {}
        for asked in self._asked.values():
            for key, operation in _operations(asked):
                histories.setdefault(key, []).append(operation)
        for key, history in sorted(histories.items()):
            seen = {each.read if each.ended < NEVER else each.expected for each in history}
            if not is_linearisable(each for each in history if _is_needed(each, seen)):
                raise Violation(f"log-linearisable: no order explains what was read of {key}")

    def _check_time(self) -> None:
        """Heights follow the clock: the greatest one that was answered so far is a floor."""
        known = [asked for asked in self._asked.values() if asked.is_known]
        ends = sorted(known, key=lambda asked: asked.ended)
        floor, done = 0, 0
        for asked in sorted(known, key=lambda asked: asked.began):
            while done < len(ends) and ends[done].ended < asked.began:
                floor = max(floor, ends[done].height)
                done += 1
            if asked.height <= floor:
                raise Violation(f"log-real-time: {asked.command.request} is at {asked.height}")

    def _check_results(self) -> None:
        model, blocks = LedgerModel(), self._log.blocks
        for height in range(1, len(blocks) + 1):
            if height not in blocks:
                return  # nobody keeps it any more
            block = msgspec.msgpack.decode(blocks[height], type=Block)
            for signed in block.orders:
                order = msgspec.msgpack.decode(signed.body, type=Order)
                results = model.apply(height, block.time_ms, order.actions)
                # Custodians put leases of exclusive tasks in order, and no caller is told.
                wanted = [
                    result
                    for action, result in zip(order.actions, results, strict=True)
                    if not getattr(action, "name", "").startswith(PREFIX)
                ]
                told = self._told.get((height, order.submitter), [])
                if told != wanted[: len(told)]:
                    raise Violation(f"log-results: at height {height}: {told} for {wanted}")


def _operations(asked: _Asked) -> Iterator[tuple[str, Operation]]:
    """What a request did to each key, as far as its caller knows: an operation for each."""
    for place, action in enumerate(asked.command.actions):
        if not isinstance(action, Transact):
            continue
        result = asked.results[place] if asked.is_known else None
        values = {} if result is None else {key: value for key, value, _ in result.values}
        is_single = len(action.reads) == 1 and not action.held
        checks, writes = dict(action.checks), dict(action.writes)
        for key in sorted(set(action.reads)):
            if result is not None and not result.is_done and not is_single:
                continue  # it failed for what another key or a lease held
            is_checked = is_single and key in checks
            yield (
                key,
                Operation(
                    asked.began, asked.ended, key in writes, is_checked, checks.get(key),
                    writes.get(key), values.get(key), result is None or result.is_done,
                ),
            )  # fmt: skip


def _is_needed(operation: Operation, seen: set[bytes | None]) -> bool:
    """Whether it may explain anything: a write that nobody answered and nobody saw does not.

    Every other operation tells what the key held before it.
    """
    return operation.ended < NEVER or (operation.is_write and operation.wrote in {None, *seen})
