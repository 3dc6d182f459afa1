"""Live ops by cell."""

from collections.abc import Iterator

import msgspec

from protocols.blackboard.commands import Edit
from protocols.blackboard.ops import Op
from protocols.errors import Refused
from protocols.wire import encode


class Applied(msgspec.Struct):
    """What became of an op, and of others by it."""

    is_live: bool
    superseded: list[tuple[Op, bytes]]


class Replica:
    """The live ops, by key."""

    def __init__(self) -> None:
        self._keys: dict[str, dict[tuple[Op, bytes], None]] = {}
        self.bytes = 0

    def apply(self, op: Op, encoded: bytes) -> Applied:
        """Takes an op whose context is covered."""
        live = self._keys.setdefault(op.key, {})
        chain = (op.writer, op.generation)
        is_live = (op, encoded) not in live
        gone = []
        for other, data in live:
            if _contains(other, op) and _reach(other, chain) >= op.sequence and other != op:
                is_live = False
            if (
                _contains(op, other)
                and _reach(op, (other.writer, other.generation)) >= (other.sequence)
                and other != op
            ):
                gone.append((other, data))
        if is_live:
            live[op, encoded] = None
            self.bytes += len(encoded)
        for each in gone:
            if each in live:
                del live[each]
                self.bytes -= len(each[1])
        if not live:
            del self._keys[op.key]
        return Applied(is_live, gone)

    def remove(self, op: Op, encoded: bytes) -> None:
        """Drops a live op that nothing supersedes."""
        live = self._keys.get(op.key, {})
        if (op, encoded) in live:
            del live[op, encoded]
            self.bytes -= len(encoded)
            if not live:
                del self._keys[op.key]

    def live(self) -> Iterator[tuple[Op, bytes]]:
        """All live ops."""
        for live in self._keys.values():
            yield from live

    def build(
        self, edits: tuple[Edit, ...], writer: bytes, generation: int, first: int, wall_ms: int
    ) -> list[tuple[Op, bytes]]:
        """The ops of a local request.

        Raises:
            Refused: nothing has changed.
        """
        made: list[tuple[Op, bytes]] = []
        for at, edit in enumerate(edits):
            if edit.action not in ("put", "clear", "delete", "add"):
                raise Refused("WrongType", edit.action)
            context: dict[tuple[bytes, int], int] = {}
            sources = [op for op, _ in self._keys.get(edit.key, {})]
            sources += [op for op, _ in made if op.key == edit.key]
            field = edit.value if edit.action == "add" else b""
            for op in sources:
                if edit.action in ("clear", "delete") or op.field == field:
                    for w, g, s in (*op.context, (op.writer, op.generation, op.sequence)):
                        context[w, g] = max(context.get((w, g), 0), s)
            action = "clear" if edit.action == "delete" else edit.action
            op = Op(
                writer,
                generation,
                first + at,
                edit.key,
                "register",
                field,
                action,
                edit.value,
                tuple((w, g, s) for (w, g), s in sorted(context.items())),
                wall_ms << 16,
                wall_ms + edit.ttl_ms if edit.ttl_ms else 0,
            )
            made.append((op, encode(op)))
        return made

    def value(self, key: str) -> bytes | None:
        """The value of a register."""
        puts = [op for op, _ in self._keys.get(key, {}) if op.action == "put"]
        if not puts:
            return None
        return max(puts, key=lambda op: (op.stamp, op.writer, op.generation, op.sequence)).value


def _contains(scope: Op, op: Op) -> bool:
    return scope.key == op.key and (scope.action == "clear" or scope.field == op.field)


def _reach(op: Op, chain: tuple[bytes, int]) -> int:
    return next((s for w, g, s in op.context if (w, g) == chain), 0)
