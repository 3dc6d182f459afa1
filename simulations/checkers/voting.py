"""Voting goes on when faults are over, and which invariants of voting a run is held to.

Invariants:
    voting-progress: with a quorum of electors up and connected, other electors take over if the
        root says so, a ballot is decided and an order carried out, in good time; and what was
        asked before ends too.
"""

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS, Instant
from protocols.voting.ballot_commands import BallotDecided, BallotOpened
from protocols.voting.blocks import CLOCK_SLACK_MS, Block
from protocols.voting.ledger import Transact
from protocols.voting.log_commands import PutInOrderDone
from simulations.auditing import Electorate, wall_ms
from simulations.checkers.ballots import BallotsAreSound, NobodySignsAgainstItself
from simulations.checkers.exclusive import ExclusiveTasks
from simulations.checkers.ordered_log import LogIsLinearisable, OneLog
from simulations.observations import DiskForgot
from simulations.peer import SimulatedPeer
from simulations.plan import Plan
from simulations.schedule import Clock, DiskTrouble
from simulations.voting_load import LONG_MS, RIGHT, VotingClients
from simulations.world import Checker, Violation, World

CLOSE_MS = 2_000
BALLOT_LATE_NS = 40 * SECOND_NS
"""Its close, and the views of all liars and of whoever was just told that nobody is dead."""
ORDER_LATE_NS = 120 * SECOND_NS
"""Most of the time goes by in views of electors whose clocks are ahead of the others'."""
LOOKED_NS = 250 * MILLISECOND_NS


