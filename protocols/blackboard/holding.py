"""Ops whose causal context is not covered here yet: kept back, to a bound, until it is.

Or until it seems that nobody has what is missing, because a disk was lost with it. What
comes late all the same is dropped then, for what supersedes it is here.

Invariants:
    board-held-is-uncovered: what is kept back waits for an op that is not known.
    board-held-bounded: ops and bytes kept back have a limit, and so have one writer's.
"""

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


class Holding:
    """The ops that are kept back, by what they wait for."""

    def __init__(self) -> None:
        self._waiting: dict[Chain, dict[tuple[Chain, int, bytes], Held]] = {}
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
        waiting = self._waiting.setdefault(held.chain, {})
        if key not in waiting:
            waiting[key] = held
            self._count += 1
            self._bytes += len(held.encoded)
            self._by_writer[op.writer] = self._by_writer.get(op.writer, 0) + 1

    def release(self, chain: Chain, known: Spans) -> list[Held]:
        """What no longer waits, now that so much of a chain is known; in the order it came."""
        waiting = self._waiting.get(chain)
        if waiting is None:
            return []
        return self._take(chain, {k: held for k, held in waiting.items() if held.until in known})

    def overdue(self) -> list[Held]:
        """What has waited for `HELD_TICKS` calls of this: nobody has what it waits for."""
        found: list[Held] = []
        for chain, waiting in list(self._waiting.items()):
            for held in waiting.values():
                held.ticks += 1
            old = {key: held for key, held in waiting.items() if held.ticks > HELD_TICKS}
            found += self._take(chain, old)
        return found

    def _take(self, chain: Chain, free: dict[tuple[Chain, int, bytes], Held]) -> list[Held]:
        waiting = self._waiting[chain]
        for key, held in free.items():
            del waiting[key]
            self._count -= 1
            self._bytes -= len(held.encoded)
            left = self._by_writer[held.op.writer] - 1
            if left:
                self._by_writer[held.op.writer] = left
            else:
                del self._by_writer[held.op.writer]
        if not waiting:
            del self._waiting[chain]
        return list(free.values())

    def check(self, known: Mapping[Chain, Spans]) -> None:
        """Asserts the invariants."""
        assert self._count <= HELD_LIMIT, "board-held-bounded"
        assert self._bytes <= HELD_BYTES_LIMIT, "board-held-bounded: bytes"
        for chain, waiting in self._waiting.items():
            told = known.get(chain, Spans())
            assert all(held.until not in told for held in waiting.values()), (
                "board-held-is-uncovered"
            )
