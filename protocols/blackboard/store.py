"""What one peer keeps: the replica, the signed segments behind it, and how far it knows.

    offered --its context is covered--> applied --another supersedes it--> dropped
        '--it is not--> held back --it is--> applied

Everything that changes a replica goes through here, from the network, from local
writers and from the disk alike, so that a restart does what the first time did.

Invariants:
    board-live-is-signed: each live op is in a segment that is kept, and each op kept is
        live or held back.
    board-live-digest: the digest is the sum over the live ops that nothing collects.
"""

from collections.abc import Iterator

from protocols.blackboard.chains import Chains, Claim
from protocols.blackboard.holding import Held, Holding
from protocols.blackboard.messages import LIVE_DIGEST_BYTES
from protocols.blackboard.ops import Op, decode_op
from protocols.blackboard.parameters import CLAIMS_LIMIT
from protocols.blackboard.replica import Replica, is_under
from protocols.blackboard.segments import Segment, SegmentPart, op_hash
from protocols.blackboard.vectors import Chain

DotKey = tuple[bytes, int, int]
Stored = tuple[Op, bytes]
LIVE_MODULUS = 2**128
WRITER_BYTES_LIMIT = 512 * 1024 * 1024
"""Bytes of live ops of one writer; its further ones wait until others are superseded."""
_NONE: tuple[int, DotKey | None] = (0, None)