class VotingGoesOn:
    """After faults one more ballot and one more order, and those that had time enough."""

    hears = (BallotOpened, BallotDecided, PutInOrderDone, DiskForgot)

    def __init__(self, electorate: Electorate, clients: VotingClients, jumps: bool) -> None:
        self._electorate = electorate
        self._clients = clients
        self._jumps = jumps
        self._opened: dict[bytes, tuple[bytes, int]] = {}
        self._epochs: dict[bytes, int] = {}
        self._decided: dict[bytes, dict[bytes, None]] = {}
        self._answered: dict[int, None] = {}
        self._forgot: dict[bytes, Instant] = {}

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Takes note of beginnings and ends."""
        if peer.liar is not None:
            return
        match event:
            case BallotOpened():
                self._opened[event.ballot] = (peer.peer, event.request)
                roll = None if peer.core is None else peer.core.voting.electorate
                self._epochs[event.ballot] = 0 if roll is None else roll.epoch
            case BallotDecided():
                self._decided.setdefault(event.ballot, {})[peer.peer] = None
            case PutInOrderDone():
                self._answered[event.request] = None
            case DiskForgot():
                self._forgot[peer.peer] = world.now

    def finish(self, world: World) -> None:
        """Asks once more, at an elector that has everything it had ever written."""
        self._ask_once_more(world)
        undecided = [each for each in self._opened if each not in self._decided]
        if undecided and self._electorate.forgetful:
            # Too few voters or electors remember it: a ballot is asked about until its deadline.
            world.coverage["a ballot that nobody can decide ends at its deadline"] += 1
            world.run(2 * LONG_MS * MILLISECOND_NS)

    def _ask_once_more(self, world: World) -> None:
        able = self._electorate.able(world)
        if len(able) < self._electorate.quorum:
            world.coverage["too few electors are left to go on"] += 1
            return
        if self._clients.later:
            self._take_over(world, able[0])
            able = self._electorate.able(world)
            if len(able) < self._electorate.quorum:
                world.coverage["too few electors are left to go on"] += 1
                return
        self._settle_a_ballot(world, able)
        self._put_in_order(world, able)
        self._nothing_is_left(world)

    def _take_over(self, world: World, one: SimulatedPeer) -> None:
        """What the root has signed is settled, and everybody gets to know it."""
        if len(self._timely(self._electorate.able(world))) < self._electorate.quorum:
            return
        later = self._clients.later
        epoch, _ = world.rolls[later]
        self._clients.change(world, one)

        def is_known() -> bool:
            running = [peer.core for peer in world.honest if peer.is_running]
            rolls = [None if core is None else core.voting.electorate for core in running]
            return all(roll is not None and roll.epoch >= epoch for roll in rolls)

        if not world.run_until(is_known, ORDER_LATE_NS, LOOKED_NS):
            raise Violation(f"voting-progress: the electors of epoch {epoch} do not take over")

    def _settle_a_ballot(self, world: World, able: list[SimulatedPeer]) -> None:
        one = able[0]
        if not self._clients.ask(world, one, "majority", (RIGHT, "no"), 0, CLOSE_MS, 90_000):
            raise Violation(f"voting-progress: {one.name} opens no ballot")
        request = self._clients.newest
        world.run(MILLISECOND_NS * 100)
        asked = [ballot for ballot, who in self._opened.items() if who == (one.peer, request)]

        def is_decided() -> bool:
            return bool(asked) and all(
                peer.peer in self._decided.get(asked[0], {}) for peer in able
            )

        if not world.run_until(is_decided, BALLOT_LATE_NS, LOOKED_NS):
            raise Violation(f"voting-progress: {one.name}'s ballot is not decided by all")

    def _timely(self, able: list[SimulatedPeer]) -> list[SimulatedPeer]:
        """Those that would accept a block that follows the last one."""
        logs = [peer.core.log for peer in able if peer.core is not None]
        newest = max(logs, key=lambda log: log.height).settled(0)
        time_ms = msgspec.msgpack.decode(newest[-1].payload, type=Block).time_ms if newest else 0
        return [peer for peer in able if wall_ms(peer) + CLOCK_SLACK_MS >= time_ms]

    def _put_in_order(self, world: World, able: list[SimulatedPeer]) -> None:
        timely = self._timely(able)
        if len(timely) < self._electorate.quorum:
            world.coverage["too few clocks are right for the log to go on"] += 1
            return
        one = timely[0]
        if not self._clients.put(world, one, (Transact(reads=("key-0",)),)):
            raise Violation(f"voting-progress: {one.name} takes no order")
        request = self._clients.newest
        if not world.run_until(lambda: request in self._answered, ORDER_LATE_NS, LOOKED_NS):
            raise Violation(f"voting-progress: {one.name}'s order is not carried out")

    def _nothing_is_left(self, world: World) -> None:
        """Ballots with much time, of openers that still know of them, were decided.

        Those of earlier electors need not be: some of them may not be asked any more.
        """
        for ballot, (opener, request) in self._opened.items():
            is_known = opener not in self._forgot and world.by_id[opener].is_running
            is_long = request in self._clients.long
            is_known = is_known and self._epochs[ballot] == self._electorate.epoch
            if is_known and is_long and not self._jumps and ballot not in self._decided:
                name = world.by_id[opener].name
                raise Violation(f"voting-progress: nobody has decided {name}'s ballot {request}")


def voting_checkers(
    plan: Plan, electorate: Electorate, clients: VotingClients
) -> tuple[Checker, ...]:
    """What a run is held to where there is something to vote on, and who asks."""
    if not plan.scenario.voting.is_any:
        return ()
    jumps = any(isinstance(fault, Clock) and bool(fault.jump_ms) for fault in plan.faults)
    log = OneLog(electorate)
    return (
        clients,
        BallotsAreSound(electorate),
        NobodySignsAgainstItself(electorate),
        VotingGoesOn(electorate, clients, jumps),
        log,
        LogIsLinearisable(electorate, log),
        ExclusiveTasks(log, _is_timely(plan)),
    )


def _is_timely(plan: Plan) -> bool:
    """Whether wall clocks are about right, and nothing but a process is ever held up."""
    scenario = plan.scenario
    is_right = 0 < scenario.voting.skew_ms < CLOCK_SLACK_MS and not scenario.liars
    return is_right and not any(isinstance(fault, Clock | DiskTrouble) for fault in plan.faults)
