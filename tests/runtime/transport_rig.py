"""Peers with real sockets on 127.0.0.1 around a core that only notes what it is told."""

import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from mesh.core.commands import LinkClosed, LinkOpened
from mesh.core.outward import Notify, Outward, Transmit
from mesh.core.records import StepRecord
from mesh.runtime.clock import SystemClock
from mesh.runtime.door import TakeJoin, TakeRenewal
from mesh.runtime.driver import Driver
from mesh.runtime.links import IDLE_AFTER_NS
from mesh.runtime.sockets import CurveKeys, new_curve_keys
from mesh.runtime.transport import Transport
from protocols.credentials import (
    NO_CURVE,
    ROLE_ISSUER,
    ROLE_PEER,
    Credential,
    encode_chain,
    issue,
    verify_chain,
)
from protocols.errors import Malformed
from protocols.gossip.commands import Contact
from protocols.identity import Ed25519Keyring
from protocols.machine import Now
from protocols.wire import decode_frame

HOST = "127.0.0.1"
PATIENCE_S = 8.0
HOUR_S = 3600


class Say(msgspec.Struct, frozen=True):
    """Send messages to a peer once a record of it is durable."""

    to: bytes
    messages: tuple[bytes, ...]


class Authority:
    """A mesh's root and one issuer, made from a seed."""

    def __init__(self, seed: int = 1) -> None:
        root = bytes([seed]) * 32
        self.root = Ed25519Keyring(root, bytes(32)).peer
        self._issuer = Ed25519Keyring(bytes([seed + 100]) * 32, self.root)
        self._root = Ed25519Keyring(root, self.root)

    def chain(self, peer: bytes, curve: bytes, ends_in_s: int = HOUR_S) -> bytes:
        """An encoded chain for a peer and its CURVE key."""
        now_s = int(time.time())
        begin, end = now_s - 2 * HOUR_S, now_s + ends_in_s
        issuer = Credential(
            self.root, self._issuer.peer, NO_CURVE, (ROLE_ISSUER,), (), begin, now_s + HOUR_S, 1
        )
        own = Credential(self.root, peer, curve, (ROLE_PEER,), (), begin, end, 2)
        return encode_chain(issue(self._root, issuer), issue(self._issuer, own))

    def verify(self, encoded: bytes) -> Credential:
        """As a peer of this mesh does it."""
        return verify_chain(encoded, self.root, time.time_ns(), self._root)


class NotingCore:
    """Notes what it is told; sends what `Say` asks, after a record.

    Attributes:
        heard: (peer, message) in the order of arrival.
        epochs: the epochs of the frames that came from each peer.
        link_events: every LinkOpened and LinkClosed.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, bytes]] = []
        self.malformed = 0
        self.epochs: dict[bytes, list[int]] = {}
        self.link_events: list[LinkOpened | LinkClosed] = []
        self.answer: Callable[[bytes, bytes], bytes | None] = lambda peer, message: None
        self.wakes: list[int] = []
        self.due: int | None = None
        self.changed = trio.Event()
        self._numbers = 0
        self._records: list[StepRecord] = []
        self._held: list[tuple[int, Outward]] = []
        self._ready: list[Outward] = []

    async def until(self, holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Waits until something that was told makes `holds` true."""
        with trio.fail_after(within_s):
            while not holds():
                self.changed = trio.Event()
                await self.changed.wait()

    def submit(self, command: msgspec.Struct, now: Now) -> None:
        match command:
            case LinkOpened() | LinkClosed():
                self.link_events.append(command)
            case Say():
                self._record(Transmit(command.to, command.messages))
            case _:
                self._record(Notify(command))
        self.changed.set()

    def receive(self, link: bytes, frame: bytes, now: Now) -> None:
        try:
            decoded = decode_frame(frame)
        except Malformed:
            self.malformed += 1
            self.changed.set()
            return
        epochs = self.epochs.setdefault(link, [])
        if decoded.epoch not in epochs:
            epochs.append(decoded.epoch)
        for raw in decoded.messages:
            message = bytes(raw)
            self.heard.append((link, message))
            answer = self.answer(link, message)
            if answer is not None:
                self._ready.append(Transmit(link, (answer,)))
        self.changed.set()

    def wake(self, now: Now) -> None:
        self.wakes.append(now.monotonic_ns)
        self.due = None
        self.changed.set()

    def deadline(self) -> int | None:
        return self.due

    def take_records(self) -> tuple[StepRecord, ...]:
        records, self._records = tuple(self._records), []
        return records

    def recorded(self, number: int) -> None:
        self._ready += [outward for at, outward in self._held if at <= number]
        self._held = [(at, outward) for at, outward in self._held if at > number]

    def take_outward(self) -> list[Outward]:
        ready, self._ready = self._ready, []
        return ready

    def release(self, outward: Outward) -> None:
        """Lets something leave at the next flush."""
        self._ready.append(outward)

    def said_by(self, peer: bytes) -> list[bytes]:
        return [message for author, message in self.heard if author == peer]

    def _record(self, outward: Outward) -> None:
        self._numbers += 1
        self._records.append(StepRecord(self._numbers, b"record", sync=False))
        self._held.append((self._numbers, outward))