class Store:
    """Replica and segments, kept in step."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.chains = Chains()
        self.holding = Holding()
        self._sum = 0
        self._unsummed: dict[bytes, int] = {}
        """Live ops that came, and went, since the last sum."""
        self.floor: dict[Chain, int] = {}
        """The newest of each chain that was collected for good (`frontier`)."""
        self.collectable: dict[bytes, Op] = {}
        """Live ops that are dropped some day without another: tombstones, and those with an end."""
        self._order: dict[str, int] = {}
        """Every key with live ops and its position in the replica, the newest last."""
        self.changed: dict[str, None] = {}
        """Keys whose live state changed since `take_changed`."""
        self.applied = 0
        """How many ops were ever applied in this boot."""
        self.live_ops = 0
        self.bytes_by: dict[bytes, int] = {}
        """Bytes of live ops by writer."""
        self.claims = 0
        """How many stretches wait for their superseder."""
        self._claimed: dict[Chain, None] = {}
        self._superseders: dict[Chain, tuple[int, DotKey | None]] = {}

    # Taking ops.

    def keep(self, segment: Segment, ops: list[tuple[Op, bytes]]) -> None:
        """Keeps ops of a segment that were never kept: applies them, or holds them back.

        Args:
            segment: holds at least these ops; its signature is good.
            ops: decoded and encoded, in their order.
        """
        state = self.chains.make(segment.header.chain)
        state.saw(segment.header, segment.signed)
        known = state.same(segment)
        if known is None:
            if len(ops) < len(segment.ops):
                wanted = dict.fromkeys(op.sequence for op, _ in ops)
                first = segment.header.first
                for at in list(segment.ops):
                    if at + first not in wanted:
                        segment.drop(at + first)
            if segment.ops:
                state.insert(segment)
        else:
            known.merge(segment, (op.sequence for op, _ in ops))
        queue: list[Stored] = []
        holding = self.holding
        for op, encoded in ops:
            missing = self._missing(op) if op.context else None
            if missing is not None:
                holding.add(Held(op, encoded, *missing))
                continue
            self._apply_one(op, encoded)
            sequence = op.sequence
            state.known.add(sequence, sequence)
            if state.told is not state.known:
                state.told.add(sequence, sequence)
            if holding:
                self._settle(segment.header.chain, sequence, sequence, queue)
                self._drain(queue)

    def has_room_for(self, ops: list[tuple[Op, bytes]]) -> bool:
        """Whether those of them that would be held back fit."""
        size = sum(len(encoded) for _, encoded in ops)
        writer = ops[0][0].writer
        return self.holding.has_room(writer, size) and (
            self.bytes_by.get(writer, 0) + size <= WRITER_BYTES_LIMIT
        )

    def _missing(self, op: Op) -> tuple[Chain, int] | None:
        """The first part of an op's context that is not known here."""
        for writer, generation, sequence in op.context:
            if (writer, generation) == (op.writer, op.generation) and sequence >= op.sequence:
                continue
            state = self.chains.get((writer, generation))
            if state is None or sequence not in state.told:
                return (writer, generation), sequence
        return None

    def _drain(self, queue: list[Stored]) -> None:
        while queue:
            op, encoded = queue.pop()
            self._apply_one(op, encoded)
            chain = (op.writer, op.generation)
            state = self.chains.make(chain)
            state.known.add(op.sequence, op.sequence)
            if state.told is not state.known:
                state.told.add(op.sequence, op.sequence)
            self._settle(chain, op.sequence, op.sequence, queue)

    def _settle(self, chain: Chain, first: int, last: int, queue: list[Stored]) -> None:
        """These of a chain are known, or accounted for: what waited for them goes on."""
        for held in self.holding.release(chain, first, last):
            missing = self._missing(held.op)
            if missing is None:
                queue.append((held.op, held.encoded))
            else:
                self.holding.add(Held(held.op, held.encoded, *missing))

    def _apply_one(self, op: Op, encoded: bytes) -> None:
        outcome = self.replica.apply(op, encoded)
        self.applied += 1
        if outcome.is_live:
            self._count(op, encoded, 1)
        else:
            self.chains.drop((op.writer, op.generation), op.sequence, encoded)
        for gone, gone_encoded in outcome.superseded:
            self._count(gone, gone_encoded, -1)
            self.chains.drop((gone.writer, gone.generation), gone.sequence, gone_encoded)
        key = op.key
        if outcome.is_live:
            self.changed[key] = None
            self._order.pop(key, None)
            self._order[key] = self.replica.position
        elif outcome.superseded:
            self._changed(key)
        if op.context and self.replica.rights.is_void(op):
            return
        for writer, generation, sequence in op.context:
            chain = (writer, generation)
            if sequence >= self._superseders.get(chain, _NONE)[0]:
                dot = (op.writer, op.generation, op.sequence)
                self._superseders[chain] = (sequence, dot)

    def reconsider(self, writer: bytes) -> None:
        """A writer has more roles: what counted for nothing may count now."""
        for key in list(self.replica.policies):
            state = self.replica.state(key)
            found = [each for each in state.live() if each[0].writer == writer] if state else []
            found.sort(key=lambda each: each[0].order)
            for op, encoded in found:
                self.replica.remove(op, encoded)
                self._count(op, encoded, -1)
                self._apply_one(op, encoded)
            if found:
                self._changed(key)

    def touch(self, prefix: str) -> None:
        """All that is at a prefix and below it may read otherwise than before."""
        below = [key for key in self._order if is_under(key, prefix)]
        for key in below:
            self.replica.touch(key)
            self._changed(key)

    def _changed(self, key: str) -> None:
        """A key is the last that changed, or is gone for good."""
        self.changed[key] = None
        self._order.pop(key, None)
        state = self.replica.state(key)
        if state is not None:
            self._order[key] = state.position

    def changed_after(self, position: int) -> list[tuple[str, int]]:
        """The keys that changed after a position of the replica, in that order."""
        found = []
        for key in reversed(self._order):
            if self._order[key] <= position:
                break
            found.append((key, self._order[key]))
        found.reverse()
        return found

    def _count(self, op: Op, encoded: bytes, sign: int) -> None:
        self.live_ops += sign
        by = self.bytes_by
        by[op.writer] = by.get(op.writer, 0) + sign * len(encoded)
        if op.is_lasting:
            # What comes and goes between two sums is never hashed.
            if self._unsummed.pop(encoded, 0) != -sign:
                self._unsummed[encoded] = sign
        elif sign > 0:
            self.collectable[op_hash(encoded)] = op
        else:
            del self.collectable[op_hash(encoded)]

    @property
    def live(self) -> int:
        """The sum of the ids of the live ops that nothing collects."""
        for encoded, sign in self._unsummed.items():
            self._sum += sign * int.from_bytes(op_hash(encoded)[:16], "little")
        self._unsummed.clear()
        self._sum %= LIVE_MODULUS
        return self._sum

    # Stretches that were left out.

    def claim(self, chain: Chain, first: int, last: int, by: DotKey | None) -> None:
        """Somebody says that these ops are superseded by another."""
        state = self.chains.make(chain)
        missing = state.told.missing(first, last)
        if missing and self.claims < CLAIMS_LIMIT and by is not None:
            for low, high in missing:
                state.claims.append(Claim(low, high, by))
                self._claimed[chain] = None
                self.claims += 1
                if state.told is state.known:
                    state.told = state.known.copy()
                state.told.add(low, high)
            queue: list[Stored] = []
            self._settle(chain, first, last, queue)
            self._drain(queue)

    def settle_claims(self) -> list[tuple[Chain, int, int]]:
        """Passes what is superseded by what is applied here by now; says what it passed."""
        passed: list[tuple[Chain, int, int]] = []
        is_new = True
        while is_new and self._claimed:
            is_new = False
            for chain in list(self._claimed):
                state = self.chains.make(chain)
                reach = self._superseders.get(chain, _NONE)[0]
                good = [
                    each
                    for each in state.claims
                    if each.last <= reach and self.chains.knows(*each.by)
                ]
                for each in good:
                    is_new = True
                    state.claims.remove(each)
                    self.claims -= 1
                    self.pass_over(chain, each.first, each.last)
                    passed.append((chain, each.first, each.last))
                if not state.claims:
                    state.told = state.known
                    del self._claimed[chain]
        return passed

    def tick(self) -> None:
        """Time passes: what was held back for too long waits for something that is lost."""
        self._drain([(held.op, held.encoded) for held in self.holding.overdue()])

    def pass_over(self, chain: Chain, first: int, last: int) -> None:
        """Takes numbers as known: superseded by what is applied, or collected."""
        state = self.chains.make(chain)
        state.known.add(first, last)
        if state.told is not state.known:
            state.told.add(first, last)
        queue: list[Stored] = []
        self._settle(chain, first, last, queue)
        self._drain(queue)

    def superseder(self, chain: Chain, last: int) -> DotKey | None:
        """The op whose context reaches furthest in a chain, where it reaches so far."""
        reach, dot = self._superseders.get(chain, _NONE)
        return dot if reach >= last else None

    def reach(self, chain: Chain) -> tuple[int, DotKey | None]:
        """How far contexts reach in a chain, and whose."""
        return self._superseders.get(chain, _NONE)

    def set_reach(self, chain: Chain, reach: int, by: DotKey | None) -> None:
        """Takes back what a snapshot says of that."""
        if reach > self._superseders.get(chain, _NONE)[0]:
            self._superseders[chain] = (reach, by)

    def forget_claims(self) -> None:
        """Nobody accounts any more for what was left out; it is asked for again."""
        for chain in self._claimed:
            state = self.chains.make(chain)
            state.claims.clear()
            state.told = state.known
        self._claimed.clear()
        self.claims = 0

    # Questions.

    @property
    def entries(self) -> int:
        """How many live ops there are."""
        return self.live_ops

    def last_of(self, writer: bytes, generation: int) -> int:
        """The greatest number that was seen of a chain, applied or not."""
        state = self.chains.get((writer, generation))
        if state is None:
            return 0
        head = 0 if state.head_header is None else state.head_header.last
        return max(state.known.last, head)

    def live_digest(self) -> bytes:
        """The sum that peers compare, where what they know is the same."""
        return self.live.to_bytes(LIVE_DIGEST_BYTES, "little")

    def parts_of(self, ops: list[bytes]) -> Iterator[tuple[SegmentPart, int]]:
        """Live ops with what proves them, segment by segment, and their bytes."""
        found: dict[int, tuple[Segment, dict[int, None], int]] = {}
        for encoded in ops:
            op = decode_op(encoded)
            state = self.chains.get((op.writer, op.generation))
            for segment in state.holding(op.sequence) if state is not None else ():
                if segment.ops[op.sequence - segment.header.first] == encoded:
                    _, numbers, size = found.get(id(segment), (segment, {}, 0))
                    numbers[op.sequence] = None
                    found[id(segment)] = (segment, numbers, size + len(encoded))
        for segment, numbers, size in found.values():
            yield segment.part(numbers), size

    def segments_in_order(self) -> list[Segment]:
        """All segments, chain by chain, in the order of their numbers."""
        return [
            segment
            for state in self.chains.states.values()
            for first in sorted(state.segments)
            for segment in state.segments[first]
        ]

    def take_changed(self) -> list[str]:
        """The keys that changed since the last call."""
        keys = list(self.changed)
        self.changed.clear()
        return keys

    def drop(self, ops: tuple[tuple[bytes, int, int, bytes], ...]) -> None:
        """Ops that are live no more, although nothing here supersedes them."""
        for writer, generation, sequence, identity in ops:
            state = self.chains.get((writer, generation))
            if state is None:
                continue
            for segment in list(state.holding(sequence)):
                encoded = segment.ops[sequence - segment.header.first]
                if op_hash(encoded) == identity:
                    op = decode_op(encoded)
                    self.replica.remove(op, encoded)
                    self._count(op, encoded, -1)
                    self.chains.drop((writer, generation), sequence, encoded)
                    self._changed(op.key)

    def check(self) -> None:
        """Asserts the invariants."""
        self.chains.check()
        self.holding.check({c: state.told for c, state in self.chains.states.items()})
        kept = sum(len(segment.ops) for segment in self.chains.segments())
        assert kept == self.live_ops + len(self.holding), "board-live-is-signed"
        total = sum(
            int.from_bytes(op_hash(encoded)[:16], "little")
            for op, encoded in self.replica.live()
            if op.is_lasting
        )
        assert total % LIVE_MODULUS == self.live, "board-live-digest"
        live = sum(1 for _ in self.replica.live())
        assert live == self.live_ops, "board-live-is-signed: the count"
