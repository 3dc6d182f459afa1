"""What experiments on membership share: meshes that have met, and what they count."""

import math
import random
from collections.abc import Callable, Sequence

import msgspec

from mesh.core.settings import CoreSettings
from protocols.gossip.events import MemberDown, MemberSuspected, MemberUp
from protocols.gossip.parameters import GossipParameters
from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant
from simulations.adversaries import ADVERSARIES
from simulations.network import Network, NetworkConditions
from simulations.peer import SimulatedPeer
from simulations.world import World

LOCAL_NETWORK = NetworkConditions(
    delay_least_ns=300_000, delay_most_ns=2 * MILLISECOND_NS
)  # fmt: skip
MEETING_NS = 60 * SECOND_NS
"""Within so long all have met, or the experiment fails."""
QUIET_NS = 5 * SECOND_NS
"""So long after all have met the rumours of it have died down."""

MakeNetwork = Callable[[NetworkConditions, random.Random], Network]


class Change(msgspec.Struct, frozen=True):
    """One peer's view of one member changed: to ``up``, ``suspect``, ``dead`` or ``left``."""

    at: Instant
    observer: bytes
    subject: bytes
    state: str


class Views:
    """Every change of any peer's view. A checker that objects to nothing."""

    hears: tuple[type[msgspec.Struct], ...] = (MemberUp, MemberSuspected, MemberDown)

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Notes a change."""
        match event:
            case MemberUp():
                self._note(world, peer, event.peer, "up")
            case MemberSuspected():
                self._note(world, peer, event.peer, "suspect")
            case MemberDown():
                self._note(world, peer, event.peer, event.reason)

    def _note(self, world: World, peer: SimulatedPeer, subject: bytes, state: str) -> None:
        self.changes.append(Change(world.now, peer.peer, subject, state))

    def finish(self, world: World) -> None:
        """Nothing is wrong."""

    def take(self) -> list[Change]:
        """All changes since the last call; they are forgotten."""
        changes, self.changes = self.changes, []
        return changes

    def deaths(self) -> list[Change]:
        """Who held whom dead, and when."""
        return [change for change in self.changes if change.state == "dead"]


class Stage:
    """A mesh whose peers have all met, and what has been seen of it since."""

    def __init__(
        self,
        seed: int,
        peers: int,
        parameters: GossipParameters | None = None,
        conditions: NetworkConditions = LOCAL_NETWORK,
        make_network: MakeNetwork = Network,
    ) -> None:
        """Starts all peers and lets them meet.

        Raises:
            AssertionError: they do not meet.
        """
        self.views = Views()
        settings = CoreSettings(gossip=parameters or GossipParameters())
        self.world = World(seed, peers, settings, checkers=(self.views,))
        self._conditions = conditions
        self.rng = random.Random(f"experiment {seed}")
        self.network = make_network(conditions, random.Random(self.rng.getrandbits(64)))
        self.world.network = self.network
        for peer in self.world.peers:
            peer.start(())
        met = self.world.run_until(self.is_whole, MEETING_NS, 250 * MILLISECOND_NS)
        assert met, f"{peers} peers do not meet within {MEETING_NS // SECOND_NS} s"
        self.run(QUIET_NS)
        self.views.changes.clear()

    def lose(self, share: float) -> None:
        """From now on so many of all frames are lost."""
        lossy = msgspec.structs.replace(self._conditions, loss=share)
        self.network.impose(lossy)

    def kill(self, victim: SimulatedPeer, links_tell: bool) -> None:
        """Kill -9; where links do not tell, nothing but silence shows it."""
        if not links_tell:
            for other in self.world.peers:
                other.links.pop(victim.peer, None)
                self.network.cut(other.peer, victim.peer)
        victim.stop()

    def slander(self, liars: int) -> None:
        """The last peers accuse everybody of being dead from now on."""
        for peer in self.world.peers[len(self.world.peers) - liars :]:
            self.world.corrupt(peer, ADVERSARIES["slanderer"]())

    def run(self, duration_ns: int) -> None:
        """Lets time pass, in stretches of at most a second (the world bounds events in one)."""
        end = self.world.now + duration_ns
        while self.world.now < end:
            self.world.run(min(SECOND_NS, end - self.world.now))

    def is_whole(self) -> bool:
        """Whether every running peer holds exactly the running ones for alive, none suspect."""
        running = [peer for peer in self.world.peers if peer.core is not None]
        for peer in running:
            core = peer.core
            if core is None or len(core.gossip.alive()) != len(running) - 1:
                return False
        return all(
            member.state != "suspect" and (member.state == "alive") == self._runs(member.peer)
            for peer in running
            if peer.core is not None
            for member in peer.core.gossip.members()
        )

    def _runs(self, peer: bytes) -> bool:
        return self.world.by_id[peer].core is not None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
