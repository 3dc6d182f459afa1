"""Whole logs that speak to each other, with a network that a test rules, and their histories.

A *clerk* is one peer's log machine with a disk. Every message takes one delay. What the
office asserts whatever happens: all clerks that have a height have the same block there, and
the same ledger after it.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from protocols.effects import Blame, Effect, Emit, Persist, Send
from protocols.machine import MILLISECOND_NS, SECOND_NS, Now
from protocols.voting.blocks import decode_block
from protocols.voting.ledger import Action, Transact
from protocols.voting.log import Log
from protocols.voting.log_commands import (
    FollowElectorate,
    LogElectorDown,
    PutInOrder,
    PutInOrderDone,
)
from protocols.voting.log_messages import BlockRecord, LogMark, LogProposal
from protocols.voting.marks import FINALISE, NOTARISE, NULLIFY, digest_of
from protocols.voting.roll import Root, make_bundle
from simulations.keyrings import simulated_keyrings

_make = simulated_keyrings(b"office")
MESH = _make(b"r" * 32, b"").peer
ROOT_KEYRING = _make(b"r" * 32, MESH)
ROOT = Root(MESH, ROOT_KEYRING)
KEYRINGS = [_make(bytes([place + 1]) * 32, MESH) for place in range(31)]
TICK_NS = MILLISECOND_NS
WALL_NS = 1_700_000_000 * SECOND_NS


def bundle_of(places: list[int], epoch: int = 1) -> bytes:
    """A list of electors, signed by the root."""
    return make_bundle(ROOT, epoch, tuple(KEYRINGS[place].peer for place in places))


class Clerk:
    """One peer's log."""

    def __init__(self, office: "Office", place: int) -> None:
        self.office, self.place = office, place
        self.keyring = KEYRINGS[place]
        self.disk: list[msgspec.Struct] = []
        self.done: dict[int, PutInOrderDone] = {}
        self.blamed: list[tuple[bytes, str]] = []
        self.is_up = True
        self.boot = 0
        self.skew_ns = 0
        self.lies: Callable[[bytes, msgspec.Struct], list[msgspec.Struct]] = lambda to, m: [m]
        self.events: list[msgspec.Struct] = []
        self.signed: dict[tuple[int, int, int, str], bytes] = {}
        """What it has said, in all its lives: epoch, height, view and phase, and what."""
        self.machine = Log(self.keyring, MESH, 0)

    def now(self) -> Now:
        monotonic = self.office.monotonic_ns
        return Now(monotonic, WALL_NS + monotonic + self.skew_ns)

    def do(self, call: Callable[..., tuple[Effect, ...]], *arguments: Any) -> None:
        """One step of the machine, and what it asks for."""
        for effect in call(*arguments, self.now()):
            match effect:
                case Send():
                    self._note_signed(effect.message)
                    for message in self.lies(effect.to, effect.message):
                        self.office.send(self, effect.to, message)
                case Persist():
                    self.disk.append(effect.record)
                    if isinstance(effect.record, BlockRecord):
                        self.office.finalised(effect.record)
                case Emit():
                    self.events.append(effect.event)
                    if isinstance(effect.event, PutInOrderDone):
                        self.done[effect.event.request] = effect.event
                case Blame():
                    self.blamed.append((effect.peer, effect.offence))
        self.machine.check()

    def _note_signed(self, message: msgspec.Struct) -> None:
        match message:
            case LogMark() if message.elector == self.place:
                where = (message.epoch, message.height, message.view)
                self._note(where, message.phase, message.digest)
            case LogProposal():
                where = (message.epoch, message.height, message.view)
                self._note(where, NOTARISE, digest_of(message.payload))

    def _note(self, where: tuple[int, int, int], phase: str, digest: bytes) -> None:
        said = self.signed.setdefault((*where, phase), digest)
        epoch, height, view = where
        assert said == digest, f"signed against itself at height {height}, view {view}"
        ends = {(epoch, height, view, NULLIFY), (epoch, height, view, FINALISE)}
        assert not ends <= self.signed.keys(), f"ended view {view} of height {height} twice"

    def put_back(self, copy: list[msgspec.Struct]) -> None:
        """A new life on an older copy of its disk."""
        self.disk = list(copy)
        self.boot += 1
        self.machine = Log(self.keyring, MESH, self.boot)
        self.machine.restore(self.disk, self.now())
        self.do(self.machine.wake)

    def put(self, request: int, *actions: Action) -> None:
        """Asks for actions."""
        self.do(self.machine.submit, PutInOrder(request, actions))

    def restart(self, is_compacted: bool = False) -> None:
        """A new life, which knows what is on disk."""
        if is_compacted:
            self.disk = list(self.machine.snapshot())
        self.boot += 1
        before = self.machine.height, self.machine.state()
        self.machine = Log(self.keyring, MESH, self.boot)
        self.machine.restore(self.disk, self.now())
        assert (self.machine.height, self.machine.state()) == before, "restored as it was"
        self.do(self.machine.wake)


