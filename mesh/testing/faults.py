"""What a test may do to the peers of its mesh, a call at a time or by a schedule."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from mesh.testing.schedules import faults_of
from protocols.machine import SECOND_NS
from simulations.faults import Injector
from simulations.network import NetworkConditions
from simulations.observations import PeerStopped
from simulations.peer import SimulatedPeer
from simulations.schedule import Cut, Fault
from simulations.world import World

FOREVER_MS = 1e12
CALM = NetworkConditions()


class Deaths:
    """Hears, as checkers do, of processes that end."""

    hears = (PeerStopped,)

    def __init__(self) -> None:
        self.injector: Injector | None = None
        """What starts again whom its own faults ended."""
        self.is_killing = False
        """Whether the test itself ends a process now."""

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """A process has ended."""
        if self.injector is not None and not self.is_killing:
            self.injector.event(world, peer, event)

    def finish(self, world: World) -> None:
        """Nothing is left to say."""


class Faults:
    """Kills, pauses, cuts and slows down."""

    def __init__(self, world: World, deaths: Deaths) -> None:
        """Takes the world whose peers suffer, and who hears of their deaths there."""
        self._world = world
        self._deaths = deaths
        self._conditions = CALM
        self._imposed = 0
        self._had_faults = False

    # Processes.

    def kill(self, peer: str) -> None:
        """Kill -9, now: what was not on its disk is lost. It stays down until `restart`."""
        victim = self._strike(peer)
        self._deaths.is_killing = True
        victim.stop()
        self._deaths.is_killing = False

    def restart(self, peer: str) -> None:
        """Starts a peer that is down, from its disk."""
        fallen = self._strike(peer)
        if fallen.core is None:
            fallen.start()

    def pause(self, peer: str, seconds: float) -> None:
        """Stops a process as SIGSTOP does, its handlers with it; it goes on by itself."""
        victim = self._strike(peer)
        until = self._world.now + round(seconds * SECOND_NS)
        victim.paused_until = max(victim.paused_until, until)

    def slow(self, peer: str, factor: float) -> None:
        """From now on handlers at a peer take so many times as long as they would (`takes`)."""
        if factor <= 0:
            raise ValueError("a factor is above zero")
        self._strike(peer).speed = 1 / factor

    # The network.

    def partition(self, *groups: Sequence[str]) -> None:
        """Peers of different groups hear nothing of each other; those in none hear all."""
        members = [[self._strike(name).name for name in group] for group in groups]
        pairs = [
            (one, other)
            for index, group in enumerate(members)
            for rest in members[index + 1 :]
            for one in group
            for other in rest
        ]
        self._sever(pairs, both=True)

    def cut(self, sender: str, receiver: str) -> None:
        """The receiver hears nothing of the sender any more; the other way round, as before."""
        self._sever([(self._strike(sender).name, self._strike(receiver).name)], both=False)

    def heal(self) -> None:
        """Every partition and cut ends, and all that was said about the network."""
        self._world.network.heal()
        self._conditions, self._imposed = CALM, 0

    def loss(self, share: float) -> None:
        """From now on frames are lost, each with this probability."""
        self._impose(loss=_probability(share))

    def duplication(self, share: float) -> None:
        """From now on frames arrive twice, each with this probability."""
        self._impose(duplication=_probability(share))

    def reorder(self, share: float) -> None:
        """From now on frames may overtake others, each with this probability."""
        self._impose(reorder=_probability(share))

    def delay(self, least: float, most: float | None = None) -> None:
        """From now on frames take between so many seconds; by default 0.1 to 0.4 ms."""
        self._impose(
            delay_least_ns=round(least * SECOND_NS),
            delay_most_ns=round((least if most is None else most) * SECOND_NS),
        )

    # Schedules.

    def play(self, schedule: "Sequence[Fault] | str | Path") -> None:
        """Has a schedule of faults strike, beginning now.

        Args:
            schedule: faults (`simulations.schedule`), the name of a scenario of ``mesh sim
                list``, or the path of a scenario in TOML.

        Raises:
            PlanError: there is no such scenario, or a fault names a peer that is not here.
        """
        injector = Injector(faults_of(schedule, self._world.seed, len(self._world.peers)))
        self._deaths.injector = injector
        self._had_faults = True
        injector.begin(self._world)

    # Inside.

    def _make_peace(self) -> bool:
        """Everything is mended and restarted; whether there was anything to mend."""
        world = self._world
        self.heal()
        (self._deaths.injector or Injector(())).make_peace(world)
        for peer in world.peers:
            peer.speed = 1.0
        return self._had_faults

    def _named(self, name: str) -> SimulatedPeer:
        for peer in self._world.peers:
            if peer.name == name:
                return peer
        names = ", ".join(peer.name for peer in self._world.peers)
        raise ValueError(f"there is no {name!r}; the peers are {names}")

    def _strike(self, name: str) -> SimulatedPeer:
        self._had_faults = True
        return self._named(name)

    def _sever(self, pairs: list[tuple[str, str]], *, both: bool) -> None:
        cuts = [
            Cut(at_ms=0, draw=0, peer=one, other=other, both=both, for_ms=FOREVER_MS)
            for one, other in pairs
        ]
        Injector(cuts).begin(self._world)

    def _impose(self, **changes: float) -> None:
        self._had_faults = True
        network = self._world.network
        if self._imposed:
            network.lift(self._imposed)
        self._conditions = msgspec.structs.replace(self._conditions, **changes)
        self._imposed = network.impose(self._conditions)


def _probability(share: float) -> float:
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no probability")
    return share
