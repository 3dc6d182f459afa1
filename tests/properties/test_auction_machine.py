"""Two issuers, three bidders, a network that loses, repeats and reorders, and crashes.

The invariants of every machine are checked after every step. Between them hold:
no honest peer is blamed; a bidder never grants more than it has; and once messages
flow again, issuers hold what they want as far as there is any, and both sides agree.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocols.auction.commands import (
    CandidateDown,
    CandidateUp,
    ObserveWork,
    ReleaseSlots,
    SetCapacity,
)
from tests.protocols.auction.mesh import SKILL, Mesh

ISSUERS = ("i", "j")
BIDDERS = ("i", "b", "c")
PEERS = ("i", "j", "b", "c")

issuers = st.sampled_from(ISSUERS)
bidders = st.sampled_from(BIDDERS)
peers = st.sampled_from(PEERS)


class Auctions(RuleBasedStateMachine):
    """Arbitrary interleavings of five roles played by four peers."""

    @initialize(slots=st.tuples(*[st.integers(1, 5)] * 3))
    def start(self, slots: tuple[int, int, int]) -> None:
        self.mesh = Mesh(*PEERS)
        self.capacity = dict.fromkeys(PEERS, 0)
        self.wanted = dict.fromkeys(PEERS, 0)
        for name, count in zip(BIDDERS, slots, strict=True):
            self.capacity[name] = count
            self.mesh.submit(name, SetCapacity(*SKILL, count))
        for name in PEERS:
            self.introduce(name)

    def introduce(self, name: str) -> None:
        """All others hear of a peer, and it of them."""
        for other in PEERS:
            if other != name:
                self.mesh.submit(other, self.up(name))
                self.mesh.submit(name, self.up(other))

    def up(self, name: str) -> CandidateUp:
        peer = self.mesh[name]
        return CandidateUp(peer.id, peer.boot, (SKILL,) if self.capacity[name] else ())

    @rule(name=issuers, units=st.integers(0, 12))
    def seek(self, name: str, units: int) -> None:
        self.wanted[name] = units
        self.mesh.seek(name, units)

    @rule(name=issuers, slots=st.integers(1, 5))
    def release(self, name: str, slots: int) -> None:
        held = [(key, count) for key, count in self.mesh[name].held.items() if count]
        if held:
            (lot, bidder), count = held[0]
            given = min(slots, count)
            self.mesh[name].held[(lot, bidder)] -= given
            self.mesh.submit(name, ReleaseSlots(lot, bidder, given))

    @rule(name=bidders, slots=st.integers(0, 6))
    def resize(self, name: str, slots: int) -> None:
        self.capacity[name] = slots
        self.mesh.submit(name, SetCapacity(*SKILL, slots))
        for other in PEERS:
            if other != name:
                self.mesh.submit(other, self.up(name))

    @rule(name=bidders, queued=st.integers(0, 9), mean=st.integers(0, 5_000))
    def work(self, name: str, queued: int, mean: int) -> None:
        self.mesh.submit(name, ObserveWork(*SKILL, queued, mean))

    @rule(count=st.integers(1, 30))
    def deliver(self, count: int) -> None:
        for _ in range(count):
            self.mesh.step()

    @rule(data=st.data())
    def deliver_out_of_order(self, data: st.DataObject) -> None:
        if self.mesh.queue:
            index = data.draw(st.integers(0, len(self.mesh.queue) - 1))
            entry = self.mesh.queue[index]
            del self.mesh.queue[index]
            self.mesh.deliver(*entry)

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        if self.mesh.queue:
            del self.mesh.queue[data.draw(st.integers(0, len(self.mesh.queue) - 1))]

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        recent = self.mesh.sent[-40:]
        if recent:
            self.mesh.deliver(*data.draw(st.sampled_from(recent)))

    @rule(milliseconds=st.sampled_from([1, 6, 26, 300, 1_100, 3_100]))
    def pause(self, milliseconds: int) -> None:
        self.mesh.now_ns += milliseconds * 1_000_000
        for peer in self.mesh.peers.values():
            self.mesh.absorb(peer, peer.auction.wake(self.mesh.now))

    @rule(name=peers, is_noticed=st.booleans())
    def crash(self, name: str, is_noticed: bool) -> None:
        self.mesh.queue = type(self.mesh.queue)(
            entry for entry in self.mesh.queue if name not in entry[:2]
        )
        self.mesh[name].start()
        self.wanted[name] = 0
        if self.capacity[name]:
            self.mesh.submit(name, SetCapacity(*SKILL, self.capacity[name]))
        for other in PEERS:
            if other != name:
                self.mesh.submit(name, self.up(other))
        if is_noticed:
            self.introduce(name)

    @rule(name=peers, other=peers)
    def suspect_wrongly(self, name: str, other: str) -> None:
        if name != other:
            self.mesh.submit(name, CandidateDown(self.mesh[other].id, "suspected"))

    @invariant()
    def nothing_is_promised_twice(self) -> None:
        for name, peer in self.mesh.peers.items():
            assert sum(peer.granted.values()) <= self.capacity[name]
            assert sum(peer.granted.values()) == peer.auction.granted(*SKILL)
            assert peer.slots == peer.auction.held(*SKILL)
            assert all(count >= 0 for count in peer.held.values())

    @invariant()
    def nobody_honest_is_blamed(self) -> None:
        for peer in self.mesh.peers.values():
            assert peer.blames == []

    def teardown(self) -> None:
        """Faults stop: what is wanted flows as far as there is any, and both sides agree."""
        if not hasattr(self, "mesh"):
            return
        for name in PEERS:
            self.introduce(name)
        self.mesh.advance(20_000)
        held = sum(self.mesh[name].slots for name in PEERS)
        granted = sum(sum(peer.granted.values()) for peer in self.mesh.peers.values())
        surplus = sum(max(0, self.mesh[n].slots - self.wanted[n]) for n in PEERS)
        wanted = sum(self.wanted.values())
        assert held == granted, "both sides agree on what is held"
        assert held - surplus >= min(wanted, sum(self.capacity.values()) - surplus)
        for name in PEERS:
            self.mesh.seek(name, 0)
            for (lot, bidder), count in self.mesh[name].held.items():
                self.mesh.submit(name, ReleaseSlots(lot, bidder, count))
                self.mesh[name].held[(lot, bidder)] = 0
        self.mesh.advance(5_000)
        assert self.mesh.next_deadline() is None, "an idle mesh is quiet"


TestAuctions = Auctions.TestCase
TestAuctions.settings = settings(max_examples=60, stateful_step_count=40)
