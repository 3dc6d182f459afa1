"""Clients of ballots and of the ordered log, and the agents that answer for voters.

Ballots are opened anywhere, at instants that the seed draws. Agents are right, wrong, surely
wrong, slow, silent, or have no answer; asked again after a restart they may say something
else. Orders are put at electors: swaps, reads, transactions over several keys, leases.
"""

import random
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from protocols.machine import MILLISECOND_NS
from protocols.quorum import tolerated
from protocols.voting.ballot_commands import (
    AdoptElectorate,
    AskVoter,
    CastAnswer,
    ElectorateChanged,
    OpenBallot,
    ProposeElectorate,
)
from protocols.voting.ledger import Acquire, Action, Release, Renew, Result, Transact
from protocols.voting.log_commands import FollowElectorate, PutInOrder, PutInOrderDone
from protocols.voting.roll import ELECTORS_LIMIT
from protocols.wire import encode
from simulations.clock import Clocks
from simulations.observations import PeerStarted
from simulations.peer import SimulatedPeer
from simulations.schedule import Share
from simulations.world import World

ADOPTED_NS = MILLISECOND_NS
"""So long after its start a peer is told who the electors are."""
RIGHT, OTHERS = "yes", ("no", "maybe")
RIGHT_NUMBER, WRONG_NUMBERS = 10, (-1_000, 0, 1_000_000)
RULES = ("majority", "majority", "supermajority:2/3", "supermajority:2/3:vetoes", "unanimous")
MEDIAN = "median"
FIRST_REQUEST = 1 << 50
SMALLEST_ELECTORATE = 4
SURE = 1_000_000
NEVER_SLOWER_MS = 6_000
LONG_MS = 90_000
"""A ballot that is given so long sees the end of all faults, and has time enough then."""


