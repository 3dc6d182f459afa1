"""Ops whose causal context is not covered here yet: kept back, to a bound, until it is.

Invariants:
    board-held-is-uncovered: what is kept back waits for a chain that is not known as far.
    board-held-bounded: ops and bytes kept back have a limit, and so have one writer's.
"""

from protocols.blackboard.ops import Op
from protocols.blackboard.vectors import Chain

HELD_LIMIT = 65_536
"""Ops that are kept back."""
HELD_BYTES_LIMIT = 64 * 1024 * 1024
HELD_BY_WRITER_LIMIT = 16_384
"""Ops of one writer that are kept back: one that names what never was fills no more."""


class Held:
    """An op that waits until `chain` is known up to `until`."""

    __slots__ = ("chain", "encoded", "op", "until")

    def __init__(self, op: Op, encoded: bytes, chain: Chain, until: int) -> None:
        self.op = op
        self.encoded = encoded
        self.chain = chain
        self.until = until


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

    def release(self, chain: Chain, prefix: int) -> list[Held]:
        """What no longer waits, now that a chain is known so far; in the order it came."""
        waiting = self._waiting.get(chain)
        if waiting is None:
            return []
        free = {key: held for key, held in waiting.items() if held.until <= prefix}
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

    def check(self, prefixes: dict[Chain, int]) -> None:
        """Asserts the invariants."""
        assert self._count <= HELD_LIMIT, "board-held-bounded"
        assert self._bytes <= HELD_BYTES_LIMIT, "board-held-bounded: bytes"
        for chain, waiting in self._waiting.items():
            known = prefixes.get(chain, 0)
            assert all(held.until > known for held in waiting.values()), "board-held-is-uncovered"
