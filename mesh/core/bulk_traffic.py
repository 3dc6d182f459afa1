"""The long messages of one peer to and from all others; see `bulk.py` for one pair."""

from collections.abc import Iterator

from mesh.core.bulk import Chunk, Credit, Incoming, Outgoing
from protocols.machine import Instant

PEERS_LIMIT = 4096
"""Peers that long messages are received from, and sent to; those of further ones are dropped."""
SESSIONS_PER_BOOT_BITS = 24


class BulkTraffic:
    """Queues long messages, and says which chunks may leave."""

    def __init__(self, boot: int) -> None:
        """Takes the boot number, so that a receiver knows this boot's chunks from older ones."""
        self._first_session = boot << SESSIONS_PER_BOOT_BITS
        self._outgoing: dict[bytes, Outgoing] = {}
        self._incoming: dict[bytes, Incoming] = {}
        self._due: dict[bytes, None] = {}

    def offer(self, to: bytes, message: bytes) -> None:
        """Queues a long message; where too much waits already it is dropped."""
        outgoing = self._outgoing.get(to)
        if outgoing is None:
            if len(self._outgoing) >= PEERS_LIMIT:
                return
            outgoing = self._outgoing[to] = Outgoing(self._first_session)
        outgoing.offer(message)
        self._due[to] = None

    @property
    def is_due(self) -> bool:
        """Whether `take` may have something."""
        return bool(self._due)

    def take(self, now: Instant) -> Iterator[tuple[bytes, list[Chunk]]]:
        """The chunks that may leave now, by peer."""
        due, self._due = self._due, {}
        for peer in due:
            outgoing = self._outgoing.get(peer)
            chunks = outgoing.chunks(now) if outgoing is not None else []
            if chunks:
                yield peer, chunks

    def receive(self, link: bytes, chunk: Chunk) -> tuple[bytes | None, Credit | None]:
        """Takes a chunk: the whole message where this was its end, and credit when due."""
        incoming = self._incoming.get(link)
        if incoming is None:
            if len(self._incoming) >= PEERS_LIMIT:
                return None, None
            incoming = self._incoming[link] = Incoming()
        return incoming.take(chunk)

    def new_link_from(self, link: bytes) -> None:
        """A peer dialled anew, perhaps without the memory of its sessions (a lost journal)."""
        self._incoming.pop(link, None)

    def credit(self, link: bytes, credit: Credit, now: Instant) -> None:
        """Takes a receiver's credit."""
        outgoing = self._outgoing.get(link)
        if outgoing is not None:
            outgoing.credit(credit, now)
            self._due[link] = None

    def restart(self, peer: bytes) -> None:
        """A new link: what was under way starts again."""
        outgoing = self._outgoing.get(peer)
        if outgoing is not None:
            outgoing.restart()
            self._due[peer] = None

    def forget(self, peer: bytes) -> None:
        """A member is gone, and what waited for it with it.

        Sessions to one peer must not begin again at a number that was used, so whoever
        comes next begins above those of all that were forgotten.
        """
        self._incoming.pop(peer, None)
        outgoing = self._outgoing.pop(peer, None)
        if outgoing is not None:
            self._first_session = max(self._first_session, outgoing.session + 1)

    @property
    def peers(self) -> int:
        """How many peers something is kept for."""
        return len(self._outgoing.keys() | self._incoming.keys())

    def wake(self, now: Instant) -> None:
        """Begins a new session where credit has stalled."""
        for peer, outgoing in self._outgoing.items():
            if outgoing.stalls_at is not None and outgoing.stalls_at <= now:
                outgoing.stall()
                self._due[peer] = None

    def deadline(self) -> Instant | None:
        """When a session stalls."""
        if not self._outgoing:
            return None
        dues = [o.stalls_at for o in self._outgoing.values() if o.stalls_at is not None]
        return min(dues, default=None)
