"""Replicas that exchange ops directly, and what they should read as, from the definitions."""

from collections.abc import Iterable
from typing import Any

import msgspec

from protocols.blackboard.commands import Edit
from protocols.blackboard.making import make_ops
from protocols.blackboard.ops import PUT, Op
from protocols.blackboard.replica import Replica
from protocols.wire import encode

KEY = "default/k"


def edit(action: str, value: Any = None, **more: Any) -> Edit:
    """An edit of `KEY`, its value encoded."""
    return Edit(more.pop("key", KEY), action, b"" if value is None else encode(value), **more)


class Writer:
    """One replica, and the number of its next op."""

    def __init__(self, number: int) -> None:
        self.replica = Replica()
        self.id = bytes([number]) * 32
        self.next = 1
        self.known: dict[bytes, Op] = {}

    def write(self, *edits: Edit, wall_ms: int = 0) -> list[tuple[Op, bytes]]:
        """Makes ops, and applies them here."""
        made = make_ops(self.replica, edits, self.id, 1, self.next, wall_ms)
        self.next += len(made)
        self.take(made)
        return made

    def take(self, ops: Iterable[tuple[Op, bytes]]) -> None:
        """Applies what is new of some ops."""
        for op, encoded in ops:
            if encoded not in self.known:
                self.known[encoded] = op
                self.replica.apply(op, encoded)

    def sync_from(self, other: "Writer", order: int = 0) -> None:
        """Takes the other's live ops, and that the rest of what it knows is superseded."""
        live = [each for each in other.replica.live() if each[1] not in self.known]
        turned = live[order % len(live) :] + live[: order % len(live)] if live else []
        self.take(turned)
        for encoded, op in other.known.items():
            self.known.setdefault(encoded, op)

    def value(self, key: str = KEY, wall_ms: int = 0) -> Any:
        """What a key reads as, decoded; None where it is absent."""
        entry = self.replica.read(key, wall_ms)
        return None if entry is None else msgspec.msgpack.decode(entry.value)

    def image(self) -> set[bytes]:
        """The live ops."""
        return {encoded for _, encoded in self.replica.live()}


def live_of(ops: Iterable[Op]) -> list[Op]:
    """The definition: the ops that no other's context names in its cell."""
    every = list(ops)
    return [op for op in every if not any(supersedes(other, op) for other in every)]


def supersedes(one: Op, other: Op) -> bool:
    """The definition."""
    if one.key != other.key or one == other:
        return False
    reach = {(writer, generation): last for writer, generation, last in one.context}
    if reach.get((other.writer, other.generation), 0) < other.sequence:
        return False
    if (one.type, one.field) != (other.type, other.field):
        return False
    # Whoever has seen an op names all that it names; of its own chain, of what was before it.
    for writer, generation, last in other.context:
        if (writer, generation) == (one.writer, one.generation):
            last = min(last, one.sequence - 1)
        if reach.get((writer, generation), 0) < last:
            return False
    # Of two that name each other, that which names further beyond the other knew less of it.
    back = {(writer, generation): last for writer, generation, last in other.context}
    beyond = reach[other.writer, other.generation] - other.sequence
    beyond_back = back.get((one.writer, one.generation), 0) - one.sequence
    return beyond_back < 0 or (beyond, other.order) <= (beyond_back, one.order)


def register_of(ops: list[Op]) -> Any:
    """What a register reads as, by definition."""
    newest = max(ops, key=lambda op: op.order, default=None)
    return msgspec.msgpack.decode(newest.value) if newest and newest.action == PUT else None
