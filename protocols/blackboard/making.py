"""From what a local writer wants to the ops that say so.

Edits of one request see those before them. What an op supersedes is all that is live in
its scope, and all that those superseded. Sums (counters, pheromones) are a cell of each
writer: an op of one holds all that its writer added so far, and supersedes the one before.
"""

import msgspec

from protocols.blackboard.checking import canonical, check_value, count_of, deposit_in, whole
from protocols.blackboard.commands import Edit
from protocols.blackboard.contexts import context_of
from protocols.blackboard.keys import (
    COUNTER,
    EMBEDDING_BYTES_LIMIT,
    FIELD_BYTES_LIMIT,
    LOG,
    MAP,
    MULTIVALUE,
    PHEROMONE,
    REGISTER,
    SET,
    full_key,
)
from protocols.blackboard.ops import CONTEXT_LIMIT, DELETE, PUT, Context, Op
from protocols.blackboard.pheromones import (
    AMOUNT_LIMIT,
    DEFAULT_HALF_LIFE_MS,
    HALF_LIFE_LIMIT_MS,
    Deposit,
    deposit_of,
)
from protocols.blackboard.policies import Policies, Rule
from protocols.blackboard.reading import COUNT_LIMIT, is_there
from protocols.blackboard.replica import Cell, KeyState, Replica
from protocols.blackboard.rights import Shown
from protocols.errors import Refused
from protocols.wire import encode

FUTURE_MS = 60_000
"""A stamp that is further ahead of this peer's clock is not followed: only a liar's is."""
CELLS_LIMIT = 10_000
"""Cells of one key: a set's elements, a map's fields, a log's items."""

ACTIONS = {
    "put": (REGISTER, MULTIVALUE),
    "delete": (),
    "increment": (COUNTER,),
    "add": (SET,),
    "remove": (SET,),
    "set": (MAP,),
    "unset": (MAP,),
    "append": (LOG,),
    "deposit": (PHEROMONE,),
}
"""The types that each action makes or changes, the usual one first; none where it is any."""


