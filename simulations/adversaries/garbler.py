"""Sends bytes that are no frames, frames of nonsense, and messages that are cut or swollen."""

import msgspec

from mesh.core.admission import PLAIN_KINDS
from protocols.wire import encode_frame, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

TAGS = tuple(sorted(tag_of(kind) for kind in PLAIN_KINDS))


class Garbler(Adversary):
    """Whoever reads it drops it, blames the sender, and goes on."""

    offences = ("malformed frame", "malformed message")

    def __init__(self) -> None:
        self._heard: list[bytes] = []

    def received(self, world: World, peer: SimulatedPeer, sender: bytes, frame: bytes) -> None:
        """Keeps frames as raw material."""
        self._heard.append(frame)
        del self._heard[:-32]

    def act(self, world: World, peer: SimulatedPeer) -> None:
        """A few broken things for everybody."""
        rng = world.faults_rng
        epoch = rng.getrandbits(62)
        pack = msgspec.msgpack.encode
        nonsense: list[object] = [
            rng.choice((0, -1, "x" * 40, None, b"\xff" * 32, [], {"a": 1}, 2**63))
        ]
        frames = [
            rng.randbytes(rng.randint(0, 64)),
            b"\x93\x01\x01\xdd\xff\xff\xff\xff",
            encode_frame(epoch, 1, [rng.randbytes(40)]),
            encode_frame(epoch, 2, [pack([rng.choice(TAGS), *nonsense * rng.randint(0, 6)])]),
            encode_frame(epoch, 3, [pack(["tomorrow.kind", 1])]),
            encode_frame(epoch, 4, [b"\x91" * 3000]),
        ]
        if self._heard:
            frame = bytearray(rng.choice(self._heard))
            frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
            frames += [bytes(frame), bytes(frame[: rng.randrange(len(frame))])]
        for other in world.honest:
            world.inject_frame(peer, other.peer, rng.choice(frames))
