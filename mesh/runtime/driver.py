"""Drives one core in real time: inputs in, records to the journal, then outward.

All on one trio thread. Inputs are fed as they come; a *flush* then writes all
their records at once, and only then carries out what the core releases. Whoever
brings inputs in batches (the house, the local server) calls `flush` after each;
for a lone `submit` the driver's own task does so in the next turn of the loop,
so that everything submitted in one turn shares one commit.

The core is between steps whenever a callback runs, so callbacks may call
`submit`: it takes effect at once, and leaves with the flush's next round.

If the journal fails, nothing that waited for it ever leaves: `run` ends with
`JournalFailed`. A commit that hangs cannot be left from this thread; the
journal's watchdog calls `end_hung_process` from its own.
"""

import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import trio

from mesh.core.outward import Accuse, Execute, Notify, Outward, Transmit
from mesh.core.records import StepRecord
from protocols.errors import MeshError
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant, Now

ROUNDS_PER_FLUSH = 64
"""Rounds of records and releases before other tasks get their turn."""
LATE_NS = 250 * MILLISECOND_NS
"""A timer this late means that the process was stopped, or its thread was held up."""
CATCH_UP_S = 0.05
"""What the sockets then have to hand over what came in meanwhile."""


HUNG_EXIT_STATUS = 74
"""EX_IOERR of sysexits(3): the disk did not answer."""


def end_hung_process(message: str) -> None:
    """Says why, and ends the process at once: the thread that could clean up is stuck."""
    sys.stderr.write(f"mesh: {message}\n")
    sys.stderr.flush()
    os._exit(HUNG_EXIT_STATUS)


class JournalFailed(MeshError):
    """The disk did not take a record; the peer must stop, acknowledging nothing."""


class Core(Protocol):
    """What the driver needs of a `PeerCore`."""

    def submit(self, command: msgspec.Struct, now: Now) -> None:
        """Takes a local command; may raise Refused."""

    def receive(self, link: bytes, frame: bytes, now: Now) -> None:
        """Takes a frame."""

    def wake(self, now: Now) -> None:
        """Does what is due."""

    def deadline(self) -> Instant | None:
        """When `wake` is wanted."""

    def take_records(self) -> tuple[StepRecord, ...]:
        """The records to write."""

    def recorded(self, number: int) -> None:
        """They are durable up to `number`."""

    def take_outward(self) -> list[Outward]:
        """What may leave."""


class Journal(Protocol):
    """Where records become durable."""

    def append(self, records: Sequence[StepRecord]) -> None:
        """Writes all records in one commit; returns when they are durable."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> Now:
        """The time of a step that begins now."""


class Host(Protocol):
    """Carries out what leaves the core for this machine. May call `Driver.submit`."""

    def notify(self, event: msgspec.Struct) -> None:
        """An event for agents, clients and people."""

    def execute(self, job: msgspec.Struct) -> None:
        """Work for this peer's workers."""

    def accuse(self, accusation: Accuse) -> None:
        """A peer broke a protocol."""


class Driver:
    """The step loop of one peer."""

    def __init__(self, core: Core, journal: Journal, clock: Clock) -> None:
        """Takes the core and its world.

        Args:
            core: the peer without I/O; already restored.
            journal: where its records go.
            clock: tells the time of each step.
        """
        self._core = core
        self._journal = journal
        self._clock = clock
        self._hosts: list[Host] = []
        self._transmit: Callable[[bytes, tuple[bytes, ...]], None] | None = None
        self._dirty = True
        self._flushing = False
        self._failure: JournalFailed | None = None
        self._sleeping_until: Instant | None = None
        self._roused = trio.Event()

    def attach(self, host: Host) -> None:
        """From now on `host` hears events, jobs and accusations, after those attached before."""
        self._hosts.append(host)

    def carry_with(self, transmit: Callable[[bytes, tuple[bytes, ...]], None]) -> None:
        """Names what carries messages to peers; without it they are dropped."""
        self._transmit = transmit

    def submit(self, command: msgspec.Struct) -> None:
        """Takes a local command; what it causes leaves with the next flush.

        Raises:
            Refused: the core refuses it, and nothing has changed.
            JournalFailed: the peer is stopping.
        """
        self._refuse_after_failure()
        self._core.submit(command, self._clock.now())
        self._mark()

    def receive(self, peer: bytes, frame: bytes) -> None:
        """Takes a frame from an authenticated peer; call `flush` after a batch of them."""
        self._refuse_after_failure()
        self._core.receive(peer, frame, self._clock.now())
        self._dirty = True

    def flush(self) -> None:
        """Writes what is to be written, and releases what may leave.

        Raises:
            JournalFailed: the disk did not take it; nothing was released.
        """
        if self._flushing:
            return
        self._refuse_after_failure()
        self._flushing = True
        try:
            for _ in range(ROUNDS_PER_FLUSH):
                if not self._dirty:
                    break
                self._dirty = False
                self._write()
                for outward in self._core.take_outward():
                    self._carry_out(outward)
        finally:
            self._flushing = False
        if self._dirty or self._is_due_earlier():
            self._roused.set()

    async def run(self) -> None:
        """Steps until cancelled.

        Raises:
            JournalFailed: the disk did not take a record.
        """
        while True:
            self.flush()
            await self._sleep()

    def _mark(self) -> None:
        self._dirty = True
        if not self._flushing:
            self._roused.set()

    async def _sleep(self) -> None:
        if self._roused.is_set():
            self._roused = trio.Event()
            await trio.lowlevel.checkpoint()
        due = self._sleeping_until = self._core.deadline()
        if not self._dirty:
            if due is None:
                await self._roused.wait()
            else:
                left_ns = max(0, due - self._clock.now().monotonic_ns)
                with trio.move_on_after(left_ns / SECOND_NS):
                    await self._roused.wait()
        # What moved the deadline meanwhile roused this task, and is looked at in the next turn.
        now = self._clock.now()
        if due is not None and due <= now.monotonic_ns:
            if now.monotonic_ns - due > LATE_NS:
                # Answers that came in time lie in the sockets: a timer that went off
                # before they were heard would accuse those who gave them.
                await trio.sleep(CATCH_UP_S)
                now = self._clock.now()
            self._core.wake(now)
            self._dirty = True

    def _is_due_earlier(self) -> bool:
        due = self._core.deadline()
        return due is not None and (self._sleeping_until is None or due < self._sleeping_until)

    def _write(self) -> None:
        records = self._core.take_records()
        if not records:
            return
        try:
            self._journal.append(records)
        except (sqlite3.Error, OSError, MeshError) as error:
            self._failure = JournalFailed(
                f"the journal did not take a record ({error}); this peer stops, and nothing "
                "that waited for the record has left it. Check the disk, then start it again"
            )
            raise self._failure from error
        self._core.recorded(records[-1].number)

    def _carry_out(self, outward: Outward) -> None:
        match outward:
            case Transmit():
                if self._transmit is not None:
                    self._transmit(outward.to, outward.messages)
            case Notify():
                for host in self._hosts:
                    host.notify(outward.event)
            case Execute():
                for host in self._hosts:
                    host.execute(outward.job)
            case Accuse():
                for host in self._hosts:
                    host.accuse(outward)

    def _refuse_after_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
