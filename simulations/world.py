"""Many production cores in virtual time, driven from one heap of events.

Nothing here knows what a protocol does: the world moves frames, time, records
and crashes, exactly as the real driver does, and reports what the cores say to
the checkers. A run is its construction and its seed.
"""

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec

from mesh.core.framing import FrameWriter
from mesh.core.outward import Outward
from mesh.core.settings import CoreSettings
from protocols.credentials import (
    NO_CURVE,
    ROLE_ISSUER,
    ROLE_PEER,
    Credential,
    encode_chain,
    issue,
)
from protocols.errors import Refused
from protocols.gossip.commands import Proclaim
from protocols.identity import Keyring
from protocols.machine import SECOND_NS, Instant
from protocols.statements import Revocation
from protocols.tasks.commands import SubmitTasks, TaskSpec
from protocols.voting.roll import Root, make_bundle
from protocols.wire import Message, seal, tag_of
from simulations.adversary import Adversary
from simulations.agents import MakeExecutor, Workers
from simulations.clock import EPOCH_WALL_NS, SKEW_MOST_NS
from simulations.keyrings import MakeKeyring, simulated_keyrings
from simulations.network import Network, NetworkConditions
from simulations.observations import OF_THE_WORLD, Asked, RequestRefused, Sent
from simulations.peer import SimulatedPeer
from simulations.trace import FrameStrayed, Kind, TraceEntry, Tracer

EVENTS_LIMIT = 200_000
"""Events in one stretch of a run: several times what any scenario needs."""
YEAR_S = 365 * 24 * 3600
HASHED_BYTES = 32 * 1024

_encode_into = msgspec.msgpack.Encoder().encode_into


