"""Serves blobs with other bytes than theirs."""

import msgspec

from mesh.core.bulk import Chunk
from protocols.blobs.messages import BlobChunk
from protocols.wire import encode, tag_of
from simulations.adversary import Adversary
from simulations.peer import SimulatedPeer
from simulations.world import World

PIECE, BLOB_CHUNK = (encode(tag_of(kind)) for kind in (Chunk, BlobChunk))
WITHIN = 400
"""Where a byte is bent: behind all that comes before a chunk's bytes."""
_piece = msgspec.msgpack.Decoder(Chunk)


class Counterfeiter(Adversary):
    """One byte in a chunk is enough: who gets it sees that, and asks this one no more."""

    surely_heard = 6
    """So many are not all lost on the way, or too late to be wanted."""

    def __init__(self) -> None:
        self._sent = 0

    def sending(
        self, world: World, peer: SimulatedPeer, to: bytes, messages: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Bends every chunk of a blob that is long enough."""
        return tuple(self._bent(world, message) for message in messages)

    def _bent(self, world: World, message: bytes) -> bytes:
        if PIECE not in message[:24]:
            return message
        piece = _piece.decode(message)
        if piece.offset or BLOB_CHUNK not in piece.data[:24] or len(piece.data) <= WITHIN:
            return message
        data = bytearray(piece.data)
        data[WITHIN] ^= 1
        world.coverage["a liar serves a chunk with other bytes"] += 1
        self._sent += 1
        if self._sent >= self.surely_heard:
            self.offences = ("sent bytes that are not the blob's",)
        return encode(msgspec.structs.replace(piece, data=bytes(data)))
