"""Faults: what a scenario may do to its peers, drawn from the seed, and the peace after it."""

import random
from collections.abc import Callable

import msgspec

from protocols.gossip.commands import Leave
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.network import NetworkConditions
from simulations.peer import SimulatedPeer
from simulations.world import World

LINK_DEAD_NS = 3 * SECOND_NS
"""After so long without an answer a link's heartbeat gives up."""
GOODBYE_NS = 300 * MILLISECOND_NS


class Faults(msgspec.Struct, frozen=True):
    """Rates are per virtual second and mesh; probabilities from 0 to 1."""

    loss: float = 0.0
    duplication: float = 0.0
    reorder: float = 0.0
    crashes: float = 0.0
    pauses: float = 0.0
    cuts: float = 0.0
    leaves: float = 0.0
    full_disks: float = 0.0
    partitions: float = 0.0
    moves: float = 0.0
    """The share of restarts that come back at another door."""
    slow: float = 0.0
    """The share of peers that are slow, four to twenty times."""
    down_most_ns: int = 6 * SECOND_NS

    @property
    def conditions(self) -> NetworkConditions:
        """How frames travel while faults last."""
        return NetworkConditions(loss=self.loss, duplication=self.duplication, reorder=self.reorder)

    @property
    def peaceful(self) -> bool:
        """Whether nobody is ever held up, cut off or stopped."""
        return not (
            self.crashes or self.pauses or self.cuts or self.leaves or self.full_disks
            or self.partitions or self.loss
        )  # fmt: skip


class Injector:
    """Draws the faults of one run, and ends them."""

    def __init__(self, faults: Faults, world: World, rng: random.Random) -> None:
        self._faults = faults
        self._world = world
        self._rng = rng
        self._is_over = False

    def begin(self, duration_ns: int) -> None:
        """Plans all faults."""
        faults, rng, world = self._faults, self._rng, self._world
        for peer in world.honest:
            if rng.random() < faults.slow:
                peer.speed = 1 / rng.randint(4, 20)
        seconds = duration_ns / SECOND_NS
        for rate, fault in (
            (faults.crashes, self._crash),
            (faults.pauses, self._pause),
            (faults.cuts, self._cut),
            (faults.leaves, self._leave),
            (faults.full_disks, self._fill_disk),
            (faults.partitions, self._partition),
        ):
            for _ in range(round(rate * seconds)):
                world.after(rng.randrange(duration_ns), self._unless_over(fault))

    def make_peace(self) -> None:
        """Everything is mended and restarted; no fault follows."""
        self._is_over = True
        world = self._world
        world.network.heal()
        world.network.conditions = NetworkConditions()
        for peer in world.peers:
            peer.fuse = None
            peer.disk.room = None
            self._restart(peer)

    def _unless_over(self, fault: Callable[[], None]) -> Callable[[], None]:
        def strike() -> None:
            if not self._is_over:
                fault()

        return strike

    def _restart(self, peer: SimulatedPeer) -> None:
        if peer.core is not None:
            return
        peer.disk.room = None
        if self._rng.random() < self._faults.moves:
            self._world.coverage["a peer comes back at another door"] += 1
            peer.door = f"sim://{peer.name}/{peer.disk.boot + 1}"
        peer.start()

    def _restart_later(self, peer: SimulatedPeer) -> None:
        # Many restarts are quick, so that messages to and from the earlier process are
        # under way; some come before anybody has noticed.
        draw = self._rng.random()
        most = self._faults.down_most_ns if draw < 0.6 else 50 * MILLISECOND_NS
        down = self._rng.randint(0, MILLISECOND_NS if draw > 0.8 else most)
        self._world.after(down, lambda: self._restart(peer))

    def _victim(self) -> SimulatedPeer:
        """Any peer; more often one that is at work, where a fault can do harm."""
        peers = self._world.peers
        if self._rng.random() < 0.5:
            busy = [p for p in peers if p.core is not None and p.core.tasks.undecided]
            running = [p for p in peers if p.workers is not None and p.workers.handlings]
            peers = (running if self._rng.random() < 0.5 else busy) or peers
        return self._rng.choice(peers)

    def _crash(self) -> None:
        """Kill -9: at once, or between two effects that are released."""
        peer = self._victim()
        if peer.core is None:
            return
        self._world.coverage["crash"] += 1
        if self._rng.random() < 0.5:
            peer.fuse = self._rng.randint(0, 40)
            self._await_fuse(peer)
        else:
            peer.stop()
            self._restart_later(peer)

    def _await_fuse(self, peer: SimulatedPeer) -> None:
        if peer.core is None:
            self._restart_later(peer)
        elif peer.fuse is not None:
            self._world.after(MILLISECOND_NS, lambda: self._await_fuse(peer))

    def _fill_disk(self) -> None:
        peer = self._rng.choice(self._world.peers)
        if peer.core is not None:
            peer.disk.room = self._rng.randint(0, 6)
            self._world.after(SECOND_NS, lambda: self._disk_checked(peer))

    def _disk_checked(self, peer: SimulatedPeer) -> None:
        if peer.core is None:
            self._restart_later(peer)
        else:
            peer.disk.room = None

    def _pause(self) -> None:
        peer = self._victim()
        if peer.core is None:
            return
        self._world.coverage["pause"] += 1
        if peer.workers is not None and peer.workers.handlings:
            self._world.coverage["pause with handlers running"] += 1
        duration = self._rng.randint(50 * MILLISECOND_NS, self._faults.down_most_ns)
        peer.paused_until = max(peer.paused_until, self._world.now + duration)

    def _cut(self) -> None:
        """Some pair hears each other no more, or one does not hear the other."""
        self._world.coverage["cut"] += 1
        one, other = self._rng.sample(self._world.peers, 2)
        pairs = [(one, other)]
        if self._rng.random() < 0.5:
            pairs.append((other, one))
        self._sever(pairs)

    def _partition(self) -> None:
        """The mesh falls into two."""
        self._world.coverage["partition"] += 1
        peers = self._rng.sample(self._world.peers, len(self._world.peers))
        at = self._rng.randint(1, len(peers) - 1)
        near, far = peers[:at], peers[at:]
        self._sever([(a, b) for a in near for b in far] + [(b, a) for a in near for b in far])

    def _sever(self, pairs: list[tuple[SimulatedPeer, SimulatedPeer]]) -> None:
        world = self._world
        for sender, receiver in pairs:
            world.network.cut(sender.peer, receiver.peer)
            world.after(LINK_DEAD_NS, self._heartbeat(sender, receiver))
        duration = self._rng.randint(SECOND_NS, self._faults.down_most_ns)
        mended = [(sender.peer, receiver.peer) for sender, receiver in pairs]
        world.after(duration, lambda: world.network.mend(mended))

    def _heartbeat(self, sender: SimulatedPeer, receiver: SimulatedPeer) -> Callable[[], None]:
        def check() -> None:
            if sender.core is None or not self._world.network.is_cut(sender.peer, receiver.peer):
                return
            if sender.links.pop(receiver.peer, None) is not None:
                sender.link_broken(receiver)()

        return check

    def _leave(self) -> None:
        """A peer says goodbye, stops, and comes back later."""
        peer = self._rng.choice(self._world.peers)
        if not peer.is_running:
            return
        self._world.coverage["leave"] += 1
        peer.submit(Leave())
        core = peer.core

        def stop() -> None:
            if peer.core is core:
                peer.stop("left")
                self._restart_later(peer)

        self._world.after(GOODBYE_NS, stop)
