"""A mesh in memory, for people who test their agents."""

import os
import random
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mesh.client import Client, Handle
from mesh.client.core import ClientCore
from mesh.core.settings import CoreSettings
from mesh.local.options import SkillLike
from mesh.testing.client import LocalClient, VirtualTransport
from mesh.testing.executor import HandlerExecutor
from mesh.testing.faults import Deaths, Faults
from mesh.testing.invariants import Invariants
from mesh.testing.recording import Recording
from mesh.testing.troupe import Hosts, LogLine, Takes, Troupe
from protocols.machine import SECOND_NS
from simulations.world import World

SEEDS = 2**32
READY_S = 3.0
"""After so long every peer knows every other."""
PATIENCE_S = 7200.0
FOREVER_NS = 1 << 62

PathLike = str | os.PathLike[str]


class LocalMesh(Faults):
    """Peers in memory, in virtual time, which run real handlers under faults.

    The peers are the simulator's: production's core with a modelled network, disk
    and clock. A ``with`` block starts them; leaving it heals every fault, lets
    what was accepted end, and checks the mesh's invariants.

    Args:
        peers: how many; they are named ``peer-1``, ``peer-2``, …
        agents: an agent or several, which every peer runs; or those of each peer by name.
        seed: chooses the order of everything. By default ``$MESH_SEED``, else a new one;
            a failing test shows it.
        takes: how many virtual seconds handlers take, by skill or for all; a pair is the
            least and the most. By default none, or as recorded.
        record: a file to keep the answers of skills in that wait for the outside.
        replay: a file to take them from.
        recorded: the skills to record; by default those coroutine handlers that wait for
            anything but their context.
        patience: the virtual seconds that waiting without a timeout lasts at most.
        settings: parameters of the protocols, where they are not to be production's.
    """

    def __init__(
        self,
        *,
        peers: int = 3,
        agents: Hosts,
        seed: int | None = None,
        takes: Takes = 0.0,
        record: PathLike | None = None,
        replay: PathLike | None = None,
        recorded: Collection[SkillLike] | None = None,
        patience: float = PATIENCE_S,
        settings: CoreSettings | None = None,
    ) -> None:
        if peers < 1:
            raise ValueError("a mesh has at least one peer")
        if record is not None and replay is not None:
            raise ValueError("a test records, or it replays")
        self.seed = _seed() if seed is None else seed
        self._invariants = Invariants()
        self._patience = patience
        names = [f"peer-{index + 1}" for index in range(peers)]
        self._record = None if record is None else Recording(Path(record), [])
        self._troupe = Troupe(
            names,
            agents,
            takes,
            lambda: self.now,
            self._record,
            None if replay is None else Recording.load(Path(replay)),
            recorded,
        )
        self._ready_ns = 0
        deaths = Deaths()
        world = World(
            self.seed,
            peers,
            settings,
            checkers=(*self._invariants.checkers(), deaths),
            make_executor=partial(HandlerExecutor, self._troupe),
        )
        super().__init__(world, deaths)
        self._rng = random.Random(world.rng.getrandbits(64))
        self._transports: list[VirtualTransport] = []
        self._client: Client | None = None
        self._is_finished = False
        self.digest = ""
        """Names all that the peers did; known when the mesh has come to its end."""

    def __enter__(self) -> Self:
        try:
            for peer in self._world.peers:
                peer.start(self._troupe.skills[peer.name])
            self._world.run(round(READY_S * SECOND_NS))
            self._ready_ns = self._world.now
            self._client = self.connect()
        except BaseException as error:
            self._failed(error)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._failed(error)
            return
        try:
            self.finish()
        except BaseException as broken:
            self._failed(broken)
            raise
        self._troupe.close()

    # What a test sees.

    @property
    def client(self) -> Client:
        """A client, at home with peer-1 as long as that runs."""
        assert self._client is not None, "a LocalMesh is used in a with block"
        return self._client

    def connect(self, home: str = "") -> Client:
        """Another client, which prefers a peer as its home."""
        if home:
            self._named(home)
        core = ClientCore(f"{self._rng.getrandbits(64):016x}", lambda: self.now)
        transport = VirtualTransport(core, self._world, self._advance, self._patience, home)
        client = LocalClient(core, transport)
        self._transports.append(transport)
        return client

    @property
    def now(self) -> float:
        """Virtual seconds since the mesh was ready."""
        return (self._world.now - self._ready_ns) / SECOND_NS

    @property
    def peers(self) -> list[str]:
        """The names of all peers."""
        return [peer.name for peer in self._world.peers]

    @property
    def logs(self) -> Sequence[LogLine]:
        """What handlers wrote with `ctx.log`, in order."""
        return tuple(self._troupe.logs)

    def running(self, task: Handle[Any] | str | None = None) -> list[str]:
        """The peers at which an attempt at a task runs now, or any attempt at all."""
        wanted = task.id if isinstance(task, Handle) else task
        return [
            peer.name
            for peer in self._world.peers
            if isinstance(peer.workers, HandlerExecutor)
            and any(wanted in (None, key[1]) for key in peer.workers.handlings)
        ]

    # Time.

    def run(self, seconds: float) -> None:
        """Lets so much virtual time pass."""
        self._advance(lambda: False, seconds)

    def run_until(
        self, what: Handle[Any] | Callable[[], object], timeout: float | None = None
    ) -> None:
        """Lets time pass until a task has ended, or something holds.

        Raises:
            TimeoutError: not within `timeout` virtual seconds, by default the mesh's patience.
        """
        done = what if not isinstance(what, Handle) else lambda: what.state != "accepted"
        limit = self._patience if timeout is None else timeout
        if not self._advance(done, limit):
            raise TimeoutError(f"it has not happened within {limit:g} virtual seconds")

    def _advance(self, done: Callable[[], object], seconds: float) -> bool:
        """Lets time pass, event by event; whether `done()` held before the time was up."""
        world = self._world
        until = world.now + round(seconds * SECOND_NS)
        while True:
            wanted = until
            for transport in self._transports:
                transport.pump()
                due = transport.due()
                if due is not None and due < wanted:
                    wanted = due
            if done():
                return True
            if world.now >= until:
                return False
            next_at = world.next_at
            if next_at is not None and next_at < wanted:
                wanted = next_at
            world.run(max(0, wanted - world.now))

    # The end.

    def finish(self) -> None:
        """Ends all faults, restarts who is down, and checks every invariant to the last.

        Leaving the ``with`` block does the same. Tasks that have not ended go on, so
        handlers may run again; those that still run after a minute are cancelled.

        Raises:
            Violation: an invariant of the mesh was broken.
        """
        if self._is_finished:
            return
        self._is_finished = True
        # What a stopped process was sent waits for it, so no pause is cut short.
        paused_until = max(peer.paused_until for peer in self._world.peers)
        self.run(max(0, paused_until - self._world.now) / SECOND_NS)
        had_faults = self._make_peace()
        self._invariants.rest(self._world, self._advance)
        for transport in self._transports:
            transport.close()
        if had_faults:
            self._invariants.converge(self._world, self._advance)
        self.digest = self._world.finish()
        if self._record is not None:
            self._record.save()

    def _failed(self, error: BaseException) -> None:
        self._is_finished = True
        error.add_note(f"This was LocalMesh(seed={self.seed}): with that seed it happens again.")
        self._troupe.close()


def _seed() -> int:
    given = os.environ.get("MESH_SEED", "")
    return int(given) % SEEDS if given else random.SystemRandom().randrange(SEEDS)
