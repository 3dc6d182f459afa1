"""Peers that lie on the blackboard: about what they wrote, and about what others did."""

import random

import msgspec

from protocols.blackboard.frontier import FRONTIER_DOMAIN
from protocols.blackboard.messages import (
    BoardDigest,
    Delta,
    Described,
    Dot,
    Frontier,
    FrontierShown,
    Omitted,
    Push,
)
from protocols.blackboard.ops import Op, decode_op
from protocols.blackboard.segments import (
    NO_HEADER,
    SegmentPart,
    decode_header,
    header_hash,
    write_segment,
)
from protocols.blackboard.vectors import Reach
from protocols.errors import Malformed
from protocols.machine import MILLISECOND_NS
from protocols.wire import decode_frame, encode, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

_decoders = {tag_of(kind): msgspec.msgpack.Decoder(kind) for kind in (Push, Delta, BoardDigest)}


def read(data: bytes) -> msgspec.Struct | None:
    """A message of the blackboard that a liar bends; None for others."""
    for tag, decoder in _decoders.items():
        if data[2 : 2 + len(tag)] == tag.encode():
            return decoder.decode(data)
    return None


class Bender(Adversary):
    """Bends what its blackboard says."""

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Bends each message of the blackboard."""
        sent = []
        for data in messages:
            message = read(data)
            bent = None if message is None else self.bend(world, peer, to, message)
            sent.append(data if bent is None else encode(bent))
        return tuple(sent)

    def bend(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> msgspec.Struct | None:
        """What is said instead; None for the truth."""
        return None


class Forker(Bender):
    """Tells half of the mesh that it wrote something else under the same numbers."""

    surely_heard = 8
    """Forks of so many sends are not all lost on the way; fewer may be, and then nobody knows."""

    def __init__(self) -> None:
        self._forked = 0

    def bend(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> msgspec.Struct | None:
        """Another value for every other peer."""
        if not isinstance(message, Push) or world.by_id[to].name in ("peer-1", "peer-2"):
            return None
        parts = tuple(self._other(peer, part) for part in message.parts)
        world.coverage["a liar forks"] += 1
        return msgspec.structs.replace(message, parts=parts)

    def _other(self, peer: SimulatedPeer, part: SegmentPart) -> SegmentPart:
        header = decode_header(part.header.body)
        if header.writer != peer.peer or len(part.ops) != header.count:
            return part
        ops = []
        for raw in part.ops:
            op = decode_op(bytes(raw))
            if op.action == "put":
                op = msgspec.structs.replace(op, value=encode("the other branch"))
            ops.append(encode(op))
        made = write_segment(peer.keyring, header.generation, header.first, header.previous, ops)
        self._forked += made.part().ops != part.ops
        if self._forked >= self.surely_heard:
            self.offences = ("forked",)
        return made.part()


class Forger(Adversary):
    """Shows ops that nobody signed, and ops of others that it bent."""

    surely_heard = 3
    """Forgeries shown to all so many times are not all lost on the way."""

    def __init__(self) -> None:
        self._heard: list[SegmentPart] = []
        self._shown = 0

    def received(self, world: World, peer: SimulatedPeer, sender: bytes, frame: bytes) -> None:
        """Keeps what others write."""
        for message in messages_in(frame):
            if isinstance(message, Push):
                self._heard += message.parts
        del self._heard[:-50]

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """Shows everybody a bent segment."""
        if not self._heard:
            return
        part = world.faults_rng.choice(self._heard)
        bent = msgspec.structs.replace(part, ops=tuple(_other_value(raw) for raw in part.ops))
        header = decode_header(part.header.body)
        stolen = msgspec.structs.replace(header, first=header.last + 1, count=1)
        unsigned = msgspec.structs.replace(
            part,
            header=msgspec.structs.replace(part.header, body=encode(stolen)),
        )
        for other in world.honest:
            world.inject(peer, other.peer, (encode(Push((bent,))), encode(Push((unsigned,)))))
        self._shown += 1
        if self._shown >= self.surely_heard:
            self.offences = ("whose ops are not those", "wrong signature")
        world.coverage["a liar forges ops"] += 1


class BoardFlooder(Adversary):
    """Writes more than anybody needs: many segments, contexts that never come, far futures."""

    interval_ns = 200 * MILLISECOND_NS
    never_rests = True

    def __init__(self) -> None:
        self._generation = 7
        self._next = 1
        self._previous = NO_HEADER

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """A batch of its own for everybody; sometimes under a new number."""
        rng = world.faults_rng
        if rng.random() < 0.2:
            self._generation, self._next, self._previous = self._generation + 1, 1, NO_HEADER
        victim = rng.choice(world.peers).peer
        ops: list[bytes] = []
        for _ in range(rng.randint(1, 60)):
            context = ((victim, rng.getrandbits(40), 1 + rng.getrandbits(30)),)
            op = Op(
                peer.peer,
                self._generation,
                self._next + len(ops),
                f"default/key-{rng.randrange(12)}",
                "register",
                b"",
                "put",
                encode("flood"),
                context if rng.random() < 0.9 else (),
                (1 << 61) if rng.random() < 0.5 else 1,
            )
            ops.append(encode(op))
        made = write_segment(peer.keyring, self._generation, self._next, self._previous, ops)
        self._next += len(ops)
        for other in world.honest:
            world.inject(peer, other.peer, (encode(Push((made.part(),), True)),))
        world.coverage["a liar floods the blackboard"] += 1


class Eraser(Adversary):
    """Writes ops that name others' which they never saw, and not what those name."""

    never_rests = True

    def __init__(self) -> None:
        self._heard: list[Op] = []
        self._reach: dict[tuple[bytes, int], int] = {}
        self._next = 1
        self._previous = NO_HEADER

    def received(self, world: World, peer: SimulatedPeer, sender: bytes, frame: bytes) -> None:
        """Keeps what others write."""
        for message in messages_in(frame):
            for part in message.parts if isinstance(message, Push | Delta) else ():
                for raw in part.ops:
                    op = decode_op(bytes(raw))
                    self._heard.append(op)
                    chain = (op.writer, op.generation)
                    self._reach[chain] = max(op.sequence, self._reach.get(chain, 0))
        del self._heard[:-200]

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """A few ops at cells that others have written, shown to some."""
        if not self._heard:
            return
        rng = world.faults_rng
        ops = [self._lie(peer, rng, self._next + at) for at in range(rng.randint(1, 6))]
        made = write_segment(peer.keyring, 11, self._next, self._previous, ops)
        self._next += len(ops)
        self._previous = header_hash(made.signed)
        for other in world.honest:
            if rng.random() < 0.5:
                world.inject(peer, other.peer, (encode(Push((made.part(),))),))
        world.coverage["a liar erases what it never saw"] += 1

    def _lie(self, peer: SimulatedPeer, rng: random.Random, number: int) -> bytes:
        victim = rng.choice(self._heard)
        context = {(victim.writer, victim.generation): victim.sequence}
        for chain in rng.sample(sorted(self._reach), min(len(self._reach), rng.randrange(4))):
            last = self._reach[chain]
            context[chain] = rng.choice((rng.randint(1, last), last))
        value = victim.value if rng.random() < 0.6 else b""
        said = Op(
            peer.peer,
            11,
            number,
            victim.key,
            victim.type,
            victim.field,
            "put" if value else "delete",
            value,
            tuple((*chain, context[chain]) for chain in sorted(context)),
            rng.choice((0, victim.stamp + 1, 1 << 61)),
        )
        return encode(said)


