"""Blackboards in one process: their messages are carried, lost or kept back by the test."""

import functools
import operator
import random
from collections.abc import Callable, Iterable

import msgspec

from mesh.core.schemas import compile_schema
from protocols.blackboard.blackboard import Blackboard
from protocols.blackboard.commands import BoardPeerDown, BoardPeerUp, Edit, WriteBoard
from protocols.blackboard.parameters import BoardParameters
from protocols.blackboard.records import RECORDS
from protocols.blackboard.segments import op_hash
from protocols.credentials import (
    NO_CURVE,
    ROLE_ISSUER,
    ROLE_PEER,
    Credential,
    encode_chain,
    issue,
)
from protocols.effects import Blame, Effect, Emit, Persist, Send
from protocols.identity import Ed25519Keyring
from protocols.machine import MILLISECOND_NS, SECOND_NS, Now
from protocols.trust import Trust
from protocols.wire import encode

MESH = Ed25519Keyring(b"r" * 32, bytes(32)).peer
ROOT = Ed25519Keyring(b"r" * 32, MESH)
WALL_S = 1_000_000
QUICK = BoardParameters(horizon_ms=20_000, frontier_interval_ns=SECOND_NS)


def chain_of(peer: bytes, *roles: str) -> bytes:
    def said(subject: bytes, *roles: str) -> Credential:
        return Credential(MESH, subject, NO_CURVE, roles, (), 0, 2 * WALL_S, 1)

    issuer, peers = said(MESH, ROLE_ISSUER), said(peer, ROLE_PEER, *roles)
    return encode_chain(issue(ROOT, issuer), issue(ROOT, peers))


class Peer:
    """One blackboard, its disk, and what it said."""

    def __init__(self, seed: int, parameters: BoardParameters = QUICK) -> None:
        self.keyring = Ed25519Keyring(bytes([seed]) * 32, MESH)
        self.peer = self.keyring.peer
        self._parameters = parameters
        self._seed = seed
        self.roles: tuple[str, ...] = ()
        self.disk: list[bytes] = []
        self.told: list[msgspec.Struct] = []
        self.blamed: list[tuple[bytes, str]] = []
        self.board = self._blackboard()

    def _blackboard(self) -> Blackboard:
        self._seed += 100
        return Blackboard(
            self.keyring,
            chain_of(self.peer, *self.roles),
            self._parameters,
            random.Random(self._seed),
            Trust(MESH),
            compile_schema,
        )

    def absorb(self, effects: Iterable[Effect]) -> list[tuple[bytes, msgspec.Struct]]:
        sent: list[tuple[bytes, msgspec.Struct]] = []
        for effect in effects:
            match effect:
                case Send():
                    sent.append((effect.to, effect.message))
                case Persist():
                    self.disk.append(encode(effect.record))
                case Emit():
                    self.told.append(effect.event)
                case Blame():
                    self.blamed.append((effect.peer, effect.offence))
        return sent

    def restart(self, now: Now, disk: list[bytes] | None = None) -> None:
        """A new process on its disk, or on a copy of it."""
        if disk is not None:
            self.disk = list(disk)
        self.board = self._blackboard()
        decoder = msgspec.msgpack.Decoder(functools.reduce(operator.or_, RECORDS))
        self.board.restore([decoder.decode(data) for data in self.disk], now)

    def live(self) -> dict[bytes, str]:
        """The live ops by their hashes, without those that somebody collects."""
        return {
            op_hash(encoded): op.key for op, encoded in self.board.replica.live() if op.is_lasting
        }


Loses = Callable[[Peer, Peer, msgspec.Struct], bool]


class Boards:
    """Some peers; messages arrive in the order in which they were sent."""

    def __init__(self, count: int, parameters: BoardParameters = QUICK) -> None:
        self.now = Now(SECOND_NS, WALL_S * SECOND_NS)
        self.peers = [Peer(seed + 1, parameters) for seed in range(count)]
        self.by_id = {peer.peer: peer for peer in self.peers}
        self.loses: Loses = lambda sender, receiver, message: False
        self.sent: list[msgspec.Struct] = []
        self._requests = 0
        for peer in self.peers:
            peer.board.restore([], self.now)
        self.meet(*self.peers)

    def meet(self, *peers: Peer) -> None:
        """They see each other alive."""
        for peer in peers:
            for other in peers:
                if other is not peer:
                    self.carry(peer, peer.board.submit(BoardPeerUp(other.peer), self.now))

    def part(self, gone: Peer) -> None:
        """One is dead to the others, and they to it."""
        for peer in self.peers:
            if peer is not gone:
                self.carry(peer, peer.board.submit(BoardPeerDown(gone.peer), self.now))
                self.carry(gone, gone.board.submit(BoardPeerDown(peer.peer), self.now))

    def carry(self, sender: Peer, effects: Iterable[Effect]) -> None:
        """Takes effects to where they go, and theirs in turn."""
        queue = [(sender, to, message) for to, message in sender.absorb(effects)]
        while queue:
            source, to, message = queue.pop(0)
            target = self.by_id[to]
            if self.loses(source, target, message):
                continue
            self.sent.append(message)
            decoded = msgspec.msgpack.decode(encode(message), type=type(message))
            answers = target.board.receive(source.peer, source.peer, decoded, self.now)
            target.board.check()
            queue += [(target, on, answer) for on, answer in target.absorb(answers)]

    def write(self, peer: Peer, *edits: Edit) -> int:
        """A request at a peer; its number."""
        self._requests += 1
        command = WriteBoard(self._requests, edits)
        self.carry(peer, peer.board.submit(command, self.now))
        return self._requests

    def put(self, peer: Peer, key: str, value: object) -> int:
        """One value under a key."""
        return self.write(peer, Edit(f"default/{key}", "put", encode(value)))

    def wait(self, seconds: float) -> None:
        """Time passes; everybody does what is due."""
        end = self.now.monotonic_ns + round(seconds * SECOND_NS)
        while True:
            dues = [due for peer in self.peers if (due := peer.board.deadline()) is not None]
            at = min(dues, default=end)
            if at > end:
                break
            self._set(max(at, self.now.monotonic_ns + MILLISECOND_NS))
            for peer in self.peers:
                due = peer.board.deadline()
                if due is not None and due <= self.now.monotonic_ns:
                    self.carry(peer, peer.board.wake(self.now))
        self._set(end)

    def _set(self, monotonic_ns: int) -> None:
        self.now = Now(monotonic_ns, WALL_S * SECOND_NS + monotonic_ns)

    def value(self, peer: Peer, key: str) -> object:
        """What a key reads as at a peer."""
        entry = peer.board.read(f"default/{key}", self.now.wall_ns // MILLISECOND_NS)
        return None if entry is None else msgspec.msgpack.decode(entry.value)

    @property
    def are_equal(self) -> bool:
        """Whether all hold the same."""
        return all(peer.live() == self.peers[0].live() for peer in self.peers)
