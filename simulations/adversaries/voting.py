"""Peers that lie in ballots and in the ordered log, with their own signatures only."""

from collections.abc import Iterable

import msgspec

from protocols.errors import Malformed
from protocols.machine import MILLISECOND_NS
from protocols.voting.answers import Answered, decode_set, encode_set, sign_answer
from protocols.voting.ballot_messages import Decided, Question, Vote
from protocols.voting.blocks import Block, instance_of
from protocols.voting.log_messages import LogBlock, LogMark, LogProof, LogProposal
from protocols.voting.marks import FINALISE, MARK_DOMAIN, NOTARISE, Mark, digest_of
from protocols.voting.roll import open_bundle
from protocols.voting.rules import NO_CHOICE
from protocols.voting.settlement_messages import MarkSaid, ProofShown, Proposal
from protocols.wire import decode_frame, encode, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

SIMPLEX = (MarkSaid, ProofShown, Proposal, LogMark, LogProof, LogProposal)
KINDS = (*SIMPLEX, Vote, Question, Decided, LogBlock)
EPOCH = 1
_decoders = {tag_of(kind).encode(): msgspec.msgpack.Decoder(kind) for kind in KINDS}


def read(data: bytes) -> msgspec.Struct | None:
    """A message about ballots or the log; None for others."""
    decoder = _decoders.get(data[2 : 2 + (data[1] & 0x1F)])
    return None if decoder is None else decoder.decode(data)


def electors(world: World, peer: SimulatedPeer) -> tuple[bytes, ...]:
    """Who the electors are; nobody, where nobody votes."""
    roll = open_bundle(world.bundle, world.root, peer.keyring) if world.bundle else None
    return () if roll is None else roll.electors


def seat_of(world: World, peer: SimulatedPeer) -> int:
    """The liar's index among the electors; -1 where it is none."""
    found = electors(world, peer)
    return found.index(peer.peer) if peer.peer in found else -1


def sign_mark(peer: SimulatedPeer, instance: bytes, view: int, phase: str, digest: bytes) -> bytes:
    """The liar's own signature under a mark."""
    body = encode(Mark(EPOCH, instance, view, phase, digest))
    return peer.keyring.sign(MARK_DOMAIN, body)


