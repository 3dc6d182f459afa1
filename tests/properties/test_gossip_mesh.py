"""Several gossip machines under crashes, stops, loss and partitions: in the end they agree."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from protocols.gossip.commands import Leave
from tests.protocols.gossip.support import Mesh, Peer, mesh_of

PEERS = 5
numbers = st.integers(0, PEERS - 1)


class GossipMesh(RuleBasedStateMachine):
    """Peer 0 is never killed, so that somebody always remembers."""

    mesh: Mesh
    peers: list[Peer]

    @initialize(seed=st.integers(0, 2**32 - 1))
    def begin(self, seed: int) -> None:
        self.mesh = mesh_of(PEERS, seed=seed)
        self.peers = self.mesh.running()
        self.highest: dict[bytes, int] = {}
        self.boots: dict[bytes, tuple[int, int]] = {}

    @rule(seconds=st.floats(0.01, 8))
    def time_passes(self, seconds: float) -> None:
        self.mesh.run(seconds)

    @rule(number=st.integers(1, PEERS - 1))
    def one_is_killed(self, number: int) -> None:
        self.mesh.kill(self.peers[number])

    @rule(number=numbers)
    def one_is_started_from_its_disk(self, number: int) -> None:
        if self.peers[number].gossip is None:
            self.mesh.start(self.peers[number])

    @rule(number=numbers)
    def one_is_stopped(self, number: int) -> None:
        if self.peers[number].gossip is not None:
            self.mesh.pause(self.peers[number])

    @rule(number=numbers)
    def one_is_resumed(self, number: int) -> None:
        if self.peers[number].paused:
            self.mesh.resume(self.peers[number])

    @rule(number=st.integers(1, PEERS - 1))
    def one_leaves_and_ends(self, number: int) -> None:
        if self.peers[number].gossip is not None:
            self.mesh.submit(self.peers[number], Leave())
            self.mesh.kill(self.peers[number])

    @rule(side=st.sets(numbers))
    def the_network_parts(self, side: set[int]) -> None:
        self.mesh.cut = lambda source, target: (source.number in side) != (target.number in side)

    @rule(number=numbers)
    def one_is_not_heard(self, number: int) -> None:
        self.mesh.cut = lambda source, target: source.number == number

    @rule(share=st.floats(0, 0.5))
    def frames_are_lost(self, share: float) -> None:
        self.mesh.loss = share

    @precondition(lambda self: any(not peer.paused for peer in self.peers))
    @rule()
    def all_faults_end(self) -> None:
        self.mesh.cut = lambda source, target: False
        self.mesh.loss = 0.0
        for peer in self.peers:
            if peer.paused:
                self.mesh.resume(peer)
        self.mesh.run_until(self.mesh.converged, seconds=90, step_s=1)

    @invariant()
    def every_machine_keeps_its_invariants(self) -> None:
        self.mesh.check()

    @invariant()
    def an_incarnation_is_never_used_by_two_boots(self) -> None:
        for peer in self.mesh.running():
            mine = self.mesh.machine(peer).record_of(peer.id)
            assert mine is not None
            boot, incarnation = self.boots.get(peer.id, (0, 0))
            assert mine.incarnation >= incarnation
            assert mine.boot == boot or mine.incarnation > incarnation
            self.boots[peer.id] = (mine.boot, mine.incarnation)

    @invariant()
    def nobody_is_blamed(self) -> None:
        assert not any(peer.blames for peer in self.peers)

    def teardown(self) -> None:
        """No live peer is dead for ever."""
        if hasattr(self, "peers"):
            self.all_faults_end()


TestGossipMesh = GossipMesh.TestCase
TestGossipMesh.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