class Maker:
    """Makes the ops of one request; the replica stays as it is."""

    def __init__(
        self,
        replica: Replica,
        writer: bytes,
        generation: int,
        first: int,
        wall_ms: int,
        policies: Policies | None = None,
    ) -> None:
        self._replica = replica
        self._emptied: dict[str, None] = {}  # keys of which this request left nothing
        self._parts: dict[str, dict[Cell, None]] = {}  # cells that hold a put, by key
        self._policies = policies
        self._rule: Rule | None = None
        self._state: KeyState | None = None  # of the key of the edit that is being made
        self._grown: dict[str, int] = {}  # what a quota counts, by how many bytes larger
        self._writer = writer
        self._generation = generation
        self._next = first
        self._wall_ms = wall_ms
        self._made: dict[str, list[Op]] = {}
        self._made_in: dict[tuple[str, str, bytes], list[Op]] = {}  # by key, type and field
        self.ops: list[tuple[Op, bytes]] = []

    def make(self, edit: Edit) -> None:
        """Makes the op of one edit.

        Raises:
            Refused: BadKey, BadValue, TooLarge, WrongType, NotAllowed, OverQuota,
                SchemaMismatch.
        """
        key = full_key(edit.key)
        policies = self._policies
        self._rule = rule = policies.rule_for(key, self._wall_ms) if policies is not None else None
        if policies is not None:
            policies.admit(key)
            if rule is not None:
                rule.admit(key, policies.roles())
        types = ACTIONS.get(edit.action)
        if types is None:
            raise Refused("BadValue", f"no action {edit.action!r}; there are: {', '.join(ACTIONS)}")
        self._state = state = self._replica.state(key)
        present = self._type(key, state)
        if edit.action == "delete":
            self._remove(key, present, state)
            return
        type_ = self._wanted(edit, types, key, present)
        match edit.action:
            case "put":
                self._put(edit, key, type_, b"", state)
            case "set" | "unset":
                self._put(edit, key, type_, edit.field.encode(errors="replace"), state)
            case "add" | "remove":
                self._put(edit, key, type_, canonical(edit.value), state)
            case "append":
                self._put(edit, key, type_, self._dot(), state)
                self._trim(key, state)
            case "increment":
                self._increment(edit, key, state)
            case _:
                self._deposit(edit, key, state)

    # What the key is now.

    def _type(self, key: str, state: KeyState | None) -> str:
        made = self._made.get(key)
        if made:
            return "" if key in self._emptied else made[-1].type
        if state is None:
            return ""
        is_plain = state.type in (SET, MAP, LOG, COUNTER) or len(state.cells) == 1
        if state.type and is_plain and self._replica.mask(key, self._wall_ms) is None:
            # One put that lasts makes it what it is; all of a long list need not be read.
            for stored in state.cells.values():
                if len(stored) == 1 and stored[0][0].is_lasting:
                    return state.type
        entry = self._replica.read(key, self._wall_ms)
        return entry.type if entry is not None else ""

    def _wanted(self, edit: Edit, types: tuple[str, ...], key: str, present: str) -> str:
        usual = types[0]
        if self._rule is not None and self._rule.policy.type in types:
            usual = self._rule.policy.type
        wanted = edit.type or (present if present in types else usual)
        if wanted not in types:
            raise Refused(
                "WrongType", f"{edit.action} makes {' or '.join(types)}, never a {wanted}"
            )
        if present and present != wanted:
            raise Refused(
                "WrongType",
                f"{key} is a {present}, and {edit.action} takes a {wanted}: "
                "use another key, or delete it first",
            )
        return wanted

    # Kinds of ops.

    def _remove(self, key: str, present: str, state: KeyState | None) -> None:
        """A delete for each cell that holds anything.

        One op for all of them would name all that a writer did up to a number. In a cell
        whoever wrote that number knew the earlier ones; at the whole key nobody need have.
        """
        cells = self._standing(key, state)
        if not cells:
            type_ = present or REGISTER
            self._add(key, type_, b"", DELETE, b"", self._sources(key, type_, b"", state))
        for type_, field in sorted(cells):
            self._add(key, type_, field, DELETE, b"", self._sources(key, type_, field, state))
        self._emptied[key] = None

    def _standing(
        self, key: str, state: KeyState | None, is_shown: Shown | None = None
    ) -> dict[Cell, None]:
        """The cells that hold a put, with what this request has made of them."""
        cells: dict[Cell, None] = {}
        for cell, stored in state.cells.items() if state is not None else ():
            if any(
                op.action == PUT and (is_shown is None or is_shown(op.writer)) for op, _ in stored
            ):
                cells[cell] = None
        for op in self._made.get(key, ()):
            _follow(cells, op)
        return cells

    def _put(self, edit: Edit, key: str, type_: str, field: bytes, state: KeyState | None) -> None:
        if len(field) > FIELD_BYTES_LIMIT:
            raise Refused(
                "TooLarge", f"a field or an element has at most {FIELD_BYTES_LIMIT} bytes"
            )
        sources = self._sources(key, type_, field, state)
        if edit.action in ("remove", "unset"):
            self._add(key, type_, field, DELETE, b"", sources)
            return
        if not sources and self._cells(key, state) >= CELLS_LIMIT:
            raise Refused("TooLarge", f"{key} holds {CELLS_LIMIT} parts already: use several keys")
        value = b"\xc0" if type_ == SET else edit.value
        check_value(value)
        if self._rule is not None:
            self._rule.examine(key, edit.value)
        if self._policies is not None:
            self._policies.examine(key, value)
        self._add(key, type_, field, PUT, value, sources, edit)

    def _cells(self, key: str, state: KeyState | None) -> int:
        """How many cells of a key hold a put: those of whoever may not write there do not.

        They are counted where there may be too many, and from then on counted along.
        """
        parts = self._parts.get(key)
        if parts is None:
            most = (len(state.cells) if state is not None else 0) + len(self._made.get(key, ()))
            if most < CELLS_LIMIT:
                return most
            is_shown = self._replica.mask(key, self._wall_ms)
            parts = self._parts[key] = self._standing(key, state, is_shown)
        return len(parts)

    def _trim(self, key: str, state: KeyState | None) -> None:
        """Removes the oldest items of a log that are beyond what its policy keeps."""
        history = self._rule.policy.history if self._rule is not None else 0
        if not history:
            return
        found = [op for op, _ in state.live()] if state is not None else []
        found += self._made.get(key, ())
        gone = {op.field for op in found if op.action == DELETE}
        items = [op for op in found if op.action == PUT and op.field not in gone]
        items.sort(key=lambda op: op.order)
        for op in items[:-history]:
            self._add(key, LOG, op.field, DELETE, b"", self._sources(key, LOG, op.field, state))

    def _increment(self, edit: Edit, key: str, state: KeyState | None) -> None:
        amount = whole(edit.value, -COUNT_LIMIT, COUNT_LIMIT, "an amount to count by")
        field = self._own_field()
        before = self._own(key, COUNTER, field, state)
        total = amount + (count_of(before) if before is not None else 0)
        if not -COUNT_LIMIT <= total <= COUNT_LIMIT:
            raise Refused("BadValue", f"{key} would count beyond {COUNT_LIMIT}")
        sources = self._sources(key, COUNTER, field, state)
        self._add(key, COUNTER, field, PUT, encode(total), sources, edit)

    def _deposit(self, edit: Edit, key: str, state: KeyState | None) -> None:
        amount = whole(edit.value, 1, AMOUNT_LIMIT, "a deposit in micro-units")
        if not 0 <= edit.half_life_ms <= HALF_LIFE_LIMIT_MS:
            raise Refused("BadValue", f"a half-life of {edit.half_life_ms} ms is out of bounds")
        half_life_ms = edit.half_life_ms or self._half_life_of(key, state)
        field = self._own_field()
        before = self._own(key, PHEROMONE, field, state)
        deposit = Deposit(amount, self._wall_ms, half_life_ms)
        past = deposit_in(before) if before is not None else None
        if past is not None:
            deposit = past.and_more(amount, self._wall_ms, half_life_ms)
        sources = self._sources(key, PHEROMONE, field, state)
        self._add(key, PHEROMONE, field, PUT, encode(list(deposit)), sources, edit)

    def _half_life_of(self, key: str, state: KeyState | None) -> int:
        """That of the key's newest deposit."""
        ops = [op for op in self._made.get(key, ()) if op.action == PUT]
        if state is not None:
            ops += [op for op, _ in state.live() if op.type == PHEROMONE and deposit_in(op)]
        newest = max(ops, key=lambda op: op.order, default=None)
        if newest is None:
            ours = self._rule.policy.half_life_ms if self._rule is not None else 0
            return ours or DEFAULT_HALF_LIFE_MS
        return deposit_of(msgspec.msgpack.decode(newest.value)).half_life_ms

    # Parts of ops.

    def _own_field(self) -> bytes:
        return self._writer + self._generation.to_bytes(8, "big")

    def _dot(self) -> bytes:
        return self._own_field() + self._next.to_bytes(8, "big")

    def _own(self, key: str, type_: str, field: bytes, state: KeyState | None) -> Op | None:
        """This writer's sum so far."""
        made = self._made_in.get((key, type_, field))
        if made:
            return made[-1] if is_there(made[-1], self._wall_ms) else None
        live = [op for op, _ in state.cells.get((type_, field), ())] if state is not None else []
        mine = (op for op in live if op.writer == self._writer)
        return next((op for op in mine if is_there(op, self._wall_ms)), None)

    def _sources(self, key: str, type_: str, field: bytes, state: KeyState | None) -> list[Op]:
        """What is live in a cell, and was made in it by this request."""
        live = state.cells.get((type_, field), ()) if state is not None else ()
        return [*(op for op, _ in live), *self._made_in.get((key, type_, field), ())]

    def _add(
        self,
        key: str,
        type_: str,
        field: bytes,
        action: str,
        value: bytes,
        sources: list[Op],
        edit: Edit | None = None,
    ) -> None:
        context = self._context(sources)
        if len(context) > CONTEXT_LIMIT:
            raise Refused("TooLarge", f"{key} was written by more than {CONTEXT_LIMIT} writers")
        ttl_ms, embedding = (edit.ttl_ms, edit.embedding) if edit is not None else (0, b"")
        if ttl_ms < 0:
            raise Refused("BadValue", f"a time to live of {ttl_ms} ms")
        if len(embedding) > EMBEDDING_BYTES_LIMIT or len(embedding) % 4:
            raise Refused(
                "BadValue", f"an embedding has at most {EMBEDDING_BYTES_LIMIT // 4} dimensions"
            )
        op = Op(
            self._writer, self._generation, self._next, key, type_, field, action, value, context,
            self._stamp(key), self._wall_ms + ttl_ms if ttl_ms else 0, embedding,
        )  # fmt: skip
        encoded = encode(op)
        if self._rule is not None and self._rule.policy.quota_bytes:
            self._charge(self._rule, op, len(encoded), sources)
        self.ops.append((op, encoded))
        self._made.setdefault(key, []).append(op)
        self._made_in.setdefault((key, type_, field), []).append(op)
        if action == PUT:
            self._emptied.pop(key, None)
        if key in self._parts:
            _follow(self._parts[key], op)
        self._next += 1

    def _context(self, sources: list[Op]) -> Context:
        """What an op of this writer supersedes, next to what was live in its cell.

        Nobody but this peer knows which numbers it has used: whoever names later ones lies, and
        what is named here of its own ends before the op that is made.
        """
        found = context_of(sources, self._replica.rights.is_void)
        if not self._is_beyond(found):
            return found
        context: dict[tuple[bytes, int], int] = {}
        for writer, generation, sequence in found:
            is_own = (writer, generation) == (self._writer, self._generation)
            last = min(sequence, self._next - 1) if is_own else sequence
            context[writer, generation] = max(last, context.get((writer, generation), 0))
        return tuple((*chain, context[chain]) for chain in sorted(context) if context[chain])

    def _is_beyond(self, context: Context) -> bool:
        """Whether a context names numbers that this writer has not used."""
        return any(
            sequence >= self._next and writer == self._writer and generation == self._generation
            for writer, generation, sequence in context
        )

    def _charge(self, rule: Rule, op: Op, size: int, sources: list[Op]) -> None:
        """Counts what an op adds to what its writer holds under a prefix, and takes away."""
        ours = (each for each in sources if each.writer == self._writer)
        grown = self._grown.get(rule.prefix, 0) + size - sum(len(encode(each)) for each in ours)
        held = self._replica.bytes_under(rule.prefix, self._writer)
        if not op.is_tombstone and held + grown > rule.policy.quota_bytes:
            raise Refused(
                "OverQuota",
                f"this peer would hold {held + grown} bytes under {rule.prefix}, "
                f"more than {rule.policy.quota_bytes}: delete some of it first",
            )
        self._grown[rule.prefix] = grown

    def _stamp(self, key: str) -> int:
        """Later than all that was seen at the key, unless that is far ahead of the clock."""
        stamp = self._wall_ms << 16
        state, made = self._state, self._made.get(key)
        seen = made[-1].stamp if made else state.newest if state is not None else 0
        return seen + 1 if stamp <= seen <= stamp + (FUTURE_MS << 16) else stamp


def _follow(cells: dict[Cell, None], op: Op) -> None:
    if op.action == PUT:
        cells[op.type, op.field] = None
    else:
        cells.pop((op.type, op.field), None)


def make_ops(
    replica: Replica,
    edits: tuple[Edit, ...],
    writer: bytes,
    generation: int,
    first: int,
    wall_ms: int,
    policies: Policies | None = None,
) -> list[tuple[Op, bytes]]:
    """The ops of a local request, numbered from `first`.

    Raises:
        Refused: nothing has changed.
    """
    maker = Maker(replica, writer, generation, first, wall_ms, policies)
    for edit in edits:
        maker.make(edit)
    return maker.ops
