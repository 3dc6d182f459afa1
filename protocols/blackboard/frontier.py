"""Garbage: what every member has is collected, and the members say so under their names.

Each peer states, signed, the vector that it has on its disk, and its *floor*: the newest
numbers, per chain, of what it has collected. The frontier is the least vector of all
members heard from within the horizon. A tombstone, or an op whose time has run out, may
go once it and its context are within the frontier: everybody has dropped what it
supersedes. Who was silent for longer than the horizon may still hold that; it does not
dominate the floor and is reset when it returns (`healing`). Only a majority of all that
ever stated anything, those who left or were revoked aside, collects: the two sides of a
partition never collect what the other has not seen.

Invariants:
    board-floor-is-known: what was collected is within this peer's own vector.
    board-statements-bounded: one statement of each member is kept.
"""

import msgspec

from protocols.blackboard.messages import Frontier, FrontierShown
from protocols.blackboard.outbox import Outbox
from protocols.blackboard.parameters import COLLECTED_LIMIT, MEMBERS_LIMIT, BoardParameters
from protocols.blackboard.records import FloorKept, FrontierForgotten, FrontierHeard, OpsDropped
from protocols.blackboard.store import Store
from protocols.blackboard.vectors import Chain, covers, least, prefixes_of, reaches_of, vector_of
from protocols.blackboard.writers import Writers
from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, Instant, Now
from protocols.trust import Trust
from protocols.wire import encode

FRONTIER_DOMAIN = "board.frontier"
EXPIRED_FOR_MS = 60_000
"""An op whose time ran out is collected so much later, for clocks differ."""

_decoder = msgspec.msgpack.Decoder(Frontier)


class Statement:
    """The newest word of one member."""

    __slots__ = ("floor", "heard_ms", "known", "live", "number", "shown", "vector")

    def __init__(self, said: Frontier, shown: FrontierShown, heard_ms: int) -> None:
        self.number = said.number
        self.known = said.vector
        self.vector = prefixes_of(said.vector)
        self.floor = prefixes_of(said.floor)
        self.live = said.live
        self.shown = shown
        self.heard_ms = heard_ms