class VotingLoad(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is decided and put in order in a run. Shares are of the answers of agents."""

    ballots: int = 0
    orders: int = 0
    electors: Annotated[int, msgspec.Meta(ge=0, le=ELECTORS_LIMIT)] = 0
    """The last so many peers; 0: the seed draws, from 4 to all."""
    keys: Annotated[int, msgspec.Meta(ge=1)] = 3
    leases: Annotated[int, msgspec.Meta(ge=1)] = 2
    skew_ms: Annotated[int, msgspec.Meta(ge=0)] = 0
    """By how much the electors' wall clocks differ; 0: as wildly as those of all peers."""
    changes: int = 0
    """How often somebody changes who the electors are, or tries to again."""
    panels: Share = 0.1
    """Ballots in which not all electors vote."""
    wrong: Share = 0.12
    sure: Share = 0.05
    """Wrong, and as confident as can be."""
    abstaining: Share = 0.06
    slow: Share = 0.06
    """These come after the close, most of them."""
    silent: Share = 0.03

    @property
    def is_any(self) -> bool:
        """Whether there is something to vote on."""
        return bool(self.ballots or self.orders)


class Ordered(msgspec.Struct, frozen=True):
    """A client's actions were taken; an answer is to be expected."""

    request: int
    actions: tuple[Action, ...]


class VotingClients:
    """Opens ballots, answers for voters, and puts actions in order.

    Attributes:
        long: the requests for ballots of all electors that last for longer than any fault. One
            voter that has forgotten it, or is gone, is too many for a small panel.
    """

    hears = (PeerStarted, AskVoter, PutInOrderDone, ElectorateChanged)

    def __init__(self, load: VotingLoad, rng: random.Random) -> None:
        self._load = load
        self._rng = rng
        self._requests = FIRST_REQUEST
        self._values = 0
        self.long: dict[int, None] = {}
        self._asked: dict[int, tuple[Action, ...]] = {}
        self._tokens: dict[str, int] = {}
        """The newest token that any client knows, by lease."""
        self.later = b""
        """Who are to be the electors, until those of today have settled it."""

    def elect(self, world: World) -> None:
        """Before anybody starts: who the electors are."""
        if not self._load.is_any:
            return
        count = len(world.peers)
        least = min(SMALLEST_ELECTORATE, count)
        world.elect(min(self._load.electors or self._rng.randint(least, count), ELECTORS_LIMIT))
        for peer in world.peers if self._load.skew_ms else ():
            peer.clocks = Clocks(self._rng.randrange(self._load.skew_ms) * MILLISECOND_NS)

    def begin(self, world: World, duration_ns: int) -> None:
        """Plans all ballots and orders."""
        load = self._load
        plans: list[tuple[Callable[[World, SimulatedPeer], object], int]] = [
            (self.open, load.ballots), (self.order, load.orders), (self.change, load.changes),
        ]  # fmt: skip
        for what, count in plans:
            for _ in range(count):
                world.after(self._rng.randrange(duration_ns), self._somewhere(world, what))

    def _somewhere(
        self, world: World, what: Callable[[World, SimulatedPeer], object]
    ) -> Callable[[], None]:
        def act() -> None:
            running = [peer for peer in world.peers if peer.is_running]
            if running:
                what(world, self._rng.choice(running))

        return act

    @property
    def newest(self) -> int:
        """The number of the newest request."""
        return self._requests

    # What clients ask.

    def open(self, world: World, peer: SimulatedPeer) -> None:
        """A ballot of some kind."""
        rng = self._rng
        is_number = rng.random() < 0.15
        voters = rng.randint(3, 5) if rng.random() < self._load.panels else 0
        close_ms = rng.randint(300, 3_000)
        deadline_ms = close_ms + rng.choice((2_000, LONG_MS, 2 * LONG_MS))
        options = (RIGHT, *OTHERS) if rng.random() < 0.5 and not is_number else ()
        rule = MEDIAN if is_number else rng.choice(RULES)
        is_taken = self.ask(world, peer, rule, options, voters, close_ms, deadline_ms)
        if is_taken and deadline_ms > LONG_MS and not voters:
            self.long[self._requests] = None

    def ask(
        self,
        world: World,
        peer: SimulatedPeer,
        rule: str,
        options: tuple[str, ...],
        voters: int,
        close_ms: int,
        deadline_ms: int,
    ) -> bool:
        """Opens a ballot at a peer; False where it is refused."""
        self._requests += 1
        question = encode({"is_number": rule == MEDIAN, "about": self._requests})
        folding = "number" if rule == MEDIAN else "text"
        refused = peer.submit(
            OpenBallot(
                self._requests, "judge", "1", question, rule, folding, options, voters,
                close_ms, deadline_ms,
            )
        )  # fmt: skip
        if refused is not None:
            world.coverage[f"a ballot is refused: {refused.kind}"] += 1
        return refused is None

    def order(self, world: World, peer: SimulatedPeer) -> bool:
        """Puts something in order; False where it is refused."""
        return self.put(world, peer, self.actions(peer.name))

    def put(self, world: World, peer: SimulatedPeer, actions: tuple[Action, ...]) -> bool:
        """Puts actions in order at a peer; False where they are refused."""
        self._requests += 1
        refused = peer.submit(PutInOrder(self._requests, actions))
        if refused is not None:
            world.coverage[f"an order is refused: {refused.kind}"] += 1
            return False
        self._asked[self._requests] = actions
        world.observe(peer, Ordered(self._requests, actions))
        return True

    def actions(self, holder: str) -> tuple[Action, ...]:
        """Something to put in order, for somebody who would hold leases by this name."""
        rng = self._rng
        draw = rng.random()
        if draw < 0.25:
            return (self._lease(holder),)
        if draw < 0.4:
            return (self._transaction(), self._swap())
        return (self._swap(),)

    def _swap(self) -> Transact:
        """A read, a write, or a write if nothing else was written."""
        rng, key = self._rng, self._key()
        draw = rng.random()
        if draw < 0.3:
            return Transact(reads=(key,))
        checks = ((key, self._guess()),) if draw < 0.7 else ()
        written = None if rng.random() < 0.1 else self._value()
        return Transact(checks=checks, writes=((key, written),), reads=(key,))

    def _transaction(self) -> Transact:
        rng = self._rng
        one, other = self._key(), self._key()
        held = tuple(sorted(self._tokens.items()))[:1] if rng.random() < 0.3 else ()
        checks = ((one, self._guess()),) if rng.random() < 0.3 else ()
        writes = ((one, self._value()), (other, self._value()))
        return Transact(checks=checks, held=held, writes=writes, reads=(one, other))

    def _lease(self, holder: str) -> Action:
        rng = self._rng
        name = f"lease-{rng.randrange(self._load.leases)}"
        ttl_ms = rng.choice((200, 2_000, 20_000))
        token = self._tokens.get(name, 0)
        draw = rng.random()
        if token and draw < 0.2:
            return Release(name, token)
        if token and draw < 0.4:
            return Renew(name, token, ttl_ms)
        return Acquire(name, holder, ttl_ms)

    def _key(self) -> str:
        return f"key-{self._rng.randrange(self._load.keys)}"

    def _value(self) -> bytes:
        """Another one each time, so that a history tells whose write was read."""
        self._values += 1
        return b"%d" % self._values

    def _guess(self) -> bytes | None:
        """One of the last values, or none at all."""
        back = self._rng.randrange(4)
        return b"%d" % (self._values - back) if back and self._values > back else None

    def change(self, world: World, peer: SimulatedPeer) -> None:
        """The root signs other electors, if the last ones are settled; a peer is told of them."""
        if not self.later:
            epoch, today = world.rolls[world.bundle]
            electors = self._others(world, today)
            if electors == today:
                return
            self.later = world.sign_roll(epoch + 1, electors)
        refused = peer.submit(ProposeElectorate(self.later))
        if refused is not None:
            world.coverage[f"other electors are refused: {refused.kind}"] += 1

    def _others(self, world: World, today: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """One more, one less, or another one; as few liars among them as they bear."""
        rng = self._rng
        candidates = [each.peer for each in world.peers if each.peer not in today]
        electors = list(today)
        kind = rng.choice(("add", "add", "remove", "replace"))
        if kind != "add" and (kind == "replace" or len(electors) > SMALLEST_ELECTORATE):
            electors.remove(rng.choice(electors))
        if kind != "remove" and candidates and len(electors) < ELECTORS_LIMIT:
            electors.insert(rng.randrange(len(electors) + 1), rng.choice(candidates))
        liars = sum(world.by_id[each].liar is not None for each in electors)
        is_enough = len(electors) >= min(SMALLEST_ELECTORATE, len(world.peers))
        return tuple(electors) if is_enough and liars <= tolerated(len(electors)) else today

    # What peers say.

    def event(self, world: World, peer: SimulatedPeer, event: msgspec.Struct) -> None:
        """Tells a new process who the electors are, answers for voters, and learns tokens."""
        match event:
            case PeerStarted() if world.bundle:
                world.after(ADOPTED_NS, self._adopting(world, peer))
            case AskVoter():
                self._answer(world, peer, event)
            case ElectorateChanged() if peer.liar is None:
                # Whoever has no say takes anybody's word for it, a liar's too.
                epoch, _ = world.rolls.get(self.later, (0, ()))
                if event.epoch == epoch and peer.peer in world.rolls[world.bundle][1]:
                    world.bundle, self.later = self.later, b""
                    world.coverage["other electors are settled"] += 1
            case PutInOrderDone():
                self.learn(self._asked.pop(event.request, ()), event.results)

    def learn(self, actions: Sequence[Action], results: Sequence[Result]) -> None:
        """Takes the tokens of leases, for later actions."""
        for action, result in zip(actions, results, strict=False):
            if result.lease is not None and isinstance(action, Acquire):
                before = self._tokens.get(action.name, 0)
                self._tokens[action.name] = max(before, result.lease.token)

    def _adopting(self, world: World, peer: SimulatedPeer) -> Callable[[], None]:
        starts = peer.starts

        def adopt() -> None:
            if peer.core is None or peer.starts != starts:
                return
            if not peer.is_running:
                world.at(peer.paused_until, adopt)
                return
            for command in (AdoptElectorate(world.bundle), FollowElectorate(world.bundle)):
                if peer.starts == starts and peer.is_running:
                    peer.submit(command)

        return adopt

    def _answer(self, world: World, peer: SimulatedPeer, job: AskVoter) -> None:
        """An agent takes its time, and says something, or nothing."""
        rng, load, starts = self._rng, self._load, peer.starts
        draw = rng.random()
        kind = ""
        for name in ("wrong", "sure", "abstaining", "slow", "silent"):
            share = float(getattr(load, name))
            if draw < share:
                kind = name
                break
            draw -= share
        after_ms = rng.uniform(20, 400) if kind != "slow" else rng.uniform(300, NEVER_SLOWER_MS)
        world.coverage[f"a voter's agent is {kind or 'right'}"] += 1
        if kind == "silent":
            return
        command = self._said(job, kind)

        def say() -> None:
            if peer.core is None or peer.starts != starts:
                return
            if not peer.is_running:
                world.at(peer.paused_until, say)
                return
            world.observe(peer, command)
            peer.submit(command)

        world.after(round(after_ms * MILLISECOND_NS), say)

    def _said(self, job: AskVoter, kind: str) -> CastAnswer:
        if kind == "abstaining":
            return CastAnswer(job.ballot, b"", reason="it has no answer")
        is_number = msgspec.msgpack.decode(job.question)["is_number"]
        is_right = kind not in ("wrong", "sure")
        confidence = {"sure": SURE, "wrong": SURE // 5}.get(kind, -1)
        if is_number:
            value: object = RIGHT_NUMBER if is_right else self._rng.choice(WRONG_NUMBERS)
        else:
            value = RIGHT if is_right else self._rng.choice(OTHERS)
        return CastAnswer(job.ballot, encode(value), confidence)

    def finish(self, world: World) -> None:
        """Nothing is left to say."""
