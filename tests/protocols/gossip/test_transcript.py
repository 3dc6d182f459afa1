"""Three peers meet, one is killed and comes back, word for word, in `tests/transcripts/gossip.txt`.

Times are virtual milliseconds. All is there as it went out; the same line twice in a row
is told as a count.
"""

from itertools import groupby
from pathlib import Path

import msgspec

from protocols.gossip.events import MemberDown, MemberSuspected, MemberUp
from protocols.gossip.messages import Accusation, Ack, Digest, MemberRecord, Nack, Ping, PingRequest
from protocols.machine import MILLISECOND_NS
from protocols.wire import Signed
from tests.protocols.gossip.support import Mesh, Peer

GOLDEN = Path(__file__).resolve().parents[2] / "transcripts" / "gossip.txt"
NAMES = "ABC"
STATES = ("alive", "suspect", "dead", "left")
_body = msgspec.msgpack.Decoder(MemberRecord | Accusation)


class Told(Mesh):
    """A mesh that notes what is sent, and what is told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str]] = []
        self.seen: dict[bytes, int] = {}

    def name(self, peer: bytes) -> str:
        return NAMES[self.peers[peer].number]

    def _post(
        self, peer: Peer, to: bytes, message: msgspec.Struct, targets: dict[bytes, int]
    ) -> None:
        line = f"{self.name(peer.id)} -> {self.name(to)}  {self.words(message)}"
        self.lines.append((self.now_ns, line))
        super()._post(peer, to, message, targets)

    def words(self, message: msgspec.Struct) -> str:
        match message:
            case Signed():
                body = _body.decode(message.body)
                who = self.name(message.author)
                if isinstance(body, MemberRecord):
                    leaving = " leaving" if body.leaving else ""
                    return f"record of {who}, incarnation {body.incarnation}{leaving}"
                return f"{who} accuses {self.name(body.suspect)}, incarnation {body.incarnation}"
            case Digest():
                held = " ".join(
                    f"{self.name(v.peer)}={STATES[v.state]}/{v.incarnation}"
                    for v in message.members
                )
                return f"digest {held or 'of nobody'}{', reply' * message.reply_wanted}"
            case PingRequest():
                return f"ping-request for {self.name(message.target)}"
            case Ping():
                return f"ping{' of a suspect' * message.suspected}"
            case Ack() | Nack():
                return type(message).__name__.lower()
        raise AssertionError(f"gossip sends no {type(message).__name__}")

    def note(self, text: str) -> None:
        """What the test does."""
        self.lines.append((self.now_ns, f"-- {text}"))

    def transcript(self) -> str:
        events = [
            (at, f"{NAMES[peer.number]}       {self.event(event)}")
            for peer in self.peers.values()
            for at, event in peer.events
            if isinstance(event, MemberUp | MemberDown | MemberSuspected)
        ]
        begun = self.lines[0][0]
        told = sorted([*self.lines, *events], key=lambda line: line[0])
        counted = ((line, [at for at, _ in same]) for line, same in groupby(told, lambda t: t[1]))
        return "".join(
            f"{(times[0] - begun) // MILLISECOND_NS:6}  {line}"
            f"{f'  ({len(times)} times)' if len(times) > 1 else ''}\n"
            for line, times in counted
        )

    def event(self, event: MemberUp | MemberDown | MemberSuspected) -> str:
        kind = type(event).__name__.removeprefix("Member").lower()
        return f"holds {self.name(event.peer)} {kind}"


def test_three_peers_meet_and_one_dies_and_returns_word_for_word() -> None:
    mesh = Told()
    a, b, c = [mesh.add(number) for number in range(3)]
    mesh.note("A, B and C start; B and C know A's door")
    mesh.start(a)
    mesh.start(b, contacts=(a,))
    mesh.start(c, contacts=(a,))
    mesh.run_until(mesh.converged, seconds=2)
    mesh.run(1)
    mesh.note("C is killed")
    mesh.kill(c)
    mesh.run_until(mesh.converged, seconds=10)
    mesh.note("C is started again")
    mesh.start(c)
    mesh.run_until(mesh.converged, seconds=5)
    assert mesh.transcript() == GOLDEN.read_text()
