"""How many messages one after another it takes to settle something, between production cores."""

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant
from protocols.voting.ballot_commands import (
    AdoptElectorate,
    AskVoter,
    BallotDecided,
    CastAnswer,
    OpenBallot,
)
from protocols.voting.ledger import Transact
from protocols.voting.log_commands import FollowElectorate, PutInOrder, PutInOrderDone
from protocols.voting.log_messages import LogProposal
from protocols.wire import encode
from simulations.clock import Clocks
from simulations.network import NetworkConditions
from simulations.observations import Sent
from simulations.peer import SimulatedPeer
from simulations.world import World

DELAY_NS = 100 * MILLISECOND_NS
"""Of every message: far more than disks and clocks take besides."""


class Watch:
    """Notes when something was first said, and when it was last told."""

    hears = (AskVoter, LogProposal, BallotDecided, PutInOrderDone)

    def __init__(self) -> None:
        self.jobs: list[tuple[SimulatedPeer, AskVoter]] = []
        self.asked: list[Instant] = []
        self.proposed: Instant = 0
        self.told: list[Instant] = []

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note."""
        match event:
            case AskVoter():
                self.jobs.append((peer, event))
                self.asked.append(world.now)
            case Sent():
                self.proposed = self.proposed or world.now
            case _:
                self.told.append(world.now)

    def finish(self, world: World) -> None:
        """Nothing is left to say."""


def four() -> tuple[World, Watch]:
    """Four electors that know each other, over links of one delay."""
    watch = Watch()
    same = NetworkConditions(delay_least_ns=DELAY_NS, delay_most_ns=DELAY_NS)
    world = World(1, 4, conditions=same, checkers=(watch,))
    world.elect(4)
    for peer in world.peers:
        peer.clocks = Clocks(0)  # a block from the future waits for its time
        peer.start(())
    for peer in world.peers:
        peer.submit(AdoptElectorate(world.bundle))
        peer.submit(FollowElectorate(world.bundle))
    world.run(5 * SECOND_NS)
    return world, watch


def ask(world: World, close_ms: int) -> None:
    question = encode({"text": "x"})
    command = OpenBallot(1, "judge", "1", question, close_ms=close_ms, deadline_ms=60_000)
    assert world.peers[0].submit(command) is None
    world.run(SECOND_NS)


def delays(since: Instant, until: Instant) -> int:
    return (until - since) // DELAY_NS


def test_a_ballot_is_settled_four_delays_after_the_last_answer() -> None:
    world, watch = four()
    ask(world, close_ms=30_000)
    for peer, job in watch.jobs:
        world.run(SECOND_NS)
        peer.submit(CastAnswer(job.ballot, encode("yes")))
    last = world.now
    world.run(5 * SECOND_NS)
    assert len(watch.told) == 4
    assert delays(last, watch.told[0]) == delays(last, watch.told[-1]) == 4


def test_a_ballot_that_waits_for_a_voter_is_settled_three_delays_after_the_last_close() -> None:
    world, watch = four()
    close_ms = 3_000
    ask(world, close_ms)
    # The opener's own close comes first, that of those whom it asked one delay later.
    others = [(peer, job) for peer, job in watch.jobs if peer is not world.peers[3]]
    assert len(others) == 3
    for peer, job in others:
        peer.submit(CastAnswer(job.ballot, encode("yes")))
    last_close = watch.asked[-1] + close_ms * MILLISECOND_NS
    world.run(10 * SECOND_NS)
    assert len(watch.told) == 4
    assert [delays(last_close, told) for told in watch.told] == [3] * 4


def test_a_log_entry_is_settled_three_delays_after_its_proposal() -> None:
    world, watch = four()
    assert world.peers[0].submit(PutInOrder(1, (Transact(reads=("key",)),))) is None
    world.run(5 * SECOND_NS)
    (told,) = watch.told
    assert delays(watch.proposed, told) == 3
