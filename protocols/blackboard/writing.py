"""Local writes: numbered, signed, journaled, sent to all, acknowledged by one.

    begins --a disk without ops of its own, or all others answered--> writes
       '--starting_ns passes unanswered, or somebody knows more--> writes, in a new generation

A peer that starts from an old copy of its disk would use numbers again that it used
after the copy was made, and be taken for a forger. So it asks first, and where it
cannot be sure it begins a new generation, which is always safe.

Invariants:
    board-number-once: a peer signs one op for each of its numbers.
    board-written-when-stored: a write is told as replicated once another peer said so.
"""

import random

from protocols.blackboard import records
from protocols.blackboard.commands import WriteBoard
from protocols.blackboard.events import BoardWritten, GenerationBegun
from protocols.blackboard.making import make_ops
from protocols.blackboard.merkle import LEAVES_LIMIT
from protocols.blackboard.messages import AskOwn, Own, Push
from protocols.blackboard.outbox import Outbox
from protocols.blackboard.parameters import (
    ACKS_WANTED,
    WRITES_WAITING_LIMIT,
    BoardParameters,
)
from protocols.blackboard.policies import Policies
from protocols.blackboard.segments import (
    NO_HEADER,
    SEGMENT_BYTES_LIMIT,
    header_hash,
    write_segment,
)
from protocols.blackboard.store import Store
from protocols.errors import Refused
from protocols.identity import Keyring
from protocols.machine import MILLISECOND_NS, Instant, Now

GENERATION_RANDOM_BITS = 16
EDITS_LIMIT = 4096


class Waiting:
    """A request whose ops no other peer has yet, as far as known."""

    __slots__ = ("count", "ends", "first", "generation", "request")

    def __init__(
        self, request: int, generation: int, first: int, count: int, ends: Instant
    ) -> None:
        self.request = request
        self.generation = generation
        self.first = first
        self.count = count
        self.ends = ends

    @property
    def last(self) -> int:
        """The number of its last op."""
        return self.first + self.count - 1