class MemoryJournal:
    """Remembers groups; fails when told to."""

    def __init__(self) -> None:
        self.groups: list[tuple[StepRecord, ...]] = []
        self.failure: Exception | None = None

    def append(self, records: Sequence[StepRecord]) -> None:
        if self.failure is not None:
            raise self.failure
        self.groups.append(tuple(records))


class Neighbour:
    """One peer of a test: identity, core, driver and transport."""

    def __init__(
        self,
        authority: Authority,
        seed: int,
        contacts: dict[bytes, Contact],
        curve: CurveKeys | None = None,
        idle_after_ns: int = IDLE_AFTER_NS,
    ) -> None:
        self.authority = authority
        self.keys = curve or new_curve_keys()
        self.id = Ed25519Keyring(bytes([seed]) * 32, authority.root).peer
        self.credential = authority.chain(self.id, self.keys.public)
        self.core = NotingCore()
        self.journal = MemoryJournal()
        self.clock = SystemClock()
        self.driver = Driver(self.core, self.journal, self.clock)
        self.contacts = contacts
        self._idle_after_ns = idle_after_ns
        self.door = ""
        self.take_join: TakeJoin | None = None
        self.take_renewal: TakeRenewal | None = None
        self.verify = authority.verify
        self.hear: Callable[[bytes], None] = lambda statement: None

    def open(self) -> Transport:
        """Makes the transport; whoever calls this stops it."""
        self.transport = Transport(
            self.keys,
            lambda: self.credential,
            lambda encoded: self.verify(encoded),
            self.contacts.get,
            self.driver,
            self.clock.now,
            random.Random(self.id),
            self._idle_after_ns,
            self.take_join,
            self.take_renewal,
            self.hear,
        )
        self.driver.carry_with(self.transport.transmit)
        return self.transport

    @property
    def house(self) -> str:
        """The address of the data port, as the door tells it."""
        return self.transport.house_address

    def say(self, to: "Neighbour", *messages: bytes) -> None:
        """Submits messages for another peer; each must be one MessagePack value."""
        self.driver.submit(Say(to.id, messages))

    @asynccontextmanager
    async def up(self, door_port: int = 0) -> AsyncIterator["Neighbour"]:
        """Runs until the block ends, then stops cleanly."""
        self.door = self.open().bind(HOST, door_port)
        self.contacts[self.id] = Contact(self.id, self.door, self.keys.public)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.transport.run)
            nursery.start_soon(self.driver.run)
            try:
                yield self
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(PATIENCE_S):
                    await self.transport.stop()
                nursery.cancel_scope.cancel()


async def eventually(holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    """Waits for something that nobody tells of."""
    with trio.fail_after(within_s):
        while True:
            if holds():
                return
            await trio.sleep(0.001)


def pack(value: object) -> bytes:
    """One message."""
    return msgspec.msgpack.encode(value)