class VotingLiar(Adversary):
    """Says something else, or nothing, where it should speak of ballots or the log."""

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Bends each message about ballots and the log."""
        sent: list[bytes] = []
        for data in messages:
            message = read(data)
            if message is None:
                sent.append(data)
            else:
                sent.extend(encode(each) for each in self.say(world, peer, to, message))
        return tuple(sent)

    def received(self, world: World, peer: SimulatedPeer, sender: bytes, frame: bytes) -> None:
        """Hears each message about ballots and the log."""
        try:
            messages = [read(bytes(each)) for each in decode_frame(frame).messages]
        except (Malformed, msgspec.MsgspecError):
            return
        for message in messages:
            if message is not None:
                self.hear(world, peer, message)

    def say(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> Iterable[msgspec.Struct]:
        """What is said instead of a message."""
        return (message,)

    def hear(self, world: World, peer: SimulatedPeer, message: msgspec.Struct) -> None:
        """A message reached it."""


class Equivocator(VotingLiar):
    """As a leader it proposes one thing to some and another to others, whatever is notarised.

    What its core finalises it says to one elector only, and what it made up to all.
    """

    surely_heard = 100
    """Of so many bent proposals two contradicting ones meet at somebody honest."""

    def __init__(self) -> None:
        self._bent = 0

    def say(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> Iterable[msgspec.Struct]:
        """Another proposal for every other elector, and marks for whatever they heard."""
        peers, me = electors(world, peer), seat_of(world, peer)
        if me < 0 or to not in peers:
            return (message,)
        is_other = peers.index(to) % 2 == 0
        match message:
            case Proposal() if is_other or message.view > 1:
                payload = self._set(peer, me, message)
                instance = message.ballot
            case LogProposal() if is_other or message.view > 1:
                payload = self._block(message)
                instance = instance_of(EPOCH, message.height)
            case MarkSaid() | LogMark() if message.phase == FINALISE:
                return (message,) if to == peers[(me + 1) % len(peers)] else ()
            case _:
                return (message,)
        world.coverage["a leader proposes two things"] += 1
        self._bent += 1
        if self._bent >= self.surely_heard:
            self.offences = ("signed against itself",)
        view, digest = message.view, digest_of(payload)
        signature = sign_mark(peer, instance, view, NOTARISE, digest)
        final = (me, view, FINALISE, digest, sign_mark(peer, instance, view, FINALISE, digest))
        changed = msgspec.structs.replace(
            message, payload=payload, signature=signature, parent=None
        )
        if isinstance(message, Proposal):
            return (changed, MarkSaid(message.ballot, *final))
        return (changed, LogMark(message.height, *final))

    def _set(self, peer: SimulatedPeer, me: int, message: Proposal) -> bytes:
        """The same answers with an abstention of its own beside them, or without one of them."""
        answers = decode_set(message.payload)
        assert answers is not None, "its own core made it"
        said = sign_answer(peer.keyring, EPOCH, message.ballot, NO_CHOICE)
        changed = []
        for each in answers:
            is_mine = each.elector == me and len(each.answers) == 1
            both = tuple(sorted({said, *each.answers})) if is_mine else each.answers
            changed.append(Answered(each.elector, both))
        if encode_set(changed) == message.payload:
            changed = changed[1:]
        return encode_set(changed)

    def _block(self, message: LogProposal) -> bytes:
        block = msgspec.msgpack.decode(message.payload, type=Block)
        return encode(msgspec.structs.replace(block, time_ms=block.time_ms + 1))


class Turncoat(VotingLiar):
    """Answers a ballot in two ways, one for every other elector."""

    surely_heard = 12
    """Of so many ballots some answers meet at somebody honest in time."""

    def __init__(self) -> None:
        self._ballots: dict[bytes, None] = {}

    def say(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> Iterable[msgspec.Struct]:
        """Another answer of its own for half of them."""
        if not isinstance(message, Vote) or message.elector != seat_of(world, peer):
            return (message,)
        peers = electors(world, peer)
        if to not in peers or peers.index(to) % 2:
            return (message,)
        self._ballots[message.ballot] = None
        if len(self._ballots) >= self.surely_heard:
            self.offences = ("signed two answers to one ballot",)
        world.coverage["a voter answers twice"] += 1
        choice = NO_CHOICE if message.answer.choice else b"\x01" * 32
        other = sign_answer(peer.keyring, EPOCH, message.ballot, choice)
        return (Vote(message.ballot, message.elector, other),)


class Reticent(VotingLiar):
    """Keeps most marks and proofs to itself, so that quorums come late, or only for some."""

    def say(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> Iterable[msgspec.Struct]:
        """One in five."""
        if isinstance(message, SIMPLEX) and world.faults_rng.random() < 0.8:
            world.coverage["a liar withholds a mark"] += 1
            return ()
        return (message,)


class Absentee(VotingLiar):
    """Never proposes anything, and is there otherwise."""

    def say(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> Iterable[msgspec.Struct]:
        """Nothing, as a leader."""
        if isinstance(message, Proposal | LogProposal):
            world.coverage["a leader is silent"] += 1
            return ()
        return (message,)


class Dripper(VotingLiar):
    """Says everything as late as it can, to one after another."""

    def say(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> Iterable[msgspec.Struct]:
        """Later."""
        rng, data = world.faults_rng, encode(message)
        most_ms = 3_000 if isinstance(message, Vote) else 1_100
        late_ns = rng.randrange(200, most_ms) * MILLISECOND_NS
        world.coverage["a liar speaks late"] += 1

        def speak() -> None:
            if peer.is_running:
                world.inject(peer, to, (data,))

        world.after(late_ns, speak)
        return ()


class Plagiarist(VotingLiar):
    """Shows what others signed in one ballot, view, height or epoch as if they had in another."""

    surely_heard = 8
    kept = 60

    def __init__(self) -> None:
        self._heard: list[msgspec.Struct] = []
        self._shown = 0

    def hear(self, world: World, peer: SimulatedPeer, message: msgspec.Struct) -> None:
        """Keeps it."""
        if isinstance(message, (*SIMPLEX, Vote)):
            self._heard.append(message)
            del self._heard[: -self.kept]

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Shows one under the name of another, to everybody."""
        if len(self._heard) < 2:
            return
        rng = world.faults_rng
        one, other = rng.sample(self._heard, 2)
        bent = self._as(one, other)
        for honest in world.honest:
            world.inject(peer, honest.peer, (encode(bent),))
        world.coverage["a liar replays across ballots"] += 1

    def _as(self, one: msgspec.Struct, other: msgspec.Struct) -> msgspec.Struct:
        """The first as if it were said where the second was."""
        values = msgspec.structs.asdict(one)
        others = msgspec.structs.asdict(other)
        named = {key: others[key] for key in ("ballot", "height", "epoch") if key in others}
        if isinstance(one, MarkSaid) and isinstance(other, LogMark):
            values.pop("ballot")
            return LogMark(**values, **named)
        if isinstance(one, LogMark) and isinstance(other, MarkSaid):
            del values["height"], values["epoch"]
            return MarkSaid(**values, **named)
        kept: dict[str, object] = {key: named[key] for key in named if key in values}
        if "view" in values and not kept:
            kept = {"view": values["view"] + 1}
        return msgspec.structs.replace(one, **kept)