class Writing:
    """The writer that this peer is.

    Attributes:
        generation: under which it writes; 0 before it ever did.
        members: who is alive, in the order in which they came up.
    """

    def __init__(
        self,
        keyring: Keyring,
        parameters: BoardParameters,
        rng: random.Random,
        store: Store,
        policies: Policies,
        outbox: Outbox,
    ) -> None:
        self._keyring = keyring
        self._parameters = parameters
        self._rng = rng
        self._store = store
        self._policies = policies
        self._outbox = outbox
        self.generation = 0
        self.members: dict[bytes, None] = {}
        self._previous = NO_HEADER
        self._next = 1
        self._is_sure = True
        self._unsure_until: Instant | None = None
        self._expected: dict[bytes, None] = {}
        self._answered: dict[bytes, None] = {}
        self._waiting: dict[tuple[int, int], Waiting] = {}
        """By generation and last number, in the order of writing."""

    # Starting.

    def restored(self, generation: int, others: list[bytes], now: Now) -> None:
        """This peer's disk says under which number it wrote last, and whom it knew."""
        self._take_up(generation)
        self._is_sure = generation == 0
        self._expected = dict.fromkeys(others)
        if not self._is_sure:
            self._unsure_until = now.monotonic_ns + self._parameters.starting_ns

    def _take_up(self, generation: int) -> None:
        self.generation = generation
        state = self._store.chains.get((self._keyring.peer, generation))
        self._previous, self._next = NO_HEADER, 1
        if state is not None and state.head is not None and state.head_header is not None:
            self._previous = header_hash(state.head)
            self._next = state.head_header.last + 1

    def member_up(self, peer: bytes) -> None:
        """A member is alive: it may know what this peer wrote."""
        self.members[peer] = None
        if not self._is_sure:
            self._outbox.send(peer, AskOwn(self.generation))

    def member_down(self, peer: bytes) -> None:
        """A member is gone; nobody waits for its word."""
        self.members.pop(peer, None)
        if not self.members:
            for waiting in list(self._waiting.values()):
                self._written(waiting, is_replicated=False)

    def told(self, link: bytes, own: Own, now: Now) -> None:
        """A member says what it has seen of this peer's ops."""
        if own.generation != self.generation or self.generation == 0:
            return
        if own.last >= self._next:
            self.begin_anew(own.last, now)
        elif not self._is_sure:
            self._answered[link] = None
            awaited = [*self._expected, *self.members]
            if all(peer in self._answered for peer in awaited):
                self._sure()

    def begin_anew(self, after: int, now: Now) -> None:
        """Writes under a new number from now on; nobody has ever used it."""
        bits = GENERATION_RANDOM_BITS
        fresh = (now.wall_ns // MILLISECOND_NS << bits) + self._rng.getrandbits(bits)
        self._take_up(max(fresh, self.generation + 1))
        self._sure()
        self._outbox.persist(records.GenerationBegun(self.generation))
        self._outbox.emit(GenerationBegun(self.generation, after))

    def outdone(self, now: Now) -> None:
        """Others brought ops of this peer that its disk had forgotten: their numbers are used."""
        state = self._store.chains.get((self._keyring.peer, self.generation))
        if state is not None and state.head_header is not None and self._is_sure:
            last = state.head_header.last
            if last >= self._next:
                self.begin_anew(last, now)

    def _sure(self) -> None:
        self._is_sure = True
        self._unsure_until = None
        self._answered.clear()

    # Writing.

    def write(self, command: WriteBoard, now: Now) -> None:
        """Makes the ops of a request, all or none.

        Raises:
            Refused: nothing has changed.
        """
        if not self._is_sure:
            assert self._unsure_until is not None, "board-number-once: unsure without an end"
            raise Refused(
                "Starting",
                "this peer asks its neighbours what it wrote before it started: try again",
                retry_after_ns=max(1, self._unsure_until - now.monotonic_ns),
            )
        if not 0 < len(command.edits) <= EDITS_LIMIT:
            raise Refused("TooLarge", f"one request makes 1 to {EDITS_LIMIT} changes")
        if len(self._waiting) >= WRITES_WAITING_LIMIT:
            raise Refused(
                "OverFull",
                f"{WRITES_WAITING_LIMIT} requests wait to be stored by another peer",
                retry_after_ns=100 * MILLISECOND_NS,
            )
        store, me = self._store, self._keyring.peer
        is_first = self.generation == 0
        generation = self.generation or (
            (now.wall_ns // MILLISECOND_NS << GENERATION_RANDOM_BITS)
            + self._rng.getrandbits(GENERATION_RANDOM_BITS)
        )
        wall_ms = now.wall_ns // MILLISECOND_NS
        ops = make_ops(
            store.replica, command.edits, me, generation, self._next, wall_ms, self._policies
        )
        if len(ops) > LEAVES_LIMIT:
            raise Refused("TooLarge", f"one request makes at most {LEAVES_LIMIT} changes")
        if sum(len(encoded) for _, encoded in ops) > SEGMENT_BYTES_LIMIT:
            raise Refused(
                "TooLarge",
                f"one request changes at most {SEGMENT_BYTES_LIMIT >> 20} MiB; "
                "a key with long names in many parts is emptied a few parts at a time",
            )
        if is_first:
            self.generation = generation
            self._outbox.persist(records.GenerationBegun(generation))
        segment = write_segment(
            self._keyring, generation, self._next, self._previous, [each for _, each in ops]
        )
        part = segment.part()
        self._previous = header_hash(segment.signed)
        self._next = segment.header.last + 1
        self._outbox.persist(records.SegmentKept(part), sync=command.durability == "disk")
        store.keep(segment, ops)
        header = segment.header
        ends = now.monotonic_ns + self._parameters.replication_ns
        waiting = Waiting(command.request, generation, header.first, header.count, ends)
        self._waiting[generation, header.last] = waiting
        if not self.members:
            self._written(waiting, is_replicated=False)
        alive = list(self.members)
        start = self._rng.randrange(len(alive)) if alive else 0
        for index, peer in enumerate(alive[start:] + alive[:start]):
            self._outbox.send(peer, Push((part,), is_ack_wanted=index < ACKS_WANTED))

    def stored(self, generation: int, last: int) -> None:
        """A member has stored a segment."""
        waiting = self._waiting.get((generation, last))
        if waiting is not None:
            self._written(waiting, is_replicated=True)

    def known_elsewhere(self, generation: int, prefix: int) -> None:
        """A member knows everything of this peer up to here."""
        if self._waiting:
            for waiting in list(self._waiting.values()):
                if waiting.generation == generation and waiting.last <= prefix:
                    self._written(waiting, is_replicated=True)

    def _written(self, waiting: Waiting, is_replicated: bool) -> None:
        del self._waiting[waiting.generation, waiting.last]
        self._outbox.emit(
            BoardWritten(
                waiting.request,
                self._keyring.peer,
                waiting.generation,
                waiting.first,
                waiting.count,
                is_replicated,
            )
        )

    # Time.

    def wake(self, now: Now) -> None:
        """Gives up waiting for others, where it is time."""
        if self._unsure_until is not None and self._unsure_until <= now.monotonic_ns:
            # Whoever has not answered may know more, on the other side of a partition, say.
            self.begin_anew(0, now)
        while self._waiting:
            first = next(iter(self._waiting.values()))
            if first.ends > now.monotonic_ns:
                break
            self._written(first, is_replicated=False)

    def deadline(self) -> Instant | None:
        """When it is."""
        dues = [self._unsure_until] if self._unsure_until is not None else []
        if self._waiting:
            dues.append(next(iter(self._waiting.values())).ends)
        return min(dues, default=None)

    def check(self) -> None:
        """Asserts the invariants."""
        state = self._store.chains.get((self._keyring.peer, self.generation))
        if state is not None and state.head_header is not None and self._is_sure:
            assert self._next > state.head_header.last, "board-number-once"
        assert len(self._waiting) <= WRITES_WAITING_LIMIT, "board-written-when-stored: too many"
