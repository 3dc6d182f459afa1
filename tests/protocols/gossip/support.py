"""Several gossip machines on a network that exists in memory only, in virtual time."""

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable

import msgspec

from protocols.effects import Blame, Broadcast, Effect, Emit, Persist, Send
from protocols.gossip import records
from protocols.gossip.commands import Advertise, Contact, Join, LinkLost
from protocols.gossip.events import MemberDown
from protocols.gossip.gossip import Gossip
from protocols.gossip.messages import KINDS
from protocols.gossip.parameters import GossipParameters
from protocols.machine import MILLISECOND_NS, SECOND_NS, Now
from protocols.wire import Codec, Signed, Verified, encode

FRAME_OVERHEAD_BYTES = 120
"""CURVE, ZMTP, TCP and the frame's own header, about."""
WALL_NS = 1_700_000_000 * SECOND_NS


class HashKeyring:
    """Signs with a hash: quick, and good enough where nobody forges."""

    def __init__(self, peer: bytes) -> None:
        self._peer = peer

    @property
    def peer(self) -> bytes:
        return self._peer

    def sign(self, domain: str, body: bytes) -> bytes:
        return hashlib.blake2b(domain.encode() + self._peer + body).digest()

    def verify(self, domain: str, author: bytes, body: bytes, signature: bytes) -> bool:
        return hashlib.blake2b(domain.encode() + author + body).digest() == signature


def peer_id(number: int) -> bytes:
    """The id of the peer with this number."""
    return hashlib.blake2b(number.to_bytes(4, "big"), digest_size=32).digest()


def moment(at_ns: int) -> Now:
    """A time of a step."""
    return Now(at_ns, WALL_NS + at_ns)


