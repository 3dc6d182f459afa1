"""The strong part of the blackboard for clients and handlers: what they ask, put in order.

A request waits until a quorum has settled it. Where none does within `PATIENCE_S`, the caller
is told, and cannot know: it may be settled later.
"""

from typing import Annotated, Any, Protocol

import msgspec
import trio

from protocols.errors import Refused
from protocols.voting.ledger import (
    KEY_LIMIT,
    TTL_MOST_MS,
    VALUE_LIMIT,
    Action,
    Release,
    Renew,
    Result,
    Transact,
)
from protocols.voting.ledger import Acquire as AcquireAction
from protocols.voting.log_commands import PutInOrder, PutInOrderDone

PATIENCE_S = 15.0
_encoder = msgspec.msgpack.Encoder(order="deterministic")

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_LIMIT)]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=TTL_MOST_MS)]


class Driver(Protocol):
    """Who carries commands to the core."""

    def submit(self, command: msgspec.Struct) -> object:
        """Takes a command; its events come later. May raise `Refused`."""

    def flush(self) -> None:
        """Carries out what the commands given so far have caused."""


class _Transact(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="transact"):
    checks: dict[Key, Any] = {}
    writes: dict[Key, Any] = {}
    reads: list[Key] = []
    held: dict[Key, Annotated[int, msgspec.Meta(ge=0)]] = {}


class _Acquire(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="acquire"):
    name: Key
    ttl_ms: Milliseconds
    holder: Key


class _Renew(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="renew"):
    name: Key
    token: Annotated[int, msgspec.Meta(ge=0)]
    ttl_ms: Milliseconds


class _Release(msgspec.Struct, forbid_unknown_fields=True, tag_field="do", tag="release"):
    name: Key
    token: Annotated[int, msgspec.Meta(ge=0)]


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    actions: list[_Transact | _Acquire | _Renew | _Release]


class _Waiting:
    """Somebody who waits for a quorum."""

    def __init__(self) -> None:
        self.settled = trio.Event()
        self.done: PutInOrderDone | None = None


class StrongDesk:
    """Has requests put in order, and tells what came of them."""

    def __init__(self, driver: Driver) -> None:
        """Takes the way to the core."""
        self._driver = driver
        self._number = 0
        self._waiting: dict[int, _Waiting] = {}

    def notify(self, event: msgspec.Struct) -> None:
        """Takes an event of the core."""
        if isinstance(event, PutInOrderDone):
            waiting = self._waiting.get(event.request)
            if waiting is not None:
                waiting.done = event
                waiting.settled.set()

    async def put_in_order(self, arguments: Any) -> list[dict[str, Any]]:
        """Answers the verb ``strong``: a result for each action.

        Raises:
            Refused: it cannot be asked, or no quorum has answered in time.
        """
        try:
            asked = msgspec.convert(arguments, _Asked)
        except msgspec.ValidationError as error:
            raise Refused("InvalidInput", str(error)) from None
        self._number += 1
        number = self._number
        command = PutInOrder(number, tuple(map(_action, asked.actions)))
        waiting = self._waiting[number] = _Waiting()
        try:
            self._driver.submit(command)
            self._driver.flush()
            with trio.move_on_after(PATIENCE_S):
                await waiting.settled.wait()
        finally:
            del self._waiting[number]
        if waiting.done is None:
            raise Refused(
                "NoQuorum",
                f"no quorum of the electors has settled it in {PATIENCE_S:g} s, and it may be "
                "settled later: read before you ask again; `mesh peers` shows who is alive",
            )
        return [_told(result) for result in waiting.done.results]


def _action(asked: _Transact | _Acquire | _Renew | _Release) -> Action:
    match asked:
        case _Transact():
            return Transact(
                checks=tuple((key, _encoded(value)) for key, value in asked.checks.items()),
                held=tuple(asked.held.items()),
                writes=tuple((key, _encoded(value)) for key, value in asked.writes.items()),
                reads=tuple(asked.reads),
            )
        case _Acquire():
            return AcquireAction(asked.name, asked.holder, asked.ttl_ms)
        case _Renew():
            return Renew(asked.name, asked.token, asked.ttl_ms)
        case _Release():
            return Release(asked.name, asked.token)


def _encoded(value: Any) -> bytes | None:
    """A value in its one encoding, so that equal values compare as equal; None is absent."""
    if value is None:
        return None
    encoded = _encoder.encode(value)
    if len(encoded) > VALUE_LIMIT:
        raise Refused("TooLarge", f"a value of {len(encoded)} bytes is over {VALUE_LIMIT}")
    return encoded


def _told(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {
        "done": result.is_done,
        "reason": result.reason,
        "version": result.version,
        "values": [
            [key, None if value is None else msgspec.msgpack.decode(value), version]
            for key, value, version in result.values
        ],
    }
    if result.lease is not None:
        told["lease"] = {
            "holder": result.lease.holder,
            "token": result.lease.token,
            "ends_ms": result.lease.ends_ms,
        }
    return told
