"""Blobs for other peers: their indexes at once, their chunks as the disk gives them.

What the disk gives back is checked before it leaves, so no honest holder is ever blamed.
"""

import msgspec

from protocols.blobs import jobs
from protocols.blobs.commands import ChunkRead
from protocols.blobs.messages import BlobChunk, BlobIndex, Lacks, WantChunks, WantIndex
from protocols.blobs.parameters import BlobParameters
from protocols.blobs.shelf import Shelf
from protocols.effects import Effect, Perform, Send


class Read(msgspec.Struct):
    """A chunk that is read for somebody."""

    peer: bytes
    blob: bytes
    chunk: int


class Serving:
    """What is being read for whom. Appends to the machine's effects."""

    def __init__(self, parameters: BlobParameters, shelf: Shelf, effects: list[Effect]) -> None:
        self._parameters = parameters
        self._shelf = shelf
        self._effects = effects
        self._reads: dict[int, Read] = {}
        self._reads_of: dict[bytes, int] = {}
        self._read_number = 0

    def index(self, link: bytes, message: WantIndex) -> None:
        """Somebody asks for the hashes of a blob."""
        shelved = self._shelf.blobs.get(message.blob)
        if shelved is None:
            self._effects.append(Send(link, Lacks(message.blob)))
        else:
            index = shelved.index
            self._effects.append(Send(link, BlobIndex(message.blob, index.size, index.hashes)))

    def chunks(self, link: bytes, message: WantChunks) -> None:
        """Somebody asks for chunks."""
        shelved = self._shelf.blobs.get(message.blob)
        if shelved is None:
            self._effects.append(Send(link, Lacks(message.blob)))
            return
        for chunk in dict.fromkeys(message.chunks):
            reads = self._reads_of.get(link, 0)
            is_much = reads >= self._parameters.reads_per_peer
            if is_much or len(self._reads) >= self._parameters.reads:
                return  # whoever asked too much asks again
            if chunk < shelved.index.count:
                self._read_number += 1
                self._reads[self._read_number] = Read(link, message.blob, chunk)
                self._reads_of[link] = reads + 1
                job = jobs.ReadChunk(self._read_number, message.blob, chunk)
                self._effects.append(Perform(job))

    def read(self, command: ChunkRead) -> bytes | None:
        """The disk gave a chunk back; the blob's name where these are not its bytes."""
        read = self._reads.pop(command.number, None)
        if read is None:
            return None
        self._reads_of[read.peer] -= 1
        if not self._reads_of[read.peer]:
            del self._reads_of[read.peer]
        shelved = self._shelf.blobs.get(read.blob)
        if shelved is not None and shelved.index.fits(read.chunk, command.data):
            chunk = BlobChunk(read.blob, read.chunk, command.data)
            self._effects.append(Send(read.peer, chunk))
            return None
        self._effects.append(Send(read.peer, Lacks(read.blob)))
        return None if shelved is None else read.blob

    def check(self) -> None:
        """Asserts that the reads have a limit."""
        assert len(self._reads) <= self._parameters.reads, "blobs-bounded-work: reads"
