"""Leases for exclusive tasks, also for peers that are no electors.

An elector puts what its own custodian asks into its next order, and believes its own copy of the
log. Any other peer asks f + 1 electors, each of which puts it in order, and believes what f + 1 of
them say alike: one of those is honest. That an action is carried out by several does no harm: a
second acquiring finds the lease held by the same holder, which is as good; a renewal is made twice.

An elector does this for `tasks/…` alone, in the asker's own name, and touches no other's lease.

Nothing here is timed, or kept: whoever asks asks again.

Invariants:
    bounded-leasing: what is under way for others, and for this peer, has a limit.
"""

from collections import Counter
from typing import Protocol

import msgspec

from protocols.effects import Blame, Effect, Emit, Send
from protocols.errors import Refused
from protocols.quorum import tolerated
from protocols.voting.chain import Chain
from protocols.voting.ledger import PLACE_BITS, Acquire, Result
from protocols.voting.log_commands import AskLease, LeaseAction, LeaseAnswered, PutInOrder
from protocols.voting.log_messages import LeaseAnswer, LeaseAsk
from protocols.voting.orders import Orders, require_quorum
from protocols.voting.roll import Roll

PREFIX = "tasks/"
TTL_LIMIT_MS = 60_000
"""A lease for another peer lasts no longer than this before it must be renewed."""
ASKED_LIMIT = 4_096
"""Questions of this peer's own under way; the oldest makes room."""
SERVED_LIMIT = 512
"""Actions under way for other peers."""
SERVED_PER_PEER = 128

DONE, HELD, ENDED, FULL = "done", "held", "ended", "full"
BUSY, NO_QUORUM, NOT_ELECTOR, NOT_YOURS = "busy", "no-quorum", "not-elector", "not-yours"
FINAL = (DONE, HELD, ENDED, FULL)
"""Verdicts of the log; all others are an elector's own."""
TEXTS = {
    HELD: "another attempt holds the lease {name!r}, or one whose end is not known held it last",
    ENDED: "the lease {name!r} has ended",
    FULL: "the ordered log has no room for the lease {name!r}",
    BUSY: "the electors are busy; the lease {name!r} is asked for again",
    NO_QUORUM: "too few electors are alive to grant the lease {name!r}: start the others again",
    NOT_ELECTOR: "the electors changed; the lease {name!r} is asked of the new ones",
}


class Whose(Protocol):
    """Who tells whose log it is."""

    @property
    def electorate(self) -> Roll | None:
        """The electors that settle the next height, as far as this peer knows."""


class Asked(msgspec.Struct):
    """A question to electors: what they have answered, and whose turn it is next."""

    action: LeaseAction
    turn: int
    answers: dict[bytes, LeaseAnswer]
    told: tuple[bytes, ...] = ()


