"""A few auction machines and a network between them that does what the test says."""

import hashlib
import random
from collections import deque
from collections.abc import Callable

import msgspec

from protocols.auction.auction import Auction
from protocols.auction.commands import CandidateDown, CandidateUp, Seek, SetCapacity
from protocols.auction.events import SlotsGranted, SlotsLost, SlotsWon
from protocols.auction.messages import KINDS
from protocols.auction.parameters import AuctionParameters
from protocols.effects import Blame, Effect, Emit, Persist, Send
from protocols.identity import short_id
from protocols.machine import MILLISECOND_NS, Now
from protocols.wire import Codec, encode

WALL_NS = 1_700_000_000 * 10**9
SKILL = ("retrieve", "1")
CODEC = Codec(KINDS)


def peer_id(name: str) -> bytes:
    """A peer id that starts with the name, so that lots can be told apart by eye."""
    return hashlib.sha256(name.encode()).digest()


def entropy_from(seed: str) -> Callable[[int], bytes]:
    """Deterministic secrets."""
    generator = random.Random(seed)
    return generator.randbytes


class Peer:
    """One machine, what it said to its agents, and what it wrote down."""

    def __init__(self, name: str, parameters: AuctionParameters) -> None:
        self.name = name
        self.id = peer_id(name)
        self.parameters = parameters
        self.boot = 0
        self.records: list[msgspec.Struct] = []
        self.start()

    def start(self) -> None:
        """Starts, or starts again from its records."""
        self.boot += 1
        self.events: list[msgspec.Struct] = []
        self.blames: list[Blame] = []
        self.held: dict[tuple[str, bytes], int] = {}
        self.granted: dict[str, int] = {}
        seed = f"{self.name}/{self.boot}"
        self.auction = Auction(
            self.id, self.parameters, random.Random(seed), entropy_from(seed), self.boot
        )
        self.auction.restore(list(self.records), Now(0, WALL_NS))

    def count(self, event: msgspec.Struct) -> None:
        """Keeps the books that a tasks machine would keep."""
        match event:
            case SlotsWon():
                key = (event.lot, event.bidder)
                self.held[key] = self.held.get(key, 0) + event.slots
            case SlotsLost():
                self.held[(event.lot, event.bidder)] -= event.slots
            case SlotsGranted():
                self.granted[event.lot] = event.slots
                if not event.slots:
                    del self.granted[event.lot]

    def all(self, kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def slots(self) -> int:
        """How many slots it holds as issuer."""
        return sum(self.held.values())


class Mesh:
    """Peers, a clock, and one queue of messages for all links.

    Attributes:
        trace: what went over links, and events, as lines of text.
        drop: a filter; what it returns True for is lost.
    """

    def __init__(self, *names: str, parameters: AuctionParameters | None = None) -> None:
        self.peers = {name: Peer(name, parameters or AuctionParameters()) for name in names}
        self.names = {peer.id: name for name, peer in self.peers.items()}
        self.now_ns = 0
        self.queue: deque[tuple[str, str, msgspec.Struct]] = deque()
        self.sent: list[tuple[str, str, msgspec.Struct]] = []
        self.drop: Callable[[str, str, msgspec.Struct], bool] = lambda *_: False
        self.dead: set[str] = set()

    def __getitem__(self, name: str) -> Peer:
        return self.peers[name]

    @property
    def now(self) -> Now:
        """The same clock for all."""
        return Now(self.now_ns, WALL_NS + self.now_ns)

    def host(self, slots: int, *names: str) -> None:
        """These peers host the skill, and all peers know it."""
        for name in names:
            self.submit(name, SetCapacity(*SKILL, slots))
            for other in self.peers:
                self.submit(other, CandidateUp(self[name].id, self[name].boot, (SKILL,)))

    def seek(self, name: str, units: int, estimate_us: int = 0) -> None:
        """One peer wants so many slots; messages are not yet delivered."""
        self.submit(name, Seek(*SKILL, units, estimate_us))

    def submit(self, name: str, command: msgspec.Struct) -> None:
        """A local command, checked after."""
        peer = self[name]
        self.absorb(peer, peer.auction.submit(command, self.now))

    def absorb(self, peer: Peer, effects: tuple[Effect, ...]) -> None:
        """Does what a step asked for."""
        peer.auction.check()
        for effect in effects:
            match effect:
                case Send():
                    to = self.names.get(effect.to)
                    if to is not None:
                        self.sent.append((peer.name, to, effect.message))
                        self.queue.append((peer.name, to, effect.message))
                case Persist():
                    peer.records.append(effect.record)
                case Emit():
                    peer.events.append(effect.event)
                    peer.count(effect.event)
                case Blame():
                    peer.blames.append(effect)
                case _:
                    raise AssertionError(f"an auction does not {effect}")

    def deliver(self, source: str, to: str, message: msgspec.Struct) -> None:
        """One message, over the wire's codec, at once."""
        if to in self.dead or self.drop(source, to, message):
            return
        decoded = CODEC.decode(encode(message))
        peer, link = self[to], peer_id(source)
        self.absorb(peer, peer.auction.receive(link, link, decoded, self.now))

    def step(self) -> bool:
        """Delivers the next message; False when there is none."""
        if not self.queue:
            return False
        self.deliver(*self.queue.popleft())
        return True

    def settle(self, limit: int = 5_000) -> None:
        """Delivers until nothing is under way."""
        for _ in range(limit):
            if not self.step():
                return
        raise AssertionError("the mesh does not come to rest")

    def advance(self, milliseconds: int) -> None:
        """Lets time pass, waking each peer when it wants to be woken."""
        until = self.now_ns + milliseconds * MILLISECOND_NS
        self.settle()
        while (due := self.next_deadline()) is not None and due <= until:
            self.now_ns = max(self.now_ns, due)
            for name, peer in self.peers.items():
                if name not in self.dead:
                    self.absorb(peer, peer.auction.wake(self.now))
            self.settle()
        self.now_ns = until

    def next_deadline(self) -> int | None:
        """The least deadline of the living."""
        dues = [
            due
            for name, peer in self.peers.items()
            if name not in self.dead and (due := peer.auction.deadline()) is not None
        ]
        return min(dues, default=None)

    def restart(self, name: str, slots: int = 0) -> None:
        """A peer stops and starts; the others learn of the new boot."""
        self.queue = deque(m for m in self.queue if name not in m[:2])
        peer = self[name]
        peer.start()
        if slots:
            self.submit(name, SetCapacity(*SKILL, slots))
        for other in self.peers:
            skills = (SKILL,) if slots else ()
            if other != name:
                self.submit(other, CandidateUp(peer.id, peer.boot, skills))

    def lose(self, name: str) -> None:
        """A peer dies, and all others notice."""
        self.dead.add(name)
        for other in self.peers:
            if other != name:
                self.submit(other, CandidateDown(self[name].id, "dead"))

    def kinds(self) -> list[str]:
        """The kinds of all messages so far, in order."""
        return [type(message).__name__ for _, _, message in self.sent]

    def short(self, name: str) -> str:
        """A peer's short name."""
        return short_id(self[name].id)