class Checker(Protocol):
    """Watches a run, and raises `Violation` when an invariant is broken."""

    @property
    def hears(self) -> tuple[type[msgspec.Struct], ...]:
        """The events that it wants to see. A kind of message comes as a `Sent`."""

    def event(self, world: "World", peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """A core told the outside something, or the world did (`observations.py`)."""

    def finish(self, world: "World") -> None:
        """The run is over, and faults stopped some time ago."""


class Violation(AssertionError):
    """An invariant was broken. The message names it."""


class World:
    """The heap of events, the peers, and what they see of each other."""

    def __init__(
        self,
        seed: int,
        peers: int,
        settings: CoreSettings | None = None,
        conditions: NetworkConditions | None = None,
        checkers: tuple[Checker, ...] = (),
        keyrings: Callable[[bytes], MakeKeyring] = simulated_keyrings,
        make_executor: MakeExecutor = Workers,
    ) -> None:
        """Makes the peers, not yet started; see `SimulatedPeer.start`.

        `make_executor` makes what executes the jobs of a peer, at each of its starts.
        """
        self.seed = seed
        self.make_executor = make_executor
        self.rng = random.Random(seed)
        self.faults_rng = random.Random(self.rng.getrandbits(64))
        self.now: Instant = SECOND_NS
        self.network = Network(
            conditions or NetworkConditions(), random.Random(self.rng.getrandbits(64))
        )
        self.events = 0
        self.coverage: Counter[str] = Counter()
        self.checkers = checkers
        self.tracer: Tracer | None = None
        """Told of every input, effect and fault, where somebody listens (`trace.py`)."""
        self._listeners: dict[type[msgspec.Struct], list[Checker]] = {}
        self._overheard: dict[bytes, type[Message]] = {}
        """The kinds of messages that checkers want to hear, by the bytes that name them."""
        for checker in checkers:
            for kind in checker.hears:
                self._listeners.setdefault(kind, []).append(checker)
                if issubclass(kind, Message):
                    self._overheard[tag_of(kind).encode()] = kind
        self.settings = settings or CoreSettings()
        self.requests: dict[int, tuple[TaskSpec, ...]] = {}
        """What was submitted under each request number, by clients and by handlers."""
        self.revoked: dict[bytes, None] = {}
        """The peers that were revoked."""
        self.bundle = b""
        """What proves who the electors are today, where there are any."""
        self.rolls: dict[bytes, tuple[int, tuple[bytes, ...]]] = {}
        """The epoch and the electors of each bundle that the root has signed."""
        self.bent_lots: dict[str, None] = {}
        """Lots in which an adversary opened another bid than it had sealed."""
        self._heap: list[tuple[Instant, int, Callable[[], None]]] = []
        self._order = 0
        self._digest = hashlib.blake2b(digest_size=16)
        self._effects = bytearray()
        """What the digest has not taken in yet: a hash of many bytes costs less than many."""
        self._keyrings = keyrings(self.entropy(32))
        root_seed = self.entropy(32)
        self._root = self._keyrings(root_seed, self._keyrings(root_seed, bytes(32)).peer)
        self.root = self._root.peer
        self.peers = [self._make_peer(f"peer-{index + 1}") for index in range(peers)]
        self.by_id = {peer.peer: peer for peer in self.peers}

    def entropy(self, size: int) -> bytes:
        """Secret bytes, the same in every run of a seed."""
        return self.rng.randbytes(size)

    def _make_peer(self, name: str) -> SimulatedPeer:
        mesh = self._root.peer
        keyring = self._keyrings(self.entropy(32), mesh)
        begin = (EPOCH_WALL_NS - 2 * SKEW_MOST_NS) // SECOND_NS

        def credential(subject: bytes, role: str) -> Credential:
            return Credential(
                mesh, subject, NO_CURVE, (role,), ("default",), begin, begin + YEAR_S, 1
            )

        issuer = issue(self._root, credential(mesh, ROLE_ISSUER))
        chain = encode_chain(issuer, issue(self._root, credential(keyring.peer, ROLE_PEER)))
        return SimulatedPeer(self, name, keyring, chain)

    def elect(self, count: int) -> None:
        """The root signs an electorate of the last so many peers; liars are among them."""
        self.bundle = self.sign_roll(1, tuple(peer.peer for peer in self.peers[-count:]))

    def sign_roll(self, epoch: int, electors: tuple[bytes, ...]) -> bytes:
        """The root signs who are to decide."""
        bundle = make_bundle(Root(self.root, self._root), epoch, electors)
        self.rolls[bundle] = (epoch, electors)
        return bundle

    @property
    def honest(self) -> list[SimulatedPeer]:
        """The peers that no adversary bends."""
        return [peer for peer in self.peers if peer.liar is None]

    # Time.

    def at(self, instant: Instant, action: Callable[[], None]) -> None:
        """Does something at an instant, after all that was asked for the same one before."""
        self._order = order = self._order + 1
        now = self.now
        heapq.heappush(self._heap, (instant if instant > now else now, order, action))

    def after(self, duration_ns: int, action: Callable[[], None]) -> None:
        """Does something after a while."""
        self.at(self.now + duration_ns, action)

    @property
    def next_at(self) -> Instant | None:
        """When the next event is due; None where nothing is planned."""
        return self._heap[0][0] if self._heap else None

    def run(self, duration_ns: int) -> None:
        """Lets so much time pass."""
        end = self.now + duration_ns
        heap, pop = self._heap, heapq.heappop
        events = 0
        try:
            while heap and heap[0][0] <= end:
                self.now, _, action = pop(heap)
                events += 1
                action()
                if events > EVENTS_LIMIT:
                    told = f"{events} events by {self.now} ns, and no end"
                    raise Violation(f"bounded-messages: {told}")
        finally:
            self.events += events
        self.now = end

    def run_until(self, condition: Callable[[], bool], limit_ns: int, step_ns: int) -> bool:
        """Lets time pass, a step at a time, until the condition holds; False at the limit."""
        end = self.now + limit_ns
        while not condition():
            if self.now >= end:
                return False
            self.run(min(step_ns, end - self.now))
        return True

    def finish(self) -> str:
        """Ends the run: every core's and checker's last word. Returns the trace digest."""
        for checker in self.checkers:
            checker.finish(self)
        return self.digest

    @property
    def digest(self) -> str:
        """The trace digest so far."""
        self._hash()
        return self._digest.hexdigest()

    # What happens.

    def observe(self, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Tells the checkers."""
        if self.tracer is not None and isinstance(event, OF_THE_WORLD):
            self.note(peer.name, "world", event)
        listeners = self._listeners.get(type(event))
        if listeners is not None:
            for checker in listeners:
                checker.event(self, peer, event)

    def overhear(self, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]) -> None:
        """Tells the checkers of the messages to another peer whose kind they want to hear."""
        for data in messages:
            # An array's header, a short string's header, and the tag: see `protocols/wire.py`.
            kind = self._overheard.get(data[2 : 2 + (data[1] & 0x1F)])
            if kind is not None:
                sent = Sent(to, msgspec.msgpack.decode(data, type=kind))
                for checker in self._listeners[kind]:
                    checker.event(self, peer, sent)

    def note(self, peer: str, kind: Kind, detail: msgspec.Struct | None = None) -> None:
        """Tells the tracer, where there is one. `peer` is a name, or "" for the whole mesh."""
        if self.tracer is not None:
            self.tracer(TraceEntry(self.now, peer, kind, detail))

    def trace(self, peer: SimulatedPeer, effects: Sequence[Outward]) -> None:
        """Takes effects that leave a core together into the digest of the run, and only there.

        The digest is a chain: at any time it is a function of every effect so far.
        """
        effects_so_far = self._effects
        _encode_into((self.now, peer.name, effects), effects_so_far, -1)
        if len(effects_so_far) > HASHED_BYTES:
            self._hash()

    def _hash(self) -> None:
        self._digest.update(self._effects)
        self._effects.clear()

    def ask(
        self, peer: SimulatedPeer, specs: tuple[TaskSpec, ...], then: Callable[[int], None]
    ) -> Refused | None:
        """Submits at a peer; `then` gets the number of the request just before it is made."""
        request = len(self.requests) + 1
        self.requests[request] = specs
        self.observe(peer, Asked(request))
        then(request)
        refused = peer.submit(SubmitTasks(request, specs))
        if refused is not None:
            self.coverage[f"refused: {refused.kind}"] += 1
            self.observe(peer, RequestRefused(request, refused.kind))
        return refused

    def deliver(self, sender: SimulatedPeer, target: SimulatedPeer, frame: bytes) -> None:
        """Puts a frame on the network; it may be lost, late or doubled."""
        instants = self.network.arrivals(sender.peer, target.peer, self.now, len(frame))
        if len(instants) != 1:
            fate = "doubled" if instants else "lost"
            self._notice(frame, fate)
            if self.tracer is not None:
                self.note(sender.name, "network", FrameStrayed(target.peer, frame, fate))
        for instant in instants:
            self.at(instant, partial(target.receive, sender.peer, frame))

    def _notice(self, frame: bytes, fate: str) -> None:
        self.coverage[f"frames {fate}"] += 1
        for kind, encoded in NOTICED.items():
            if encoded in frame:
                self.coverage[f"{kind} {fate}"] += 1

    # Adversaries.

    def corrupt(self, peer: SimulatedPeer, adversary: Adversary) -> None:
        """From now on an adversary bends what this peer says."""
        peer.liar = adversary

        def act() -> None:
            if peer.liar is adversary:
                if peer.is_running:
                    adversary.act(self, peer)
                self.after(adversary.interval_ns, act)

        self.after(adversary.interval_ns, act)

    def revoke(self, where: SimulatedPeer, peer: SimulatedPeer) -> bool:
        """The root revokes a peer, at one of the others; False where that one did not take it."""
        wall_s = where.clock().wall_ns // SECOND_NS
        said = Revocation(peer.peer, 0, "it was to be expected", wall_s)
        if where.submit(Proclaim(seal(self._root, said))) is not None:
            return False
        self.revoked[peer.peer] = None
        return True

    def stranger(self, seed: bytes) -> Keyring:
        """The keyring of somebody whom nobody has admitted."""
        return self._keyrings(seed, self.root)

    def inject(self, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]) -> None:
        """An adversary sends messages that its core knows nothing of, on a link of its own."""
        for frame in FrameWriter(self.rng.getrandbits(62)).frames(messages):
            self.inject_frame(peer, to, frame)

    def inject_frame(self, peer: SimulatedPeer, to: bytes, frame: bytes) -> None:
        """An adversary sends any bytes at all."""
        self.deliver(peer, self.by_id[to], frame)


NOTICED = {
    kind: msgspec.msgpack.encode(kind)
    for kind in (
        "auction.invite", "auction.commit", "auction.book", "auction.reveal", "auction.award",
        "auction.accept", "auction.release", "auction.renew", "tasks.assign", "tasks.results",
        "tasks.results-ack", "tasks.parked", "tasks.cancel", "tasks.rejected", "tasks.beat",
        "gossip.member", "gossip.accusation", "core.chunk",
    )
}  # fmt: skip
"""Kinds of messages whose loss a sweep counts."""