class Office:
    """Clerks, what is under way between them, and the time."""

    def __init__(self, n: int = 4, guests: int = 0) -> None:
        self.monotonic_ns = SECOND_NS
        self.blocks: dict[int, bytes] = {}
        self.under_way: deque[tuple[int, Clerk, Clerk, msgspec.Struct]] = deque()
        self.passes: Callable[[Clerk, Clerk], bool] = lambda sender, receiver: True
        self.clerks = [Clerk(self, place) for place in range(n + guests)]
        self.by_peer = {clerk.keyring.peer: clerk for clerk in self.clerks}
        self.n = n
        for clerk in self.clerks[:n]:
            clerk.do(clerk.machine.submit, FollowElectorate(bundle_of(list(range(n)))))

    def send(self, sender: Clerk, to: bytes, message: msgspec.Struct) -> None:
        receiver = self.by_peer[to]
        assert receiver is not sender, "speaks to itself"
        if self.passes(sender, receiver):
            self.under_way.append((self.monotonic_ns + TICK_NS, sender, receiver, message))

    def finalised(self, record: BlockRecord) -> None:
        block = decode_block(record.block.payload)
        assert block is not None
        known = self.blocks.setdefault(block.height, record.block.payload)
        assert known == record.block.payload, "two blocks at one height"

    def down(self, place: int) -> None:
        """A clerk is dead, and all others know."""
        self.clerks[place].is_up = False
        for clerk in self.clerks:
            if clerk.is_up:
                clerk.do(clerk.machine.submit, LogElectorDown(KEYRINGS[place].peer))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Lets time pass."""
        ends = self.monotonic_ns + round(seconds * SECOND_NS)
        while not until():
            dues = [self.under_way[0][0]] if self.under_way else []
            for clerk in self.clerks:
                due = clerk.machine.deadline() if clerk.is_up else None
                if due is not None:
                    dues.append(due)
            if not dues or min(dues) > ends:
                self.monotonic_ns = ends
                return
            self.monotonic_ns = max(self.monotonic_ns, min(dues))
            while self.under_way and self.under_way[0][0] <= self.monotonic_ns:
                _, sender, receiver, message = self.under_way.popleft()
                if receiver.is_up:
                    peer = sender.keyring.peer
                    receiver.do(receiver.machine.receive, peer, peer, message)
            for clerk in self.clerks:
                due = clerk.machine.deadline() if clerk.is_up else None
                if due is not None and due <= self.monotonic_ns:
                    clerk.do(clerk.machine.wake)

    def same(self) -> int:
        """The height that all that are up have; they have the same ledger, too."""
        up = [clerk.machine for clerk in self.clerks[: self.n] if clerk.is_up]
        assert len({(machine.height, machine.state()) for machine in up}) == 1, "agreement"
        return up[0].height


def put(key: str, value: bytes | None) -> Transact:
    """A write."""
    return Transact(writes=((key, value),))


def get(key: str) -> Transact:
    """A read."""
    return Transact(reads=(key,))


def swap(key: str, expected: bytes | None, value: bytes | None) -> Transact:
    """A compare-and-set."""
    return Transact(checks=((key, expected),), writes=((key, value),), reads=(key,))
