"""Whether a history of reads, writes and compare-and-sets of one key is linearisable.

After Wing and Gong (1993), with the memory of Lowe (2017): some order of the operations must
exist that respects real time (what had ended before another began comes first) and in which
each gives the result that it gave. An operation that never ended may have had its effect at
any time after it began, or not at all.
"""

from collections.abc import Iterable

import msgspec

NEVER = 2**62
Value = bytes | None


class Operation(msgspec.Struct, frozen=True):
    """One operation on the key.

    Attributes:
        began, ended: when its caller asked and was answered; `NEVER` for no answer.
        expected: what the key must hold for it to write; ignored where `is_checked` is not set.
        wrote: what it writes, where `is_write`; None deletes.
        read: what the key held before, by its answer.
        is_done: whether it was carried out, by its answer.
    """

    began: int
    ended: int = NEVER
    is_write: bool = False
    is_checked: bool = False
    expected: Value = None
    wrote: Value = None
    read: Value = None
    is_done: bool = True

    def then(self, value: Value) -> tuple[bool, Value]:
        """Whether it may come where the key holds a value, and what the key holds after it."""
        would = not self.is_checked or value == self.expected
        after = self.wrote if self.is_write and would else value
        if self.ended == NEVER:
            return True, after
        is_read_right = self.read == value if self.is_done or self.is_checked else True
        return would == self.is_done and is_read_right, after


def is_linearisable(history: Iterable[Operation], initial: Value = None) -> bool:
    """Whether some order explains a history."""
    operations = sorted(history, key=lambda operation: operation.began)
    ended = frozenset(n for n, each in enumerate(operations) if each.ended < NEVER)
    seen: set[tuple[frozenset[int], Value]] = set()
    todo: list[tuple[frozenset[int], Value]] = [(frozenset(), initial)]
    while todo:
        taken, value = todo.pop()
        if taken >= ended:
            return True
        if (taken, value) in seen:
            continue
        seen.add((taken, value))
        left = [n for n in range(len(operations)) if n not in taken]
        first_end = min(operations[n].ended for n in left)
        for number in left:
            if operations[number].began > first_end:
                break
            is_possible, after = operations[number].then(value)
            if is_possible:
                todo.append((taken | {number}, after))
    return False
