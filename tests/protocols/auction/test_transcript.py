"""A lot with three bidders and one of a pair, word for word, in `tests/transcripts/`.

A is the issuer and hosts nothing. B, C and D have two slots each; C is slow. B loses
a slot between its bid and the award, so that one slot passes on.
"""

from pathlib import Path

import msgspec

from protocols.auction.commands import ObserveWork, SetCapacity
from protocols.auction.events import LotCleared, SlotsGranted, SlotsLost, SlotsWon
from protocols.auction.messages import (
    Award,
    Book,
    Forfeit,
    Invite,
    Release,
    Renew,
    Reveal,
)
from tests.protocols.auction.mesh import SKILL, Mesh, Peer

TRANSCRIPTS = Path(__file__).resolve().parents[2] / "transcripts"
GOLDEN = TRANSCRIPTS / "auction.txt"
GOLDEN_PAIR = TRANSCRIPTS / "auction-pair.txt"


class Trace:
    """What goes on in a mesh, as lines."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.lines: list[str] = []
        self.seen = dict.fromkeys(mesh.peers, 0)

    def told(self) -> None:
        """Notes the events since the last time."""
        for name, peer in self.mesh.peers.items():
            for event in peer.events[self.seen[name] :]:
                self.lines.append(f"{name:>6}        {self.event(event)}")
            self.seen[name] = len(peer.events)

    def run(self, until: type[msgspec.Struct] | None = None) -> None:
        """Delivers and notes messages, up to the first of a kind, or all."""
        self.told()
        while self.mesh.queue:
            source, to, message = self.mesh.queue[0]
            if until is not None and isinstance(message, until):
                return
            self.lines.append(f"{source:>6} -> {to:<3} {self.message(message)}")
            self.mesh.step()
            self.told()

    def name(self, peer: bytes) -> str:
        return self.mesh.names[peer]

    def message(self, message: msgspec.Struct) -> str:
        kind = type(message).__name__
        match message:
            case Invite():
                invited = " ".join(self.name(c.peer) for c in message.candidates)
                sealed = " sealed" if message.seal else ""
                return f"{kind} units={message.units} candidates={invited}{sealed}"
            case Book():
                return f"{kind} {' '.join(sorted(self.name(x.bidder) for x in message.sealed))}"
            case Reveal():
                return f"{kind} {' '.join(str(unit.completion_us) for unit in message.schedule)}"
            case Award():
                won = sorted(f"{self.name(w.bidder)}={w.slots}" for w in message.winners)
                limits = sorted(f"{self.name(w.bidder)}<={w.slots}" for w in message.limits)
                return " ".join([kind, *won, *limits])
            case Forfeit() | Release():
                return f"{kind} {message.slots} kept={message.kept}"
            case Renew():
                return f"{kind} {message.slots}"
            case _:
                return kind

    def event(self, event: msgspec.Struct) -> str:
        match event:
            case SlotsWon():
                return f"won {event.slots} at {self.name(event.bidder)}, {event.completion_us} us"
            case SlotsLost():
                return f"lost {event.slots} at {self.name(event.bidder)}: {event.reason}"
            case SlotsGranted():
                return f"granted {event.slots} to {self.name(event.issuer)}"
            case LotCleared():
                bids = [f"{self.name(b.bidder)} {b.outcome} {b.slots_won}" for b in event.bids]
                return f"cleared {event.awarded} of {event.units}: {', '.join(bids)}"
            case _:
                return type(event).__name__


def transcript() -> str:
    mesh = Mesh("A", "B", "C", "D")
    mesh.host(2, "B", "C", "D")
    for name, mean in (("B", 2_000), ("C", 9_000), ("D", 2_000)):
        mesh.submit(name, ObserveWork(*SKILL, 1, mean))
    trace = Trace(mesh)
    mesh.seek("A", 3)
    trace.run(until=Award)
    trace.lines.append("     B        a slot is withdrawn")
    mesh.submit("B", SetCapacity(*SKILL, 1))
    trace.run()
    trace.lines.append("              a second passes")
    mesh.advance(999)
    mesh.now_ns += 1_000_000
    wake(mesh, mesh["A"])
    trace.run()
    return "\n".join(trace.lines) + "\n"


def wake(mesh: Mesh, peer: Peer) -> None:
    mesh.absorb(peer, peer.auction.wake(mesh.now))


def test_a_lot_with_three_bidders_goes_as_written() -> None:
    assert transcript() == GOLDEN.read_text(encoding="utf-8")


def pair_transcript() -> str:
    mesh = Mesh("A", "B")
    mesh.host(1, "A", "B")
    mesh.submit("A", ObserveWork(*SKILL, 2, 2_000))
    mesh.submit("B", ObserveWork(*SKILL, 0, 1_000))
    trace = Trace(mesh)
    mesh.seek("A", 1, 1_000)
    trace.run()
    return "\n".join(trace.lines) + "\n"


def test_a_pair_goes_as_written() -> None:
    assert pair_transcript() == GOLDEN_PAIR.read_text(encoding="utf-8")
