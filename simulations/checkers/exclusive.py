"""Exclusive tasks, against the log that granted their leases.

The blocks are read a second time, by a ledger of the checkers' own: which lease each token is of,
and when it was renewed. What attempts did is what the world saw of their handlers.

Invariants:
    exclusive-token: every attempt has a token that the log has granted, of its own, greater than
        those of the attempts at its task before it.
    exclusive-time: no attempt under a key begins after one with a greater token, or beside one
        whose peer is not stopped. Where clocks are right.
    exclusive-result: the result that counts is of the last attempt, and the log has renewed its
        lease since its handler ended.
"""

from collections.abc import Iterator
from functools import partial

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant
from protocols.tasks.events import TasksSettled
from protocols.voting.blocks import Block, Order
from protocols.voting.ledger import Acquire, Renew
from simulations.checkers.ordered_log import OneLog
from simulations.clock import EPOCH_WALL_NS
from simulations.ledger_model import LedgerModel
from simulations.observations import DiskForgot, JobFinished, JobHanded, PeerStopped
from simulations.peer import SimulatedPeer
from simulations.world import Violation, World

Attempt = tuple[bytes, str, int]
LOOKED_EVERY_NS = SECOND_NS


class _Handed(msgspec.Struct):
    """An attempt that agents were given, and which others were with agents then."""

    attempt: Attempt
    token: int
    peer: bytes
    beside: tuple[int, ...]
    ended: Instant = 0
    status: str = ""


class _Granted(msgspec.Struct):
    """A lease as the log has it."""

    name: str
    renewed_ms: int = 0


class ExclusiveTasks:
    """Takes note of attempts with tokens; the end of the run tells what they were."""

    hears = (JobHanded, JobFinished, PeerStopped, DiskForgot, TasksSettled)

    def __init__(self, log: OneLog, is_timely: bool) -> None:
        """Takes the blocks, and whether clocks are right and nobody's hang."""
        self._log = log
        self._is_timely = is_timely
        self._handed: list[_Handed] = []
        self._open: dict[tuple[bytes, Attempt], _Handed] = {}
        self._forgetful: dict[bytes, None] = {}
        self._done: dict[tuple[bytes, str], tuple[bytes, int]] = {}
        """By custodian and task: who did it, and how many attempts had been begun by then."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Follows attempts that have a token."""
        match event:
            case JobHanded() if event.token:
                self._begun(world, peer, event)
            case JobFinished():
                attempt = (event.custodian, event.task, event.attempt)
                handed = self._open.pop((peer.peer, attempt), None)
                if handed is not None:
                    handed.ended, handed.status = world.now, event.status
            case PeerStopped():
                for key in [key for key in self._open if key[0] == peer.peer]:
                    del self._open[key]
            case DiskForgot():
                self._forgetful[peer.peer] = None
            case TasksSettled():
                for settled in event.settled:
                    if settled.state == "done":
                        seen = (settled.producer, len(self._handed))
                        self._done.setdefault((peer.peer, settled.task), seen)

    def _begun(self, world: World, peer: SimulatedPeer, event: JobHanded) -> None:
        attempt = (event.custodian, event.task, event.attempt)
        if not self._handed:
            self._look(world)
        beside = tuple(
            other.token
            for (where, _), other in self._open.items()
            if world.by_id[where].is_running and other.token != event.token
        )
        handed = _Handed(attempt, event.token, peer.peer, beside)
        self._handed.append(handed)
        self._open[peer.peer, attempt] = handed

    def _look(self, world: World) -> None:
        self._log.look(world)
        world.after(LOOKED_EVERY_NS, partial(self._look, world))

    # What the log says.

    def _grants(self) -> dict[int, _Granted] | None:
        """Every lease of the run by its token; None where blocks are kept by nobody any more."""
        model, blocks = LedgerModel(), self._log.blocks
        granted: dict[int, _Granted] = {}
        for height in range(1, max(blocks, default=0) + 1):
            if height not in blocks:
                return None
            block = msgspec.msgpack.decode(blocks[height], type=Block)
            for signed in block.orders:
                actions = msgspec.msgpack.decode(signed.body, type=Order).actions
                results = model.apply(height, block.time_ms, actions)
                for action, result in zip(actions, results, strict=True):
                    if not result.is_done or not isinstance(action, Acquire | Renew):
                        continue
                    lease = granted.setdefault(result.version, _Granted(action.name))
                    if isinstance(action, Renew):
                        lease.renewed_ms = block.time_ms
        return granted

    def finish(self, world: World) -> None:
        """Judges all attempts."""
        granted = self._grants()
        if granted is None:
            world.coverage["exclusive attempts that no block tells of"] += len(self._handed)
            return
        self._check_tokens(granted)
        if self._is_timely:
            self._check_time(granted)
        for handed in self._handed:
            world.coverage["an attempt is exclusive"] += 1
            if handed.status == "ok" and not self._counts(handed):
                world.coverage["a result of an exclusive attempt does not count"] += 1
        for (custodian, task), (producer, seen) in self._done.items():
            attempts = list(self._of(custodian, task, seen))
            if attempts and custodian not in self._forgetful:
                world.coverage["an exclusive task is done"] += 1
                self._check_result(granted, attempts, producer)

    def _of(self, custodian: bytes, task: str, seen: int) -> Iterator[_Handed]:
        for handed in self._handed[:seen]:
            if handed.attempt[:2] == (custodian, task):
                yield handed

    def _counts(self, handed: _Handed) -> bool:
        """Whether its task is done by who had this attempt, as far as anybody was told."""
        done = self._done.get(handed.attempt[:2])
        later = (each for each in self._handed if each.attempt[:2] == handed.attempt[:2])
        return done is not None and handed is max(later, key=lambda each: each.attempt[2])

    def _check_tokens(self, granted: dict[int, _Granted]) -> None:
        whose: dict[int, Attempt] = {}
        newest: dict[tuple[bytes, str], tuple[int, int]] = {}
        for handed in self._handed:
            custodian, task, number = handed.attempt
            if handed.token not in granted:
                raise Violation(f"exclusive-token: nobody granted {handed.token} of {task}")
            if custodian in self._forgetful:
                continue
            if whose.setdefault(handed.token, handed.attempt) != handed.attempt:
                raise Violation(f"exclusive-token: two attempts have {handed.token} of {task}")
            before, token = newest.get((custodian, task), (0, 0))
            if number != before and (number > before) != (handed.token > token):
                raise Violation(f"exclusive-token: attempt {number} at {task} has a lower one")
            newest[custodian, task] = max((before, token), (number, handed.token))

    def _check_time(self, granted: dict[int, _Granted]) -> None:
        newest: dict[str, int] = {}
        for handed in self._handed:
            name = granted[handed.token].name
            if any(granted[token].name == name for token in handed.beside):
                raise Violation(f"exclusive-time: two attempts at once under {name}")
            if handed.token < newest.get(name, 0):
                raise Violation(f"exclusive-time: {handed.token} of {name} begins too late")
            newest[name] = handed.token

    def _check_result(
        self, granted: dict[int, _Granted], attempts: list[_Handed], producer: bytes
    ) -> None:
        last = max(attempts, key=lambda handed: handed.attempt[2])
        task = last.attempt[1]
        if last.peer != producer or last.status != "ok":
            raise Violation(f"exclusive-result: {task} is done by an earlier attempt")
        ended_ms = (EPOCH_WALL_NS + last.ended) // MILLISECOND_NS
        if self._is_timely and granted[last.token].renewed_ms < ended_ms:
            raise Violation(f"exclusive-result: nobody asked the log about {task}")
