"""The strong part of the blackboard, as scripts and handlers use it: few keys, no conflicts.

What `board.put` writes is everywhere in time; what is written here is settled by a quorum of
the electors before the call returns, in one order for all (docs/protocols/voting.md). It costs
a few messages each time, and needs a quorum alive. Its keys are apart from the board's.

`StrongBoard` waits; `AsyncStrongBoard` is awaited. Neither knows how requests travel.
"""

import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from mesh.local.board_requests import BoardAsked
from mesh.local.options import milliseconds

TTL_S = 30.0
TTL_MOST_S = 86_400


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a transaction.

    Attributes:
        done: whether its checks held, so that it was carried out.
        reason: why not: ``changed``, ``ended``, ``full``, or ``unknown`` where this peer was
            away meanwhile and cannot tell.
        values: of the keys that were read, or whose checks failed; None for absent.
        version: of what it wrote; versions only grow, over all keys.
    """

    done: bool
    reason: str = ""
    values: dict[str, Any] = {}
    version: int = 0

    def __bool__(self) -> bool:
        """Whether it was carried out."""
        return self.done


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A lease that is held.

    Attributes:
        name: what is leased.
        token: grows with each holder. Show it to whatever the lease protects, which turns
            away a smaller one than it has seen.
        ends: until when to rely on it, by `time.monotonic` here: counted from before it was
            asked for, so this is never later than when others may have it.
    """

    name: str
    token: int
    ends: float

    @property
    def is_held(self) -> bool:
        """Whether it may still be relied on."""
        return time.monotonic() < self.ends

    @property
    def left(self) -> float:
        """Seconds for which it may be relied on."""
        return max(0.0, self.ends - time.monotonic())


def _asked(action: dict[str, Any], read: Callable[[Any], Any], is_read: bool = False) -> BoardAsked:
    return BoardAsked("strong", {"actions": [action]}, lambda answer: read(answer[0]), is_read)


def _transaction(told: Mapping[str, Any]) -> Transaction:
    values = {key: value for key, value, _ in told["values"]}
    return Transaction(
        done=told["done"], reason=told["reason"], values=values, version=told["version"]
    )


def _transact(
    checks: Mapping[str, Any],
    writes: Mapping[str, Any],
    reads: Iterable[str],
    held: Iterable[Grant],
) -> BoardAsked:
    action = {
        "do": "transact",
        "checks": _plain(checks),
        "writes": _plain(writes),
        "reads": list(reads),
        "held": {grant.name: grant.token for grant in held},
    }
    return _asked(action, _transaction, is_read=not writes)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: msgspec.to_builtins(value, str_keys=True) for key, value in values.items()}


def _swap(key: str, expected: Any, value: Any) -> BoardAsked:
    return _transact({key: expected}, {key: value}, (), ())


def _get(key: str, default: Any) -> BoardAsked:
    def value(told: Mapping[str, Any]) -> Any:
        found = _transaction(told).values[key]
        return default if found is None else found

    return _asked({"do": "transact", "reads": [key]}, value, is_read=True)


def _acquire(name: str, ttl: float, holder: str) -> BoardAsked:
    began = time.monotonic()
    who = holder or f"process {os.getpid()}"
    action = {"do": "acquire", "name": name, "ttl_ms": _ttl(ttl), "holder": who}
    return _asked(action, lambda told: _grant(name, told, began + ttl))


def _renew(grant: Grant, ttl: float) -> BoardAsked:
    began = time.monotonic()
    action = {"do": "renew", "name": grant.name, "token": grant.token, "ttl_ms": _ttl(ttl)}
    return _asked(action, lambda told: _grant(grant.name, told, began + ttl))


def _release(grant: Grant) -> BoardAsked:
    action = {"do": "release", "name": grant.name, "token": grant.token}
    return _asked(action, lambda told: bool(told["done"]), is_read=True)


