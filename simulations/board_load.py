"""Clients of the blackboard: who writes what, where and when."""

import random
from collections.abc import Callable

import msgspec

from protocols.blackboard.commands import Edit, WriteBoard
from protocols.wire import encode
from simulations.peer import SimulatedPeer
from simulations.schedule import Share
from simulations.world import World

KINDS = (
    ("register", ("put",)),
    ("multivalue", ("put",)),
    ("counter", ("increment",)),
    ("set", ("add", "add", "remove")),
    ("map", ("set", "set", "unset")),
    ("log", ("append",)),
    ("pheromone", ("deposit",)),
)
"""Types of entries, and what is done to each."""
SMALL = ("add", "remove", "increment", "deposit")


class BoardLoad(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is written in a run. Probabilities from 0 to 1 are per change."""

    writes: int = 0
    keys: int = 14
    """Few, so that writers meet."""
    batches: Share = 0.3
    batch_most: int = 8
    deleted: Share = 0.15
    ended: Share = 0.05
    """With a time to live."""


class BoardClients:
    """Writes a load."""

    hears = ()

    def __init__(self, load: BoardLoad, rng: random.Random) -> None:
        self._load = load
        self._rng = rng
        self._requests = 1 << 48

    def begin(self, world: World, duration_ns: int) -> None:
        """Plans all writes; liars' cores write too, and lie about it."""
        for _ in range(self._load.writes):
            world.after(self._rng.randrange(duration_ns), self._write(world))

    def _write(self, world: World) -> Callable[[], None]:
        def write() -> None:
            running = [peer for peer in world.peers if peer.is_running]
            if running:
                self._submit(world, self._rng.choice(running))

        return write

    def _submit(self, world: World, peer: SimulatedPeer) -> None:
        rng, load = self._rng, self._load
        self._requests += 1
        count = rng.randint(2, load.batch_most) if rng.random() < load.batches else 1
        edits = tuple(self._edit() for _ in range(count))
        refused = peer.submit(WriteBoard(self._requests, edits))
        if refused is not None:
            world.coverage[f"a write is refused: {refused.kind}"] += 1

    def _edit(self) -> Edit:
        rng, load = self._rng, self._load
        number = rng.randrange(load.keys)
        kind, actions = KINDS[number % len(KINDS)]
        key = f"default/{kind}-{number}"
        if rng.random() < load.deleted:
            return Edit(key, "delete")
        action = rng.choice(actions)
        ttl_ms = rng.randint(100, 5_000) if rng.random() < load.ended else 0
        value = encode(rng.randrange(1, 6) if action in SMALL else rng.getrandbits(32))
        field = f"field-{rng.randrange(4)}" if kind == "map" else ""
        wanted = kind if action == "put" else ""
        return Edit(key, action, value, field=field, type=wanted, ttl_ms=ttl_ms)

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Nothing is heard."""

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
