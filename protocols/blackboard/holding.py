"""Ops whose causal context is not covered here yet: kept back, to a bound, until it is.

Or until it seems that nobody has what is missing, because a disk was lost with it. What
comes late all the same is dropped then, for what supersedes it is here.

Invariants:
    board-held-is-uncovered: what is kept back waits for an op that is not known.
    board-held-bounded: ops and bytes kept back have a limit, and so have one writer's.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping

from protocols.blackboard.ops import Op
from protocols.blackboard.vectors import Chain, Spans

HELD_LIMIT = 65_536
"""Ops that are kept back."""
HELD_TICKS = 8
"""After so many rounds of anti-entropy an op waits no longer for what nobody has."""
HELD_BYTES_LIMIT = 64 * 1024 * 1024
HELD_BY_WRITER_LIMIT = 16_384
"""Ops of one writer that are kept back: one that names what never was fills no more."""


class Held:
    """An op that waits until the op `until` of `chain` is known."""

    __slots__ = ("chain", "encoded", "op", "ticks", "until")

    def __init__(self, op: Op, encoded: bytes, chain: Chain, until: int) -> None:
        self.op = op
        self.encoded = encoded
        self.chain = chain
        self.until = until
        self.ticks = 0


Key = tuple[Chain, int, bytes]


class _Waiting:
    """What waits for ops of one chain, by their numbers."""

    __slots__ = ("held", "numbers")

    def __init__(self) -> None:
        self.held: dict[int, dict[Key, Held]] = {}
        self.numbers: list[int] = []
        """Those numbers, in order: a chain that is caught up with releases a few at a time."""

    def take(self, key: Key, held: Held) -> None:
        """No longer keeps one."""
        at_number = self.held[held.until]
        del at_number[key]
        if not at_number:
            del self.held[held.until]
            del self.numbers[bisect_left(self.numbers, held.until)]

    def within(self, first: int, last: int) -> list[tuple[Key, Held]]:
        """What waits for one of these numbers."""
        low, high = bisect_left(self.numbers, first), bisect_right(self.numbers, last)
        return [each for number in self.numbers[low:high] for each in self.held[number].items()]


class Holding:
    """The ops that are kept back, by what they wait for."""

    def __init__(self) -> None:
        self._waiting: dict[Chain, _Waiting] = {}
        self._count = 0
        self._bytes = 0
        self._by_writer: dict[bytes, int] = {}

    def __len__(self) -> int:
        return self._count

    def has_room(self, writer: bytes, size: int) -> bool:
        """Whether one more of a writer fits."""
        return (
            self._count < HELD_LIMIT
            and self._bytes + size <= HELD_BYTES_LIMIT
            and self._by_writer.get(writer, 0) < HELD_BY_WRITER_LIMIT
        )

    def add(self, held: Held) -> None:
        """Keeps an op back."""
        op = held.op
        key = ((op.writer, op.generation), op.sequence, held.encoded)
        waiting = self._waiting.get(held.chain)
        if waiting is None:
            waiting = self._waiting[held.chain] = _Waiting()
        at_number = waiting.held.get(held.until)
        if at_number is None:
            at_number = waiting.held[held.until] = {}
            insort(waiting.numbers, held.until)
        if key not in at_number:
            at_number[key] = held
            self._count += 1
            self._bytes += len(held.encoded)
            self._by_writer[op.writer] = self._by_writer.get(op.writer, 0) + 1

    def release(self, chain: Chain, first: int, last: int) -> list[Held]:
        """What no longer waits, now that these numbers of a chain are known."""
        waiting = self._waiting.get(chain)
        return [] if waiting is None else self._take(chain, waiting.within(first, last))

    def overdue(self) -> list[Held]:
        """What has waited for `HELD_TICKS` calls of this: nobody has what it waits for."""
        found: list[Held] = []
        for chain, waiting in list(self._waiting.items()):
            old: list[tuple[Key, Held]] = []
            for at_number in waiting.held.values():
                for key, held in at_number.items():
                    held.ticks += 1
                    if held.ticks > HELD_TICKS:
                        old.append((key, held))
            found += self._take(chain, old)
        return found

    def _take(self, chain: Chain, free: list[tuple[Key, Held]]) -> list[Held]:
        waiting = self._waiting[chain]
        for key, held in free:
            waiting.take(key, held)
            self._count -= 1
            self._bytes -= len(held.encoded)
            left = self._by_writer[held.op.writer] - 1
            if left:
                self._by_writer[held.op.writer] = left
            else:
                del self._by_writer[held.op.writer]
        if not waiting.numbers:
            del self._waiting[chain]
        return [held for _, held in free]

    def check(self, known: Mapping[Chain, Spans]) -> None:
        """Asserts the invariants."""
        assert self._count <= HELD_LIMIT, "board-held-bounded"
        assert self._bytes <= HELD_BYTES_LIMIT, "board-held-bounded: bytes"
        for chain, waiting in self._waiting.items():
            told = known.get(chain, Spans())
            assert waiting.numbers == sorted(waiting.held), "board-held-is-uncovered: the numbers"
            assert all(number not in told for number in waiting.numbers), "board-held-is-uncovered"