class Peer:
    """One simulated process: its machine, its disk, and what it told."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = peer_id(number)
        self.disk: list[bytes] = []
        self.boots = 0
        self.gossip: Gossip | None = None
        self.paused = False
        self.inbox: list[tuple[bytes, bytes, msgspec.Struct]] = []
        self.wake_at: int | None = None
        self.events: list[tuple[int, msgspec.Struct]] = []
        self.blames: list[Blame] = []
        self.steps = 0
        self.frames = 0
        self.messages = 0
        self.bytes = 0


class Mesh:
    """A heap of events: deliveries and wake-ups, in the order of virtual time."""

    def __init__(
        self,
        seed: int = 1,
        parameters: GossipParameters | None = None,
        latency_ns: tuple[int, int] = (300_000, 2 * MILLISECOND_NS),
        loss: float = 0.0,
        credential: bytes = b"",
    ) -> None:
        self.rng = random.Random(seed)
        self.parameters = parameters or GossipParameters()
        self.latency_ns = latency_ns
        self.loss = loss
        self.credential = credential
        self.now_ns = SECOND_NS
        self.peers: dict[bytes, Peer] = {}
        self.cut: Callable[[Peer, Peer], bool] = lambda source, target: False
        self._codec = Codec((*KINDS, Signed))
        self._disk = msgspec.msgpack.Decoder(records.Record)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._arrived: dict[tuple[bytes, bytes], int] = {}

    # Peers

    def add(self, number: int) -> Peer:
        """A new process that has not started yet."""
        peer = Peer(number)
        self.peers[peer.id] = peer
        return peer

    def start(self, peer: Peer, contacts: tuple[Peer, ...] = (), door: str | None = None) -> None:
        """Starts a process, from what is on its disk."""
        peer.boots += 1
        peer.wake_at = None
        peer.gossip = Gossip(
            HashKeyring(peer.id),
            self.credential,
            peer.boots,
            self.parameters,
            random.Random(self.rng.getrandbits(64)),
        )
        peer.gossip.restore([self._disk.decode(data) for data in peer.disk], moment(self.now_ns))
        met = tuple(Contact(c.id, f"tcp://peer:{c.number}", bytes(32)) for c in contacts)
        where = door or f"tcp://peer:{peer.number}"
        self.submit(peer, Advertise(f"peer-{peer.number}", where, ()))
        self.submit(peer, Join(met))

    def kill(self, peer: Peer) -> None:
        """kill -9: what is on disk stays."""
        peer.gossip = None
        peer.paused = False
        peer.inbox.clear()

    def refuse_redials(self, dead: Peer) -> None:
        """Everybody's link to a killed peer breaks, and its port is closed."""
        for peer in self.running():
            self.submit(peer, LinkLost(dead.id, refused=True))

    def pause(self, peer: Peer) -> None:
        """SIGSTOP: what arrives is kept."""
        peer.paused = True

    def resume(self, peer: Peer) -> None:
        """SIGCONT: what arrived meanwhile comes first."""
        peer.paused = False
        inbox, peer.inbox = peer.inbox, []
        for source, target, message in inbox:
            self._hand(source, target, message)
        self._wake(peer)

    def running(self) -> list[Peer]:
        """The processes that run."""
        return [peer for peer in self.peers.values() if peer.gossip is not None]

    def machine(self, peer: Peer) -> Gossip:
        """The machine of a running peer."""
        assert peer.gossip is not None, "this peer is not running"
        return peer.gossip

    # Steps

    def submit(self, peer: Peer, command: msgspec.Struct) -> None:
        """A local command."""
        self._apply(peer, self.machine(peer).submit(command, moment(self.now_ns)))

    def inject(self, source: bytes, target: Peer, message: msgspec.Struct) -> None:
        """A message that a modelled liar sends."""
        self._hand(source, target.id, message)

    def _apply(self, peer: Peer, effects: tuple[Effect, ...]) -> None:
        peer.steps += 1
        targets: dict[bytes, int] = {}
        for effect in effects:
            match effect:
                case Persist():
                    peer.disk.append(encode(effect.record))
                case Send():
                    self._post(peer, effect.to, effect.message, targets)
                case Broadcast():
                    for to in self.machine(peer).alive():
                        self._post(peer, to, effect.message, targets)
                case Emit():
                    peer.events.append((self.now_ns, effect.event))
                case Blame():
                    peer.blames.append(effect)
        peer.frames += len(targets)
        peer.bytes += sum(size + FRAME_OVERHEAD_BYTES for size in targets.values())
        self._schedule(peer)

    def _post(
        self, peer: Peer, to: bytes, message: msgspec.Struct, targets: dict[bytes, int]
    ) -> None:
        data = encode(message)
        targets[to] = targets.get(to, 0) + len(data)
        peer.messages += 1
        target = self.peers.get(to)
        if target is None or self.cut(peer, target) or self.rng.random() < self.loss:
            return
        arrives_at = self.now_ns + self.rng.randint(*self.latency_ns)
        # A link keeps the order of what it carries.
        link = (peer.id, to)
        arrives_at = max(arrives_at, self._arrived.get(link, 0))
        self._arrived[link] = arrives_at
        self.at(arrives_at, lambda: self._deliver(peer.id, to, data))

    def _deliver(self, source: bytes, target: bytes, data: bytes) -> None:
        peer = self.peers[target]
        if peer.gossip is None:
            return
        message = self._codec.decode(data)
        if peer.paused:
            peer.inbox.append((source, target, message))
        else:
            self._hand(source, target, message)

    def _hand(self, source: bytes, target: bytes, message: msgspec.Struct) -> None:
        peer = self.peers[target]
        if peer.gossip is None:
            return
        author = source
        if isinstance(message, Signed):
            keyring = HashKeyring(peer.id)
            envelope = message
            if not keyring.verify(
                envelope.domain, envelope.author, envelope.body, envelope.signature
            ):
                return
            author = envelope.author
            message = Verified(self._codec.decode(envelope.body), envelope)
        self._apply(peer, peer.gossip.receive(source, author, message, moment(self.now_ns)))

    def _schedule(self, peer: Peer) -> None:
        if peer.gossip is None:
            return
        due = peer.gossip.deadline()
        if due is None or (peer.wake_at is not None and peer.wake_at <= due):
            return
        peer.wake_at = max(due, self.now_ns)
        boot = peer.boots
        self.at(peer.wake_at, lambda: self._alarm(peer, boot))

    def _alarm(self, peer: Peer, boot: int) -> None:
        if peer.boots == boot and peer.wake_at is not None and self.now_ns >= peer.wake_at:
            self._wake(peer)

    def _wake(self, peer: Peer) -> None:
        peer.wake_at = None
        if peer.gossip is None or peer.paused:
            return
        due = peer.gossip.deadline()
        if due is not None and due <= self.now_ns:
            self._apply(peer, peer.gossip.wake(moment(self.now_ns)))
            after = peer.gossip.deadline()
            assert after is None or after > self.now_ns, "a wake-up leaves nothing due"
        else:
            self._schedule(peer)

    # Time

    def at(self, when_ns: int, action: Callable[[], None]) -> None:
        """Does something at a virtual time."""
        heapq.heappush(self._heap, (when_ns, next(self._order), action))

    def run(self, seconds: float) -> None:
        """Lets virtual time pass."""
        until = self.now_ns + int(seconds * SECOND_NS)
        while self._heap and self._heap[0][0] <= until:
            self.now_ns, _, action = heapq.heappop(self._heap)
            action()
        self.now_ns = until

    def run_until(self, done: Callable[[], bool], seconds: float, step_s: float = 0.05) -> float:
        """Lets time pass until `done`; returns the seconds it took, or fails."""
        begun = self.now_ns
        while not done():
            self.run(step_s)
            took = (self.now_ns - begun) / SECOND_NS
            assert took <= seconds, f"not within {seconds} s"
        return (self.now_ns - begun) / SECOND_NS

    # What is seen

    def converged(self) -> bool:
        """Whether every running peer holds exactly the running peers alive, and none suspect."""
        running = self.running()
        ids = sorted(peer.id for peer in running)
        for peer in running:
            gossip = self.machine(peer)
            if gossip.alive() != tuple(other for other in ids if other != peer.id):
                return False
            if any(member.state == "suspect" for member in gossip.members()):
                return False
        return True

    def known_dead_at(self, dead: Peer, since_ns: int) -> list[float]:
        """Seconds after `since_ns` at which each running peer learned of a death, sorted."""
        times = []
        for peer in self.running():
            for at, event in peer.events:
                if isinstance(event, MemberDown) and event.peer == dead.id and at >= since_ns:
                    times.append((at - since_ns) / SECOND_NS)
                    break
        return sorted(times)

    def check(self) -> None:
        """Asserts every machine's invariants."""
        for peer in self.running():
            self.machine(peer).check()


def mesh_of(
    count: int,
    seed: int = 1,
    parameters: GossipParameters | None = None,
    loss: float = 0.0,
    credential: bytes = b"",
) -> Mesh:
    """A mesh of so many peers that have met."""
    mesh = Mesh(seed, parameters, loss=loss, credential=credential)
    peers = [mesh.add(number) for number in range(count)]
    for number, peer in enumerate(peers):
        mesh.start(peer, contacts=tuple(peers[: min(number, 3)]))
    mesh.run_until(mesh.converged, seconds=30)
    return mesh
