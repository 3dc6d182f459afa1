"""The blackboard: replicas are equal after the peace, and hold what was acknowledged."""

from collections.abc import Iterable

import msgspec

from protocols.blackboard.events import (
    BoardWritten,
    GenerationBegun,
    PeerReset,
    WriterForked,
)
from protocols.blackboard.messages import Delta, Push
from protocols.blackboard.ops import Op, decode_op
from protocols.blackboard.segments import SegmentPart, op_hash
from protocols.errors import Malformed
from protocols.machine import Instant
from simulations.observations import DiskForgot, Sent
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World


def lasting(peer: SimulatedPeer) -> dict[bytes, Op]:
    """The live ops of a peer that nothing collects, by their hashes."""
    assert peer.core is not None, "a peer that does not run has no replica"
    return {op_hash(encoded): op for op, encoded in peer.core.board.replica.live() if op.is_lasting}


def _without(writers: set[bytes], ops: dict[bytes, Op]) -> dict[bytes, Op]:
    return {name: op for name, op in ops.items() if op.writer not in writers}


class BoardConverges:
    """After faults stop, the replicas of all running honest peers are equal."""

    hears = (WriterForked, GenerationBegun, PeerReset)

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Counts what the blackboard met."""
        kind = type(event).__name__
        if isinstance(event, PeerReset) and event.reapplied:
            world.coverage["a reset peer keeps what nobody had"] += 1
        world.coverage[f"board: {kind}"] += 1
        if isinstance(event, WriterForked) and peer.liar is None:
            writer = world.by_id.get(event.writer)
            if writer is not None and writer.liar is None:
                raise Violation(f"board-honest-fork: {writer.name} forked, says {peer.name}")

    def finish(self, world: World) -> None:
        """Compares all of them with the first."""
        running = [peer for peer in world.honest if peer.core is not None]
        if not running:
            return
        restless = {
            peer.peer for peer in world.peers if peer.liar is not None and peer.liar.never_rests
        }
        first = _without(restless, lasting(running[0]))
        world.coverage["board: live ops at the end"] += len(first)
        for peer in running[1:]:
            mine = _without(restless, lasting(peer))
            if mine != first:
                here = [op.key for name, op in mine.items() if name not in first]
                there = [op.key for name, op in first.items() if name not in mine]
                raise Violation(
                    f"board-converges: {peer.name} alone has {here[:3]}, "
                    f"{running[0].name} alone {there[:3]}"
                )


class BoardKeepsWhatItAcknowledged:
    """Every acknowledged op is known everywhere, and live unless an op superseded it.

    No op is live that another one superseded which was acknowledged: nothing comes back.
    What the disk of its writer forgot before anybody else had it binds nobody.
    """

    hears = (BoardWritten, Push, Delta, DiskForgot)

    def __init__(self) -> None:
        self._written: dict[tuple[bytes, int, int], tuple[Instant, bool]] = {}
        self._ops: dict[bytes, Op] = {}
        # A number that a disk forgot before anybody else had its op is used again.
        self._newest: dict[tuple[bytes, int, int], bytes] = {}
        self._forgot: dict[bytes, list[Instant]] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of ops on their way, of acknowledgements and of disks."""
        match event:
            case BoardWritten():
                if peer.liar is not None:
                    return
                where = "replicated" if event.replicated else "alone"
                world.coverage[f"a write is acknowledged: {where}"] += 1
                for sequence in range(event.first, event.first + event.count):
                    dot = (event.writer, event.generation, sequence)
                    self._written[dot] = (world.now, event.replicated)
            case Sent(_, Push() | Delta() as sent):
                for part in sent.parts:
                    self._learn(part)
            case DiskForgot():
                self._forgot.setdefault(peer.peer, []).append(event.since)

    def _learn(self, part: SegmentPart) -> None:
        for raw in part.ops:
            encoded = bytes(raw)
            name = op_hash(encoded)
            if name not in self._ops:
                try:
                    op = self._ops[name] = decode_op(encoded)
                except Malformed:
                    continue
                self._newest[_dot(op)] = name

    def _binds(self, dot: tuple[bytes, int, int]) -> bool:
        at, is_replicated = self._written[dot]
        forgot = {peer for peer, times in self._forgot.items() if any(t <= at for t in times)}
        if dot[0] not in forgot:
            return True
        return is_replicated and len(forgot) == 1

    def finish(self, world: World) -> None:
        """Every promise is kept by every running honest peer."""
        bound = {dot for dot in self._written if self._binds(dot)}
        promised = {
            name: op
            for name, op in self._ops.items()
            if _dot(op) in bound and self._newest[_dot(op)] == name
        }
        every = _Reach(self._ops.values())
        beside: dict[tuple[str, str, bytes], list[Op]] = {}
        for op in promised.values():
            beside.setdefault((op.key, op.type, op.field), []).append(op)
        lasting = {
            name: op for name, op in promised.items() if op.is_lasting and not every.covers(op)
        }
        honest = {peer.peer for peer in world.honest}
        for peer in world.honest:
            if peer.core is None:
                continue
            board = peer.core.board
            for dot in sorted(bound):
                if not board.knows(*dot):
                    raise Violation(f"board-acknowledged: {peer.name} never had {dot[1:]}")
            live = {op_hash(encoded): op for op, encoded in board.replica.live()}
            for name, op in lasting.items():
                if name not in live:
                    raise Violation(f"board-acknowledged: {peer.name} lost {op.key} {_dot(op)[1:]}")
            for op in live.values():
                # A liar's ops need not name what they should, and may stand beside what names them.
                rivals = beside.get((op.key, op.type, op.field), ()) if op.writer in honest else ()
                if any(_saw(rival, op) for rival in rivals):
                    raise Violation(f"board-resurrection: {op.key} is back at {peer.name}")


def _dot(op: Op) -> tuple[bytes, int, int]:
    return op.writer, op.generation, op.sequence


def _saw(one: Op, other: Op) -> bool:
    """Whether an op's writer knew of another: it names that, and all that that one names."""
    reach = {(writer, generation): last for writer, generation, last in one.context}
    if reach.get((other.writer, other.generation), 0) < other.sequence:
        return False
    own = (one.writer, one.generation)
    return all(
        reach.get((writer, generation), 0)
        >= (min(last, one.sequence - 1) if (writer, generation) == own else last)
        for writer, generation, last in other.context
    )


class _Reach:
    """What some ops supersede: how far in each chain, by cell."""

    def __init__(self, ops: Iterable[Op]) -> None:
        self._reach: dict[tuple[object, ...], int] = {}
        for op in ops:
            for writer, generation, sequence in op.context:
                cell = (op.key, op.type, op.field, writer, generation)
                self._reach[cell] = max(sequence, self._reach.get(cell, 0))

    def covers(self, op: Op) -> bool:
        """Whether one of them supersedes an op."""
        cell = (op.key, op.type, op.field, op.writer, op.generation)
        return self._reach.get(cell, 0) >= op.sequence


class BoardMemoryFollowsLiveData:
    """What a peer keeps of segments is bounded by what is live, however much was written."""

    hears = ()
    hashes_most = 12

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Nothing is heard."""

    def finish(self, world: World) -> None:
        """A segment has a kept op, and for each at most a hash a level of its tree."""
        for peer in world.honest:
            if peer.core is None:
                continue
            for segment in peer.core.board.segments():
                if segment.hashes > self.hashes_most * len(segment.ops):
                    raise Violation(
                        f"board-memory: {peer.name} keeps {segment.hashes} hashes "
                        f"for {len(segment.ops)} ops"
                    )