def _grant(name: str, told: Mapping[str, Any], ends: float) -> Grant | None:
    return Grant(name=name, token=told["version"], ends=ends) if told["done"] else None


def _ttl(seconds: float) -> int:
    if not 0 < seconds <= TTL_MOST_S:
        raise ValueError(f"a lease's time to live is above zero, and {TTL_MOST_S} s at most")
    return max(1, milliseconds(seconds))


class StrongBoard:
    """Compare-and-set, transactions and leases, for callers that wait."""

    def __init__(self, ask: Callable[[BoardAsked], Any]) -> None:
        """Takes what sends a request and waits for its answer."""
        self._ask = ask

    def get(self, key: str, default: Any = None) -> Any:
        """The value at a key, with all that was settled before: a linearisable read."""
        return self._ask(_get(key, default))

    def compare_and_set(self, key: str, expected: Any, value: Any) -> bool:
        """Writes a value if the key holds the expected one: None for absent, or to delete."""
        return bool(self._ask(_swap(key, expected, value)))

    def transaction(
        self,
        *,
        checks: Mapping[str, Any] | None = None,
        writes: Mapping[str, Any] | None = None,
        reads: Iterable[str] = (),
        held: Iterable[Grant] = (),
    ) -> Transaction:
        """All of it or nothing.

        Args:
            checks: what keys must hold for it to be carried out; None for absent.
            writes: what they hold afterwards; None deletes.
            reads: keys whose values are wanted, as they are before the writes.
            held: leases that must not have ended.
        """
        done: Transaction = self._ask(_transact(checks or {}, writes or {}, reads, held))
        return done

    def lease(self, name: str, *, ttl: float = TTL_S, holder: str = "") -> Grant | None:
        """A lease, if nobody holds it; None where somebody does.

        It ends by itself after `ttl` seconds. `holder` is for people.
        """
        grant: Grant | None = self._ask(_acquire(name, ttl, holder))
        return grant

    def renew(self, grant: Grant, *, ttl: float = TTL_S) -> Grant | None:
        """The same lease for longer; None where it has ended."""
        renewed: Grant | None = self._ask(_renew(grant, ttl))
        return renewed

    def release(self, grant: Grant) -> bool:
        """Gives a lease back; False where it had ended."""
        return bool(self._ask(_release(grant)))


class AsyncStrongBoard:
    """As `StrongBoard`, and every call is awaited."""

    def __init__(self, ask: Callable[[BoardAsked], Awaitable[Any]]) -> None:
        """Takes what sends a request and awaits its answer."""
        self._ask = ask

    async def get(self, key: str, default: Any = None) -> Any:
        """See `StrongBoard.get`."""
        return await self._ask(_get(key, default))

    async def compare_and_set(self, key: str, expected: Any, value: Any) -> bool:
        """See `StrongBoard.compare_and_set`."""
        return bool(await self._ask(_swap(key, expected, value)))

    async def transaction(
        self,
        *,
        checks: Mapping[str, Any] | None = None,
        writes: Mapping[str, Any] | None = None,
        reads: Iterable[str] = (),
        held: Iterable[Grant] = (),
    ) -> Transaction:
        """See `StrongBoard.transaction`."""
        done: Transaction = await self._ask(_transact(checks or {}, writes or {}, reads, held))
        return done

    async def lease(self, name: str, *, ttl: float = TTL_S, holder: str = "") -> Grant | None:
        """See `StrongBoard.lease`."""
        grant: Grant | None = await self._ask(_acquire(name, ttl, holder))
        return grant

    async def renew(self, grant: Grant, *, ttl: float = TTL_S) -> Grant | None:
        """See `StrongBoard.renew`."""
        renewed: Grant | None = await self._ask(_renew(grant, ttl))
        return renewed

    async def release(self, grant: Grant) -> bool:
        """See `StrongBoard.release`."""
        return bool(await self._ask(_release(grant)))
