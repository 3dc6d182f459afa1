"""What the ordered log decides about: a few strongly consistent keys, and leases.

A deterministic machine: whoever applies the same blocks in the same order at the same log
times has the same state, byte for byte, and the same results. All reading is writing here:
a read goes through the log like anything else, so it sees whatever was finalised before it
was asked, anywhere (it is linearisable).

A *version* is where in the log a key was last written, and a lease's *token* where it was
granted: the height in the upper bits, the place within its block in the lowest sixteen. Both
only grow, so a store that remembers the greatest token it has seen can turn away a holder
that does not know yet that its lease has ended (fencing).

A lease ends in log time, which follows wall clocks (`blocks.py`), and nobody needs to release
it. Its holder stops by its own clock, counted from before it asked.

Invariants:
    ledger-is-bounded: keys, leases and bytes have limits; an action beyond them is refused.
    tokens-grow: no version or token is given twice.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec

from protocols.wire import CountField, encode

KEY_LIMIT = 256
"""Bytes of a key's, a lease's or a holder's name."""
VALUE_LIMIT = 8 * 1024
KEYS_LIMIT = 10_000
LEASES_LIMIT = 10_000
BYTES_LIMIT = 8 * 1024 * 1024
"""Bytes of all keys and values."""
PARTS_LIMIT = 64
"""Checks, writes or reads of one transaction."""
TTL_MOST_MS = 24 * 3600 * 1000
PLACE_BITS = 16
STATE_DOMAIN = b"stigmesh/voting.ledger/1\x00"

LedgerKey = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_LIMIT)]
LedgerValue = Annotated[bytes, msgspec.Meta(max_length=VALUE_LIMIT)]
Token = CountField


class Transact(msgspec.Struct, frozen=True, array_like=True, tag="transact"):
    """All of it or nothing.

    Attributes:
        checks: what keys must hold; None where one must not exist.
        held: leases that must not have ended, by their tokens.
        writes: what they hold afterwards; None deletes.
        reads: keys whose values are wanted, as they are before the writes.
    """

    checks: Annotated[
        tuple[tuple[LedgerKey, LedgerValue | None], ...], msgspec.Meta(max_length=PARTS_LIMIT)
    ] = ()
    held: Annotated[tuple[tuple[LedgerKey, Token], ...], msgspec.Meta(max_length=PARTS_LIMIT)] = ()
    writes: Annotated[
        tuple[tuple[LedgerKey, LedgerValue | None], ...], msgspec.Meta(max_length=PARTS_LIMIT)
    ] = ()
    reads: Annotated[tuple[LedgerKey, ...], msgspec.Meta(max_length=PARTS_LIMIT)] = ()


class Acquire(msgspec.Struct, frozen=True, array_like=True, tag="acquire"):
    """A lease, if nobody holds it."""

    name: LedgerKey
    holder: LedgerKey
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=TTL_MOST_MS)]


class Renew(msgspec.Struct, frozen=True, array_like=True, tag="renew"):
    """A lease that is still held lasts so long from now on."""

    name: LedgerKey
    token: Token
    ttl_ms: Annotated[int, msgspec.Meta(ge=1, le=TTL_MOST_MS)]


class Release(msgspec.Struct, frozen=True, array_like=True, tag="release"):
    """A lease is given back."""

    name: LedgerKey
    token: Token


Action = Transact | Acquire | Renew | Release