class Frontiers:
    """What members stated, and what follows for one's own garbage."""

    def __init__(
        self,
        keyring: Keyring,
        parameters: BoardParameters,
        store: Store,
        writers: Writers,
        trust: Trust,
        outbox: Outbox,
    ) -> None:
        self._keyring = keyring
        self._parameters = parameters
        self._store = store
        self._writers = writers
        self._trust = trust
        self._outbox = outbox
        self.members: dict[bytes, None] = {}
        self.statements: dict[bytes, Statement] = {}
        self._mine: Statement | None = None
        self._next_at: Instant | None = None

    # Stating.

    def member_up(self, peer: bytes, now: Now) -> None:
        """A member is alive: it is told what this peer states."""
        self.members[peer] = None
        if self._mine is None and self._store.chains.states:
            self._state(now)
        if self._mine is not None:
            self._outbox.send(peer, self._mine.shown)

    def member_down(self, peer: bytes, has_left: bool) -> None:
        """It is not told any more; what it stated holds for the horizon, unless it left."""
        self.members.pop(peer, None)
        if has_left and peer in self.statements:
            self.forget(peer)
            self._outbox.persist(FrontierForgotten(peer))

    def forget(self, peer: bytes) -> None:
        """Nothing waits any more for a peer that left, until it states something again."""
        self.statements.pop(peer, None)

    def _state(self, now: Now) -> None:
        store = self._store
        number = now.wall_ns // MILLISECOND_NS
        if self._mine is not None:
            number = max(number, self._mine.number + 1)
        said = Frontier(
            self._keyring.peer,
            number,
            reaches_of(store.chains.known()),
            vector_of(store.floor),
            store.live_digest(),
        )
        body = encode(said)
        shown = FrontierShown(body, self._keyring.sign(FRONTIER_DOMAIN, body))
        # Others collect on this word: all that it rests on must outlast a power cut.
        self._outbox.persist(FrontierHeard(body, shown.signature, number), sync=True)
        self._mine = Statement(said, shown, number)

    def _is_stale(self) -> bool:
        mine, store = self._mine, self._store
        return (
            mine is None
            or mine.known != reaches_of(store.chains.known())
            or mine.floor != store.floor
            or mine.live != store.live_digest()
        )

    # Hearing.

    def take(self, link: bytes, shown: FrontierShown, now: Now) -> bool:
        """A member's word; whether it is new."""
        try:
            said = _decoder.decode(shown.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._outbox.blame(link, f"not a frontier: {error}")
            return False
        author = said.author
        if author == self._keyring.peer or (author != link and author not in self._writers.known):
            return False
        known = self.statements.get(author)
        if known is not None and known.number >= said.number:
            return False
        if known is None and len(self.statements) >= MEMBERS_LIMIT:
            return False
        if not self._keyring.verify(FRONTIER_DOMAIN, author, shown.body, shown.signature):
            self._outbox.blame(link, "a frontier with a wrong signature")
            return False
        wall_ms = now.wall_ns // MILLISECOND_NS
        self.statements[author] = Statement(said, shown, wall_ms)
        self._outbox.persist(FrontierHeard(shown.body, shown.signature, wall_ms))
        return True

    def restore(self, record: FrontierHeard) -> None:
        """Takes back what was heard before the restart."""
        said = _decoder.decode(record.body)
        if said.author != self._keyring.peer:
            shown = FrontierShown(record.body, record.signature)
            self.statements[said.author] = Statement(said, shown, record.wall_ms)

    # What everybody has.

    def frontier(self, now: Now) -> dict[Chain, int]:
        """The least of what the members have that were heard from within the horizon."""
        oldest = now.wall_ns // MILLISECOND_NS - self._parameters.horizon_ms
        if any(peer not in self.statements for peer in self.members):
            return {}
        present = {
            author: each
            for author, each in self.statements.items()
            if author not in self._trust.outcasts
        }
        heard = [
            each.vector
            for author, each in present.items()
            if each.heard_ms >= oldest or author in self.members
        ]
        if 2 * (len(heard) + 1) <= len(present) + 1:
            return {}
        return least([self._store.chains.prefixes(), *heard])

    def collect(self, now: Now) -> int:
        """Drops what everybody has and nobody needs; how many ops."""
        store, wall_ms = self._store, now.wall_ns // MILLISECOND_NS
        if not store.collectable:
            return 0
        frontier = self.frontier(now)
        gone = []
        for identity, op in store.collectable.items():
            dots = (*op.context, (op.writer, op.generation, op.sequence))
            if any(each > frontier.get((writer, number), 0) for writer, number, each in dots):
                continue
            if op.is_tombstone or op.expires_ms + EXPIRED_FOR_MS < wall_ms:
                gone.append((op.writer, op.generation, op.sequence, identity))
                if len(gone) >= COLLECTED_LIMIT:
                    break
        if gone:
            for writer, generation, sequence, _ in gone:
                chain = (writer, generation)
                store.floor[chain] = max(sequence, store.floor.get(chain, 0))
            store.drop(tuple(gone))
            self._outbox.persist(OpsDropped(tuple(gone)))
            self._outbox.persist(FloorKept(vector_of(store.floor)))
        return len(gone)

    def above(self, mine: dict[Chain, int]) -> list[bytes]:
        """The members whose floor such a vector does not cover."""
        return [
            author
            for author in self.members
            if author in self.statements and not covers(mine, self.statements[author].floor)
        ]

    # Time.

    def wake(self, now: Now) -> None:
        """States what is new, and collects, when due."""
        at = now.monotonic_ns
        if self._next_at is None or at < self._next_at:
            return
        self.collect(now)
        if self._is_stale():
            self._state(now)
            assert self._mine is not None, "a statement was made"
            for peer in self.members:
                self._outbox.send(peer, self._mine.shown)
        self._next_at = None

    def stir(self, now: Instant) -> None:
        """Something may be new: it is stated after a while."""
        if self._next_at is None and (self._is_stale() or self._store.collectable):
            self._next_at = now + self._parameters.frontier_interval_ns

    def deadline(self) -> Instant | None:
        """When that is."""
        return self._next_at

    def check(self) -> None:
        """Asserts the invariants."""
        mine = self._store.chains.prefixes()
        assert covers(mine, self._store.floor), "board-floor-is-known"
        assert len(self.statements) <= MEMBERS_LIMIT, "board-statements-bounded"