class Leasing:
    """Both halves: a peer that wants leases, and an elector that gets them for others."""

    def __init__(
        self, me: bytes, chain: Chain, orders: Orders, down: dict[bytes, None],
        effects: list[Effect], log: Whose,
    ) -> None:  # fmt: skip
        """Takes the log so far, its orders, who is dead, where effects go, and whose log it is."""
        self._me = me
        self._chain = chain
        self._orders = orders
        self._down = down
        self._effects = effects
        self._log = log
        self._number = 0
        self._asked: dict[int, Asked] = {}
        self._served: dict[int, tuple[bytes, int, LeaseAction]] = {}
        self._serving: dict[bytes, dict[int, int]] = {}
        """The same, by who asked: from its numbers to those of here."""
        self._newest: Roll | None = None

    def follow(self, roll: Roll) -> None:
        """The root has signed a list; a peer that is on none asks those of the newest."""
        if self._newest is None or roll.epoch > self._newest.epoch:
            self._newest = roll

    def hear(self, link: bytes, message: LeaseAsk | LeaseAnswer) -> None:
        """A peer asks this elector, or an elector answers."""
        if isinstance(message, LeaseAsk):
            self._on_ask(link, message)
        else:
            self._on_answer(link, message)

    def _electors(self) -> Roll | None:
        """Whom a peer asks that is no elector: those of the latest list that the root signed."""
        roll, newest = self._log.electorate, self._newest
        return newest if roll is None or (newest and newest.epoch > roll.epoch) else roll

    # Asking.

    def ask(self, command: AskLease) -> None:
        """This peer's own custodian wants something of a lease."""
        roll = self._log.electorate
        if roll is not None and self._me in roll.electors:
            self._serve(self._me, command.request, command.action)
            return
        roll = self._electors()
        if roll is None:
            text = "this mesh has no electors yet, and an exclusive task needs them"
            self._tell(AskLease(command.request, command.action), "no-electorate", text)
            return
        asked = self._asked.get(command.request)
        if asked is None:
            if len(self._asked) >= ASKED_LIMIT:
                del self._asked[next(iter(self._asked))]
            first = int.from_bytes(self._me[:4], "big") % len(roll.electors)
            asked = self._asked[command.request] = Asked(command.action, first, {})
        needed = tolerated(len(roll.electors)) + 1
        alive = [peer for peer in roll.electors if peer not in self._down] or list(roll.electors)
        chosen = [alive[(asked.turn + step) % len(alive)] for step in range(len(alive))][:needed]
        asked.turn += 1
        asked.told = tuple(dict.fromkeys((*asked.told, *chosen)))
        for elector in chosen:
            self._effects.append(Send(elector, LeaseAsk(command.request, command.action)))

    def _on_answer(self, link: bytes, message: LeaseAnswer) -> None:
        """What f + 1 of them say alike is so."""
        asked = self._asked.get(message.request)
        roll = self._electors()
        if asked is None or roll is None or link not in asked.told or link not in roll.electors:
            return
        asked.answers[link] = message
        needed = tolerated(len(roll.electors)) + 1
        counts = Counter(_likeness(each) for each in asked.answers.values())
        if counts[_likeness(message)] < needed:
            return
        alike = [each for each in asked.answers.values() if _likeness(each) == _likeness(message)]
        del self._asked[message.request]
        ends_ms = min(each.ends_ms for each in alike)
        told = AskLease(message.request, asked.action)
        self._tell(told, message.verdict, "", message.token, ends_ms)

    def _tell(
        self, asked: AskLease, verdict: str, text: str, token: int = 0, ends_ms: int = 0
    ) -> None:
        name = asked.action.name
        said = text or TEXTS.get(verdict, "").format(name=name)
        is_done = verdict == DONE
        reason = "" if is_done else verdict
        self._effects.append(
            Emit(LeaseAnswered(asked.request, asked.action, is_done, reason, said, token, ends_ms))
        )

    # Serving.

    def _on_ask(self, link: bytes, message: LeaseAsk) -> None:
        fault = _fault_of(message.action, link)
        if fault:
            self._effects.append(Blame(link, fault))
            return
        serving = self._serving.get(link, {})
        if message.request in serving:
            self._again(link, message.request)
            return
        if len(self._served) >= SERVED_LIMIT or len(serving) >= SERVED_PER_PEER:
            self._answer(link, message.request, message.action, BUSY)
            return
        verdict = self._verdict(message.action, link)
        if verdict:
            self._answer(link, message.request, message.action, verdict)
            return
        self._serve(link, message.request, message.action)

    def _verdict(self, action: LeaseAction, link: bytes) -> str:
        """What this elector can say by itself of another's lease; "" where the log has to."""
        if isinstance(action, Acquire):
            return ""
        held = self._chain.ledger.lease(action.name)
        if held is not None and held.token == action.token:
            return "" if held.holder.startswith(_whose(link)) else NOT_YOURS
        # Tokens are heights: what was granted by now and is not held any more never will be.
        return ENDED if action.token >> PLACE_BITS <= self._chain.height else BUSY

    def _serve(self, peer: bytes, request: int, action: LeaseAction) -> None:
        if request in self._serving.get(peer, ()):
            self._again(peer, request)
            return
        number = self._number - 1
        try:
            self._orders.accept(
                PutInOrder(number, (action,)), self._log.electorate, self._chain.epoch, self._down
            )
        except Refused as refused:
            self._refuse(peer, request, action, refused)
            return
        self._number = number
        self._served[number] = (peer, request, action)
        self._serving.setdefault(peer, {})[request] = number

    def _again(self, peer: bytes, request: int) -> None:
        """What is under way is asked for again: where a quorum has gone since, nobody waits for it.

        It may still be settled, and is answered no second time then: who asks anew is told what is.
        """
        roll = self._log.electorate
        assert roll is not None, "bounded-leasing: something is under way in no log"
        try:
            require_quorum(roll, self._down)
        except Refused as refused:
            _, _, action = self._forget(self._serving[peer][request])
            self._refuse(peer, request, action, refused)

    def _refuse(self, peer: bytes, request: int, action: LeaseAction, refused: Refused) -> None:
        verdict = {"NoQuorum": NO_QUORUM, "Busy": BUSY}.get(refused.kind, NOT_ELECTOR)
        self._answer(peer, request, action, verdict, text=refused.message)

    def _forget(self, number: int) -> tuple[bytes, int, LeaseAction]:
        peer, request, action = self._served.pop(number)
        del self._serving[peer][request]
        if not self._serving[peer]:
            del self._serving[peer]
        return peer, request, action

    def settle(self) -> None:
        """Tells what the log made of what was asked."""
        while self._orders.leases:
            done = self._orders.leases.pop(0)
            if done.request not in self._served:
                continue
            peer, request, action = self._forget(done.request)
            (result,) = done.results
            self._answer(peer, request, action, *_read(action, result))

    def _answer(
        self, peer: bytes, request: int, action: LeaseAction, verdict: str, token: int = 0,
        ends_ms: int = 0, text: str = "",
    ) -> None:  # fmt: skip
        if peer == self._me:
            self._tell(AskLease(request, action), verdict, text, token, ends_ms)
        else:
            self._effects.append(Send(peer, LeaseAnswer(request, verdict, token, ends_ms)))

    def check(self) -> None:
        """Asserts the invariants."""
        assert len(self._asked) <= ASKED_LIMIT, "bounded-leasing"
        others = [each for each in self._served.values() if each[0] != self._me]
        assert len(others) <= SERVED_LIMIT, "bounded-leasing"


def _whose(peer: bytes) -> str:
    """What the holders of a peer's leases begin with."""
    return peer.hex() + "/"


def _fault_of(action: LeaseAction, link: bytes) -> str:
    """What no honest peer asks."""
    if not action.name.startswith(PREFIX):
        return "asks for a lease that is not an exclusive task's"
    if isinstance(action, Acquire) and not action.holder.startswith(_whose(link)):
        return "asks for a lease in another's name"
    if getattr(action, "ttl_ms", 0) > TTL_LIMIT_MS:
        return "asks for an exclusive task's lease for too long"
    return ""


def _likeness(answer: LeaseAnswer) -> tuple[str, int]:
    """What answers must have in common to be alike."""
    return answer.verdict, answer.token if answer.verdict == DONE else 0


def _read(action: LeaseAction, result: Result) -> tuple[str, int, int]:
    """The verdict in a result, the token, and when the lease ends."""
    lease = result.lease
    if isinstance(action, Acquire) and lease is not None and lease.holder == action.holder:
        return DONE, lease.token, lease.ends_ms
    if result.is_done:
        return DONE, result.version, lease.ends_ms if lease is not None else 0
    return result.reason if result.reason in FINAL else BUSY, 0, 0