class Futurist(Bender):
    """Stamps what it writes years ahead, so that it wins every tie."""

    def bend(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> msgspec.Struct | None:
        """The same writes, signed again with other stamps, for everybody alike."""
        if not isinstance(message, Push):
            return None
        parts = []
        for part in message.parts:
            header = decode_header(part.header.body)
            if header.writer != peer.peer or len(part.ops) != header.count:
                return None
            ops = [
                encode(msgspec.structs.replace(decode_op(bytes(raw)), stamp=1 << 61))
                for raw in part.ops
            ]
            made = write_segment(
                peer.keyring, header.generation, header.first, header.previous, ops
            )
            parts.append(made.part())
        world.coverage["a liar stamps the future"] += 1
        return msgspec.structs.replace(message, parts=tuple(parts))


class Withholder(Bender):
    """Leaves out what others wrote, and names what does not supersede it."""

    def bend(
        self, world: World, peer: SimulatedPeer, to: bytes, message: msgspec.Struct
    ) -> msgspec.Struct | None:
        """Every stretch is said to be superseded by whatever reaches furthest."""
        if not isinstance(message, Delta) or peer.core is None:
            return None
        described = []
        for each in message.described:
            writer = world.by_id.get(each.writer)
            if writer is None or writer is peer:
                described.append(each)
                continue
            by = self._furthest(message, each)
            gap = Omitted(each.first, each.last, by)
            described.append(msgspec.structs.replace(each, omitted=(gap,)))
        parts = tuple(
            part
            for part in message.parts
            if decode_header(part.header.body).writer == peer.peer
            or world.faults_rng.random() < 0.3
        )
        world.coverage["a liar withholds"] += 1
        return msgspec.structs.replace(message, parts=parts, described=tuple(described))

    def _furthest(self, message: Delta, each: Described) -> Dot | None:
        best, reach = None, 0
        for part in message.parts:
            for raw in part.ops:
                op = decode_op(bytes(raw))
                for writer, generation, sequence in op.context:
                    is_it = (writer, generation) == (each.writer, each.generation)
                    if is_it and sequence > reach:
                        best = Dot(op.writer, op.generation, op.sequence)
                        reach = sequence
        return best


class Dropper(Adversary):
    """States floors and vectors beyond all measure, to have others reset, or collect too soon."""

    def __init__(self) -> None:
        self._number = 1 << 60

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """A frontier of everybody's future."""
        self._number += 1
        ahead = []
        for other in world.peers:
            if other.core is not None:
                for chain in other.core.board.prefixes():
                    ahead.append(chain)
        vector = tuple(
            Reach(writer, generation, 1 << 40) for writer, generation in sorted(set(ahead))
        )
        said = Frontier(peer.peer, self._number, vector, vector, bytes(16))
        body = encode(said)
        shown = FrontierShown(body, peer.keyring.sign(FRONTIER_DOMAIN, body))
        digest = BoardDigest(vector, vector, bytes(16), True)
        for other in world.honest:
            world.inject(peer, other.peer, (encode(shown), encode(digest)))
        world.coverage["a liar states what is not"] += 1


def _other_value(raw: msgspec.Raw) -> msgspec.Raw:
    op = decode_op(bytes(raw))
    return msgspec.Raw(encode(msgspec.structs.replace(op, value=encode("forged"))))


def messages_in(frame: bytes) -> list[msgspec.Struct]:
    """The messages of a frame that are the blackboard's."""
    try:
        found = [read(bytes(each)) for each in decode_frame(frame).messages]
    except (Malformed, msgspec.MsgspecError):
        return []
    return [each for each in found if each is not None]
