"""Carries out a schedule: every fault at its time, and then the peace after it."""

import random
from collections.abc import Callable, Sequence

import msgspec

from protocols.gossip.commands import Leave as SayGoodbye
from protocols.machine import MILLISECOND_NS, SECOND_NS
from simulations.disk import DiskImage
from simulations.network import NetworkConditions
from simulations.observations import PeerStopped
from simulations.peer import SimulatedPeer
from simulations.schedule import (
    ANY,
    Clock,
    Conditions,
    Crash,
    Cut,
    DiskTrouble,
    Fault,
    Leave,
    Partition,
    Pause,
    Restore,
    Slow,
)
from simulations.world import World

PeerFault = Crash | Leave | Pause | Slow | Cut | Clock | DiskTrouble | Restore
LINK_DEAD_NS = 3 * SECOND_NS
"""After so long without an answer a link's heartbeat gives up."""
CORRUPT = PeerStopped("corrupt")
GOODBYE_NS = 300 * MILLISECOND_NS


def _ns(milliseconds: float) -> int:
    return round(milliseconds * MILLISECOND_NS)


class Injector:
    """Executes faults. It hears of processes that end, and starts each again."""

    hears = (PeerStopped,)

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Takes a schedule, every `draw` of it drawn."""
        self._faults = faults
        self._is_over = False
        self._returns: dict[str, tuple[float, bool]] = {}
        """How long each peer that is about to die stays down, and whether it moves."""
        self._backups: dict[Restore, dict[str, DiskImage]] = {}
        self._images: dict[str, DiskImage] = {}
        """What peers that are down are started on."""
        self._refusing: dict[str, None] = {}
        """Peers whose journal is damaged: nobody starts them again."""

    def begin(self, world: World) -> None:
        """Plans all faults; now is their instant 0."""
        for fault in self._faults:
            if isinstance(fault, Restore):  # first: both may be due at one instant
                world.after(_ns(max(0, fault.at_ms - fault.age_ms)), self._backup(world, fault))
            world.after(_ns(fault.at_ms), self._due(world, fault))

    def _due(self, world: World, fault: Fault) -> Callable[[], None]:
        def strike() -> None:
            if not self._is_over:
                self._strike(world, fault, random.Random(fault.draw or 0))

        return strike

    def _strike(self, world: World, fault: Fault, rng: random.Random) -> None:
        match fault:
            case Partition():
                self._partition(world, fault, rng)
            case Conditions():
                self._impose(world, fault, rng)
            case _:
                peer = _victim(world, fault.peer, rng)
                if peer is not None:
                    self._befall(world, fault, peer, rng)

    def _befall(
        self, world: World, fault: PeerFault, peer: SimulatedPeer, rng: random.Random
    ) -> None:
        match fault:
            case Crash():
                self._crash(world, fault, peer)
            case Leave():
                self._leave(world, fault, peer)
            case Pause():
                self._pause(world, fault, peer)
            case Slow():
                _struck(world, peer.name, fault, "slow")
                peer.speed = 1 / fault.factor
                if fault.for_ms:
                    world.after(_ns(fault.for_ms), lambda: setattr(peer, "speed", 1.0))
            case Cut():
                self._cut(world, fault, peer, rng)
            case DiskTrouble():
                self._trouble_disk(world, fault, peer, rng)
            case Clock():
                self._trouble_clocks(world, fault, peer)
            case Restore():
                self._restore(world, fault, peer)

    # Processes.

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Whatever a process died of, it is started again."""
        if event == CORRUPT:
            self._refusing[peer.name] = None
        # After peace too: a goodbye that was under way ends its process.
        if peer.name in self._refusing:
            return
        down_ms, moved = self._returns.pop(peer.name, (1_000.0, False))
        world.after(_ns(down_ms), lambda: self._restart(world, peer, moved))

    def finish(self, world: World) -> None:
        """Nothing is left to say."""

    def _restart(self, world: World, peer: SimulatedPeer, moved: bool = False) -> None:
        if peer.core is not None or peer.name in self._refusing:
            return
        peer.disk.mend()
        image = self._images.pop(peer.name, None)
        if image is not None:
            peer.forgot(peer.disk.restore(image))
        if moved:
            world.coverage["a peer comes back at another door"] += 1
            peer.door = f"sim://{peer.name}/{peer.disk.boot + 1}"
        peer.start()

    def _crash(self, world: World, fault: Crash, peer: SimulatedPeer) -> None:
        """Kill -9: at once, or between two effects that are released."""
        if peer.core is None:
            return
        _struck(world, peer.name, fault, "crash")
        self._returns[peer.name] = (fault.down_ms, fault.moved)
        why = "power" if fault.power else "crash"
        if fault.power:
            world.coverage["power cut"] += 1
        if fault.fuse is not None:
            peer.fuse, peer.fuse_why = fault.fuse, why
        else:
            peer.stop(why)

    def _leave(self, world: World, fault: Leave, peer: SimulatedPeer) -> None:
        if not peer.is_running:
            return
        _struck(world, peer.name, fault, "leave")
        peer.submit(SayGoodbye())
        core = peer.core

        def stop() -> None:
            if peer.core is core:
                self._returns[peer.name] = (fault.down_ms, fault.moved)
                peer.stop("left")

        world.after(GOODBYE_NS, stop)

    def _pause(self, world: World, fault: Pause, peer: SimulatedPeer) -> None:
        if peer.core is None:
            return
        _struck(world, peer.name, fault, "pause")
        if peer.workers is not None and peer.workers.handlings:
            world.coverage["pause with handlers running"] += 1
        peer.paused_until = max(peer.paused_until, world.now + _ns(fault.for_ms))

    # Disks.

    def _trouble_disk(
        self, world: World, fault: DiskTrouble, peer: SimulatedPeer, rng: random.Random
    ) -> None:
        core = peer.core
        if core is None:
            return
        disk = peer.disk
        match fault.kind:
            case "full" | "failing":
                disk.room = fault.room
                self._returns[peer.name] = (fault.down_ms, False)
            case "hanging":
                disk.stuck_for_ns = _ns(fault.for_ms)
                self._returns[peer.name] = (fault.down_ms, False)
            case "slow":
                disk.slow_ns = _ns(fault.slow_ms)
            case "rot" | "rot-in-log":
                if not disk.rot(fault.kind == "rot-in-log", rng):
                    return
        _struck(world, peer.name, fault, f"disk: {fault.kind}")

        def mended() -> None:
            if peer.core is core:
                disk.mend()

        world.after(_ns(fault.for_ms), mended)

    def _backup(self, world: World, fault: Restore) -> Callable[[], None]:
        def take() -> None:
            copies = {peer.name: peer.disk.copy(world.now) for peer in world.peers}
            self._backups[fault] = copies

        return take

    def _restore(self, world: World, fault: Restore, peer: SimulatedPeer) -> None:
        if peer.core is None:
            return
        _struck(world, peer.name, fault, "restore")
        self._returns[peer.name] = (fault.down_ms, False)
        self._images[peer.name] = self._backups[fault][peer.name]
        peer.stop()

    def _trouble_clocks(self, world: World, fault: Clock, peer: SimulatedPeer) -> None:
        _struck(world, peer.name, fault, "clock")
        if fault.drift_ppm:
            world.coverage["clocks drift"] += 1
            peer.clocks.drift(fault.drift_ppm, world.now)
            peer.clocks_changed()
        if fault.jump_ms:
            if peer.core is not None and peer.core.tasks.undecided:
                world.coverage["a wall clock jumps with tasks undecided"] += 1
            peer.clocks.jump(_ns(fault.jump_ms))

    # The network.

    def _cut(self, world: World, fault: Cut, peer: SimulatedPeer, rng: random.Random) -> None:
        others = [each for each in world.peers if each is not peer]
        other = rng.choice(others) if fault.other == ANY else _named(world, fault.other)
        _struck(world, peer.name, fault, "cut" if fault.both else "cut one way")
        pairs = [(peer, other)]
        if fault.both:
            pairs.append((other, peer))
        self._sever(world, pairs, fault.for_ms)

    def _partition(self, world: World, fault: Partition, rng: random.Random) -> None:
        peers = rng.sample(world.peers, len(world.peers))
        near = peers[: rng.randint(1, len(peers) - 1)] if len(peers) > 1 else []
        if fault.near:
            near = [_named(world, name) for name in fault.near]
        far = [peer for peer in world.peers if peer not in near]
        _struck(world, "", fault, "partition one way" if fault.one_way else "partition")
        pairs = [(b, a) for a in near for b in far]
        if not fault.one_way:
            pairs += [(a, b) for a in near for b in far]
        self._sever(world, pairs, fault.for_ms)

    def _sever(
        self, world: World, pairs: list[tuple[SimulatedPeer, SimulatedPeer]], for_ms: float
    ) -> None:
        for sender, receiver in pairs:
            world.network.cut(sender.peer, receiver.peer)
            world.after(LINK_DEAD_NS, self._heartbeat(world, sender, receiver))
        mended = [(sender.peer, receiver.peer) for sender, receiver in pairs]
        world.after(_ns(for_ms), lambda: world.network.mend(mended))

    def _heartbeat(
        self, world: World, sender: SimulatedPeer, receiver: SimulatedPeer
    ) -> Callable[[], None]:
        def check() -> None:
            if sender.core is None or not world.network.is_cut(sender.peer, receiver.peer):
                return
            if sender.links.pop(receiver.peer, None) is not None:
                sender.link_broken(receiver)()

        return check

    def _impose(self, world: World, fault: Conditions, rng: random.Random) -> None:
        _struck(world, "", fault, "conditions")
        conditions = NetworkConditions(
            delay_least_ns=_ns(fault.delay_least_ms),
            delay_most_ns=_ns(fault.delay_most_ms),
            loss=fault.loss,
            duplication=fault.duplication,
            reorder=fault.reorder,
            shape=fault.shape,
            bandwidth=fault.bandwidth,
        )
        ends = []
        for who in (fault.peer, fault.other):
            peer = _victim(world, who, rng) if who else None
            ends.append(b"" if peer is None else peer.peer)
        imposition = world.network.impose(conditions, *ends)
        if fault.for_ms:
            world.after(_ns(fault.for_ms), lambda: world.network.lift(imposition))

    def make_peace(self, world: World) -> None:
        """Everything is mended and restarted; no fault follows."""
        self._is_over = True
        world.network.heal()
        for peer in world.peers:
            peer.fuse = None
            peer.disk.mend()
            peer.speed = 1.0
            peer.clocks.mend(world.now)
            peer.clocks_changed()
            self._restart(world, peer)


def _struck(world: World, name: str, fault: Fault, what: str) -> None:
    world.coverage[what] += 1
    world.note(name, "fault", fault)


def _named(world: World, name: str) -> SimulatedPeer:
    return next(peer for peer in world.peers if peer.name == name)


def _victim(world: World, who: str, rng: random.Random) -> SimulatedPeer | None:
    """The peer that a fault means, where there is such a one now."""
    peers = world.peers
    match who:
        case "working":
            peers = [p for p in peers if p.workers is not None and p.workers.handlings] or peers
        case "busy":
            peers = [p for p in peers if p.core is not None and p.core.tasks.undecided] or peers
        case name if name != ANY:
            return _named(world, name)
    return rng.choice(peers)