class Held(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A lease: who holds it, under which token, until when in log time."""

    holder: str
    token: int
    ends_ms: int


class Result(msgspec.Struct, frozen=True, array_like=True):
    """What came of an action.

    Attributes:
        is_done: whether it was carried out.
        reason: why not: ``changed``, ``held``, ``ended`` or ``full``.
        version: the version of what it wrote, or the lease's token.
        values: for each key that was read, or whose check failed: its value (None where it
            does not exist) and version.
        lease: of an acquired or renewed lease, or the one that is in the way.
    """

    is_done: bool
    reason: str = ""
    version: int = 0
    values: tuple[tuple[str, bytes | None, int], ...] = ()
    lease: Held | None = None


class State(msgspec.Struct, frozen=True, array_like=True):
    """A ledger as it is written down: in order of names.

    `applied` has everybody who was ever an elector: what was removed and comes back must
    not have its old orders carried out again.
    """

    entries: tuple[tuple[str, bytes, int], ...]
    leases: tuple[tuple[str, Held], ...]
    applied: tuple[tuple[bytes, int], ...]


class Ledger:
    """The state that the log leads to."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[bytes, int]] = {}
        self._leases: dict[str, Held] = {}
        self._applied: dict[bytes, int] = {}
        self._bytes = 0

    # Who has been heard.

    def applied(self, submitter: bytes) -> int:
        """The number of the last order of a submitter; no order up to it is applied again."""
        return self._applied.get(submitter, 0)

    def lease(self, name: str) -> Held | None:
        """Who holds a lease, as far as the blocks applied here tell."""
        return self._leases.get(name)

    # Applying.

    def apply(
        self, orders: Iterable[tuple[bytes, int, Sequence[Action]]], height: int, time_ms: int
    ) -> list[tuple[Result, ...]]:
        """Carries out the orders of a block: submitter, number and actions of each."""
        results, place = [], 0
        self._end_leases(time_ms)
        for submitter, number, actions in orders:
            assert number > self.applied(submitter), "an order is applied once"
            self._applied[submitter] = number
            done = []
            for action in actions:
                token = height << PLACE_BITS | place
                place += 1
                done.append(self._do(action, token, time_ms))
            results.append(tuple(done))
        assert place < 1 << PLACE_BITS, "tokens-grow"
        return results

    def _do(self, action: Action, token: int, time_ms: int) -> Result:
        match action:
            case Transact():
                return self._transact(action, token)
            case Acquire():
                held = self._leases.get(action.name)
                if held is not None:
                    return Result(False, "held", lease=held)
                if len(self._leases) >= LEASES_LIMIT:
                    return Result(False, "full")
                return self._hold(action.name, action.holder, token, time_ms + action.ttl_ms)
            case Renew():
                held = self._leases.get(action.name)
                if held is None or held.token != action.token:
                    return Result(False, "ended", lease=held)
                return self._hold(action.name, held.holder, held.token, time_ms + action.ttl_ms)
            case Release():
                held = self._leases.get(action.name)
                if held is None or held.token != action.token:
                    return Result(False, "ended", lease=held)
                del self._leases[action.name]
                return Result(True, version=held.token)

    def _hold(self, name: str, holder: str, token: int, ends_ms: int) -> Result:
        held = self._leases[name] = Held(holder, token, ends_ms)
        return Result(True, version=token, lease=held)

    def _transact(self, action: Transact, token: int) -> Result:
        changed = tuple(
            self._read(key) for key, value in action.checks if self._read(key)[1] != value
        )
        if changed:
            return Result(False, "changed", values=changed)
        for name, wanted in action.held:
            held = self._leases.get(name)
            if held is None or held.token != wanted:
                return Result(False, "ended", lease=held)
        values = tuple(self._read(key) for key in action.reads)
        writes = dict(action.writes)
        if not self._has_room(writes):
            return Result(False, "full", values=values)
        for key, value in writes.items():
            self._write(key, value, token)
        return Result(True, version=token if writes else 0, values=values)

    def _read(self, key: str) -> tuple[str, bytes | None, int]:
        value, version = self._entries.get(key, (None, 0))
        return key, value, version

    def _write(self, key: str, value: bytes | None, version: int) -> None:
        before = self._entries.pop(key, None)
        if before is not None:
            self._bytes -= _size(key, before[0])
        if value is not None:
            self._entries[key] = (value, version)
            self._bytes += _size(key, value)

    def _has_room(self, writes: dict[str, bytes | None]) -> bool:
        keys, size = len(self._entries), self._bytes
        for key, value in writes.items():
            before = self._entries.get(key)
            if before is not None:
                keys, size = keys - 1, size - _size(key, before[0])
            if value is not None:
                keys, size = keys + 1, size + _size(key, value)
        is_less = keys <= len(self._entries) and size <= self._bytes
        return is_less or (keys <= KEYS_LIMIT and size <= BYTES_LIMIT)

    def _end_leases(self, time_ms: int) -> None:
        for name in [name for name, held in self._leases.items() if held.ends_ms <= time_ms]:
            del self._leases[name]

    # As it is written down.

    def state(self) -> bytes:
        """All of it, in the one encoding that it has."""
        return encode(
            State(
                tuple((key, *self._entries[key]) for key in sorted(self._entries)),
                tuple((name, self._leases[name]) for name in sorted(self._leases)),
                tuple(sorted(self._applied.items())),
            )
        )

    def restore(self, state: bytes) -> None:
        """Takes a state that was written down here, or whose digest a quorum has finalised."""
        found = _state_decoder.decode(state)
        self._entries = {key: (value, version) for key, value, version in found.entries}
        self._leases = dict(found.leases)
        self._applied = dict(found.applied)
        self._bytes = sum(_size(key, value) for key, (value, _) in self._entries.items())

    def check(self) -> None:
        """Asserts the invariants."""
        assert len(self._entries) <= KEYS_LIMIT, "ledger-is-bounded"
        assert len(self._leases) <= LEASES_LIMIT, "ledger-is-bounded"
        held = sum(_size(key, value) for key, (value, _) in self._entries.items())
        assert self._bytes == held <= BYTES_LIMIT, "ledger-is-bounded"


_state_decoder = msgspec.msgpack.Decoder(State)


def state_digest(state: bytes) -> bytes:
    """The digest that a block has of the state before it."""
    return hashlib.sha256(STATE_DOMAIN + state).digest()


def _size(key: str, value: bytes) -> int:
    return len(key.encode()) + len(value)
