"""Settlements that speak to each other, and a network that a test rules.

A *place* runs one settlement. An elector may have two places, which share its key and know
nothing of each other: its twins (Bano and others, "Twins: BFT systems made robust", 2022).
Every lie that consists in saying different things to different electors is what twins do
when the network keeps them apart.

What the arena asserts whatever happens: nobody honest settles anything else than another
(agreement), or what no place proposed (validity), or on a proof that does not hold, or signs
against itself, its earlier lives included.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from protocols.machine import SECOND_NS, Now
from protocols.voting.marks import FINALISE, NULLIFY, Proof, is_proof
from protocols.voting.settling import Settlement
from protocols.voting.settling_faces import Said
from simulations.keyrings import simulated_keyrings

MESH = b"m" * 32
INSTANCE = b"i" * 32
EPOCH = 3
_make = simulated_keyrings(b"arena")
KEYRINGS = [_make(bytes([place + 1]) * 32, MESH) for place in range(31)]

Heard = tuple[str, Any]
Passes = Callable[["Place", "Place"], bool]


class Proposing:
    """An application that proposes what it is given, and accepts all but what it is told."""

    def __init__(self, payload: bytes) -> None:
        self.payload: bytes | None = payload
        self.refused: set[bytes] = set()

    def propose(self, view: int, parent: bytes, now: Now) -> bytes | None:
        return self.payload

    def accepts(
        self, view: int, payload: bytes, parent: bytes, nullified_views: int, now: Now
    ) -> bool | None:
        return payload not in self.refused


class Place:
    """One settlement, its disk and its way out."""

    def __init__(self, arena: "Arena", seat: int, name: str) -> None:
        self.arena, self.seat, self.name = arena, seat, name
        self.application = Proposing(name.encode())
        self.disk: list[tuple[Said, bytes]] = []
        self.outbox: list[tuple[int | None, Heard]] = []
        self.contradicted: list[tuple[Said, Said]] = []
        self.payload: bytes | None = None
        self.final: tuple[bytes, Proof] | None = None
        self.is_up = True
        self.settlement = self._new()

    def _new(self) -> Settlement:
        arena = self.arena
        return Settlement(
            EPOCH, INSTANCE, arena.electors, self.seat, arena.order, KEYRINGS[self.seat],
            self.application, lambda elector: elector in arena.down, self,
        )  # fmt: skip

    def restart(self) -> None:
        """A new life, which knows what is on disk."""
        self.outbox.clear()
        self.settlement = self._new()
        for mark, payload in self.disk:
            self.settlement.restore(mark, payload)
        self.settlement.look(True, self.arena.now)

    @property
    def is_running(self) -> bool:
        """Whether time means something to it."""
        return self.is_up and self.final is None

    # The way out of a settlement.

    def may_sign(self) -> bool:
        return True

    def own_shown(self) -> None:
        assert self.seat in self.arena.liars, "a disk that keeps everything lacks a mark"

    def write(self, mark: Said, payload: bytes) -> None:
        for other, _ in self.disk:
            if self.seat not in self.arena.liars and other.view == mark.view:
                phases = {other.phase, mark.phase}
                assert other.phase != mark.phase, "signed twice in a phase"
                assert phases != {NULLIFY, FINALISE}, "signed against itself"
        self.disk.append((mark, payload))

    def say(self, mark: Said) -> None:
        assert any(mark == written for written, _ in self.disk), "said before it was written"
        self.outbox.append((None, ("mark", mark)))

    def propose(self, view: int, payload: bytes, signature: bytes, parent: Proof | None) -> None:
        self.outbox.append((None, ("proposal", (view, payload, signature, parent))))

    def prove(self, proof: Proof, to: int | None) -> None:
        self.outbox.append((to, ("proof", proof)))

    def contradiction(self, one: Said, other: Said) -> None:
        assert one.elector in self.arena.liars, "blames somebody honest"
        self.contradicted.append((one, other))

    def settled(self, payload: bytes, proof: Proof) -> None:
        arena = self.arena
        assert is_proof(proof, EPOCH, INSTANCE, arena.electors, KEYRINGS[0]), "no proof"
        self.final = (payload, proof)
        if self.seat in arena.liars:
            return
        assert self.payload in (None, payload), "settles anew"
        assert payload in arena.proposals, "settles what nobody proposed"
        self.payload = payload
        arena.outcomes[payload] = None
        assert len(arena.outcomes) == 1, f"disagreement: {list(arena.outcomes)}"


class Arena:
    """Places, what is under way between them, and the time."""

    def __init__(
        self, n: int = 4, order: Iterable[int] | None = None, twins: Iterable[int] = (),
        liars: Iterable[int] = (),
    ) -> None:  # fmt: skip
        self.electors = tuple(keyring.peer for keyring in KEYRINGS[:n])
        self.order = tuple(order or range(n))
        self.down: set[int] = set()
        self.liars = {*liars, *twins}
        self.monotonic_ns = 0
        self.outcomes: dict[bytes, None] = {}
        self.under_way: deque[tuple[Place, Place, Heard]] = deque()
        self.passes: Passes = lambda sender, receiver: True
        self.delays = 0
        self.places = [Place(self, seat, f"p{seat}") for seat in range(n)]
        self.places += [Place(self, seat, f"t{seat}") for seat in twins]
        self.proposals = {place.name.encode() for place in self.places}

    @property
    def now(self) -> Now:
        return Now(self.monotonic_ns, 10**18 + self.monotonic_ns)

    @property
    def honest(self) -> list[Place]:
        return [place for place in self.places if place.seat not in self.liars]

    def begin(self) -> None:
        """All look, and have nothing to wait for."""
        for place in self.places:
            if place.is_up:
                place.settlement.look(True, self.now)
        self.collect()

    def collect(self) -> None:
        """What was said is under way, as far as the network lets it."""
        for place in self.places:
            for to, heard in place.outbox:
                for other in self.places:
                    is_meant = other is not place and to in (None, other.seat)
                    if is_meant and self.passes(place, other):
                        self.under_way.append((place, other, heard))
            place.outbox.clear()

    def deliver(self, sender: Place, receiver: Place, heard: Heard) -> None:
        """One message arrives."""
        if not receiver.is_up:
            return
        what, said = heard
        settlement = receiver.settlement
        if what == "settled":
            receiver.settled(*said)
            return
        if receiver.final is not None and sender.final is None:
            # Whoever is done shows the certificate to whoever still speaks of the instance.
            if self.passes(receiver, sender):
                self.under_way.append((receiver, sender, ("settled", receiver.final)))
            return
        if what == "mark":
            is_good = settlement.hear(said, self.now)
        elif what == "proposal":
            view, payload, signature, parent = said
            is_good = settlement.hear_proposal(view, payload, signature, parent, self.now)
        else:
            is_good = settlement.prove(said, self.now)
        assert is_good or sender.seat in self.liars, "blames somebody honest"
        settlement.check()
        self.collect()

    def deliver_all(self) -> None:
        """All that is under way, and what it causes."""
        while self.under_way:
            self.deliver(*self.under_way.popleft())

    def one_delay(self) -> None:
        """What is under way now arrives; what it causes is under way next."""
        now, self.under_way = self.under_way, deque()
        self.delays += 1
        for message in now:
            self.deliver(*message)

    def tick(self) -> bool:
        """Time passes until somebody is due; False where nobody is."""
        dues = [
            due for place in self.places
            if place.is_running and (due := place.settlement.deadline()) is not None
        ]  # fmt: skip
        if not dues:
            return False
        self.monotonic_ns = max(self.monotonic_ns, min(dues))
        for place in self.places:
            due = place.settlement.deadline()
            if place.is_running and due is not None and due <= self.monotonic_ns:
                place.settlement.wake(self.now)
        self.collect()
        return True

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        """Delivers at once, and lets time pass."""
        ends = self.monotonic_ns + round(seconds * SECOND_NS)
        self.deliver_all()
        while self.monotonic_ns < ends and not (until or self.is_settled)() and self.tick():
            self.deliver_all()

    def is_settled(self) -> bool:
        """Whether everybody honest that runs has settled."""
        return all(place.payload is not None for place in self.honest if place.is_up)


def mutated(said: Said, **changes: Any) -> Said:
    """A mark that says something else under the same signature."""
    return msgspec.structs.replace(said, **changes)
